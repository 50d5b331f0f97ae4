//! Counts the records between a position and the end of its partition by reading them, on a log
//! whose offsets do not count records.
//!
//! Reading is bounded, in bytes and in time: of a larger backlog the count says that it is *at
//! least* that. A difference of offsets is never taken for a number of records.

use std::time::Duration;

use millstream_log::{FetchLimits, Log, ReaderError};
use millstream_model::{LogPosition, Offset, TopicPartition};
use millstream_runtime::Context;
use tokio::time::Instant;

/// The most bytes of records that one survey reads to count them.
const BYTES_MAX: u64 = 256 << 20;

/// How long one survey reads at most to count records.
const TIME_MAX: Duration = Duration::from_secs(10);

/// The most bytes of one fetch.
const FETCH_BYTES_MAX: usize = 1 << 20;

/// Where a partition's backlog begins.
pub(super) type Place = (TopicPartition, LogPosition);

/// Records that were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    /// How many.
    pub(super) records: u64,
    /// Whether those are all; otherwise there are at least so many.
    pub(super) is_all: bool,
}

/// What a survey may still read.
#[derive(Debug)]
pub(super) struct Budget {
    bytes_left: u64,
    until: Instant,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self::of_bytes(BYTES_MAX)
    }

    pub(super) fn of_bytes(bytes: u64) -> Self {
        Self { bytes_left: bytes, until: Instant::now() + TIME_MAX }
    }

    fn is_spent(&self) -> bool {
        self.bytes_left == 0 || Instant::now() >= self.until
    }
}

/// Counts what waits behind each place, up to the end that a reader may see.
pub(super) async fn count_behind(
    cx: &Context,
    log: &dyn Log,
    places: &[Place],
    budget: &mut Budget,
) -> Result<Counted, ReaderError> {
    let mut sum = Counted { records: 0, is_all: true };
    for (partition, from) in places {
        let end = log.bounds(cx, partition).await?.end.offset;
        let counted = count(cx, log, (partition, *from), end, budget).await?;
        sum.records += counted.records;
        sum.is_all &= counted.is_all;
    }
    Ok(sum)
}

/// Counts the records of one partition from a position up to `end`.
pub(super) async fn count(
    cx: &Context,
    log: &dyn Log,
    (partition, from): (&TopicPartition, LogPosition),
    end: Offset,
    budget: &mut Budget,
) -> Result<Counted, ReaderError> {
    let mut counted = Counted { records: 0, is_all: true };
    if from.offset >= end {
        return Ok(counted);
    }
    let mut reader = log.reader(cx, partition, from).await?;
    let limits = FetchLimits { bytes_max: FETCH_BYTES_MAX, wait_max: Duration::ZERO };
    let mut next = from.offset;
    while next < end {
        if budget.is_spent() {
            counted.is_all = false;
            break;
        }
        let fetched = reader.fetch(cx, limits).await?;
        for batch in &fetched.batches {
            let before = batch.iter().filter(|(offset, _)| *offset < end).count();
            counted.records += u64::try_from(before).unwrap_or(u64::MAX);
            let bytes = u64::try_from(batch.records.as_bytes().len()).unwrap_or(u64::MAX);
            budget.bytes_left = budget.bytes_left.saturating_sub(bytes);
        }
        next = fetched.next.offset;
    }
    Ok(counted)
}
