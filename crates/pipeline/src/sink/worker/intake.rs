//! Reads the partitions of a sink in turn, so that none waits for a busy neighbour.

use std::time::Duration;

use futures::future::select_all;
use millstream_log::{FetchError, FetchLimits, Fetched, LogReader};
use millstream_runtime::Context;

/// The readers of all partitions; a partition is named by its place.
#[derive(Debug)]
pub(super) struct Intake {
    readers: Vec<Box<dyn LogReader>>,
    bytes_max: usize,
    /// Where the next round begins.
    next: usize,
}

impl Intake {
    pub(super) fn new(readers: Vec<Box<dyn LogReader>>, bytes_max: usize) -> Self {
        Self { readers, bytes_max, next: 0 }
    }

    /// Returns records of one partition, or nothing after `wait_max`. Cancel-safe.
    ///
    /// Partitions with records take turns. Empty answers that move a reader past control records
    /// are swallowed: they matter to nobody before the next record.
    pub(super) async fn fetch(
        &mut self,
        cx: &Context,
        wait_max: Duration,
    ) -> Result<Option<(usize, Fetched)>, FetchError> {
        let count = self.readers.len();
        let limits = FetchLimits { bytes_max: self.bytes_max, wait_max: Duration::ZERO };
        for _ in 0..count {
            let place = self.next;
            self.next = (place + 1) % count;
            let fetched = self.readers[place].fetch(cx, limits).await?;
            if !fetched.is_empty() {
                return Ok(Some((place, fetched)));
            }
        }
        let limits = FetchLimits { wait_max, ..limits };
        let fetches = self.readers.iter_mut().map(|reader| reader.fetch(cx, limits));
        // The others are dropped when the first ends: they moved nothing.
        let (fetched, place, _others) = select_all(fetches).await;
        let fetched = fetched?;
        Ok((!fetched.is_empty()).then_some((place, fetched)))
    }
}
