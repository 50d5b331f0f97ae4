//! Looking into a log without being a task of it: at any offset, or at any time of acceptance.
//!
//! Whoever only looks has no position of its own that must be kept, so it may begin wherever there
//! is something to read. A log that reads its files does so inline: call this from a thread that
//! may wait for the disk.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use millstream_log::{Bounds, FetchLimits, Log, LogReader, PositionRefused, ReaderError};
use millstream_model::{LogPosition, Offset, Timestamp, TopicPartition};
use millstream_runtime::Context;
use std::time::Duration;

/// How many partitions are looked at a time.
const AT_ONCE_MAX: usize = 16;

/// How often a beginning is looked for anew when retention deletes it meanwhile.
const ATTEMPTS_MAX: u32 = 5;

/// Enough for one record: a fetch brings at least one, whatever its size.
const ONE_RECORD: FetchLimits = FetchLimits { bytes_max: 1, wait_max: Duration::ZERO };

/// The first record from a place on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct First {
    /// Where it stands.
    pub(crate) offset: Offset,
    /// When it was accepted.
    pub(crate) accepted: Timestamp,
}

/// Starts reading at `offset`. A position names the incarnation of the record before it: the log
/// tells which that is when it refuses another.
pub(crate) async fn reader_at(
    cx: &Context,
    log: &dyn Log,
    (partition, bounds): (&TopicPartition, Bounds),
    offset: Offset,
) -> Result<Box<dyn LogReader>, ReaderError> {
    if offset == bounds.start.offset {
        return log.looking_reader(cx, partition, bounds.start).await;
    }
    let guess = LogPosition { offset, ..bounds.end };
    match log.looking_reader(cx, partition, guess).await {
        Err(ReaderError::Position(PositionRefused::OtherHistory { found, .. })) => {
            log.looking_reader(cx, partition, LogPosition { incarnation: found, ..guess }).await
        }
        answered => answered,
    }
}

/// Starts reading at `offset`, or as near to it as there is something to read, and returns where.
pub(crate) async fn reader_near(
    cx: &Context,
    log: &dyn Log,
    partition: &TopicPartition,
    offset: Offset,
) -> Result<(Offset, Box<dyn LogReader>), ReaderError> {
    for _ in 1..ATTEMPTS_MAX {
        let bounds = log.bounds(cx, partition).await?;
        let offset = offset.clamp(bounds.start.offset, bounds.end.offset);
        match reader_at(cx, log, (partition, bounds), offset).await {
            // Retention was faster; what it left begins later.
            Err(ReaderError::Position(PositionRefused::BeforeStart { .. })) => {}
            answered => return Ok((offset, answered?)),
        }
    }
    let bounds = log.bounds(cx, partition).await?;
    Ok((bounds.end.offset, log.looking_reader(cx, partition, bounds.end).await?))
}

/// Returns the first record that a reader brings; `None` when there is none up to the end.
pub(crate) async fn first_record(
    cx: &Context,
    reader: &mut dyn LogReader,
    end: Offset,
) -> Result<Option<First>, ReaderError> {
    let mut reached = None;
    loop {
        let fetched = reader.fetch(cx, ONE_RECORD).await?;
        let mut records = fetched.batches.iter().flat_map(|batch| batch.iter());
        if let Some((offset, record)) = records.next() {
            return Ok(Some(First { offset, accepted: record.timestamp }));
        }
        // An empty answer may have moved past control records; one that did not move is the end.
        if fetched.next.offset >= end || reached == Some(fetched.next.offset) {
            return Ok(None);
        }
        reached = Some(fetched.next.offset);
    }
}

/// Returns where the records begin that were accepted at `since` or later; the end when there are
/// none.
///
/// A log with an index by time is asked: on Kafka each step of a bisection would be a consumer of
/// its own. Elsewhere times of acceptance grow along a partition but for small disorder, so that
/// bisection finds the place to within that disorder.
pub(crate) async fn offset_since(
    cx: &Context,
    log: &dyn Log,
    partition: &TopicPartition,
    since: Timestamp,
) -> Result<Offset, ReaderError> {
    if let Some(found) = log.offset_at(cx, partition, since).await? {
        return Ok(found);
    }
    let bounds = log.bounds(cx, partition).await?;
    let (mut low, mut high) = (bounds.start.offset, bounds.end.offset);
    while low < high {
        let middle = Offset(low.0 + (high.0 - low.0) / 2);
        let (_, mut reader) = reader_near(cx, log, partition, middle).await?;
        match first_record(cx, &mut *reader, high).await? {
            Some(first) if first.accepted < since => low = first.offset.plus(1),
            _ => high = middle,
        }
    }
    Ok(low)
}

/// Does one thing for each item, some at a time, and keeps their order.
pub(crate) async fn each<I, T, E, F>(
    items: impl IntoIterator<Item = I>,
    work: impl FnMut(I) -> F,
) -> Result<Vec<T>, E>
where
    F: Future<Output = Result<T, E>>,
{
    stream::iter(items.into_iter().map(work)).buffered(AT_ONCE_MAX).try_collect().await
}

#[cfg(test)]
mod tests;
