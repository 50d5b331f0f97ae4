//! Reads the partitions of a sink in turn, so that none waits for a busy neighbour.

use std::time::Duration;

use futures::future::select_all;
use millstream_log::{FetchError, FetchLimits, Fetched, LogReader};
use millstream_model::{LogPosition, Offset};
use millstream_runtime::Context;

/// The readers of all partitions; a partition is named by its place.
#[derive(Debug)]
pub(super) struct Intake {
    readers: Vec<Box<dyn LogReader>>,
    /// How far each reader came, past control records too, and the end it saw there.
    reached: Vec<(LogPosition, Offset)>,
    bytes_max: usize,
    /// Where the next round begins.
    next: usize,
}

impl Intake {
    /// Takes each partition's reader, where it stands, and the end of its partition.
    pub(super) fn new(
        inputs: Vec<(Box<dyn LogReader>, LogPosition, Offset)>,
        bytes_max: usize,
    ) -> Self {
        let (readers, reached) =
            inputs.into_iter().map(|(reader, from, end)| (reader, (from, end))).unzip();
        Self { readers, reached, bytes_max, next: 0 }
    }

    /// Returns how far the reader of a partition came, and the end it saw there.
    pub(super) fn reached(&self, place: usize) -> (LogPosition, Offset) {
        self.reached[place]
    }

    /// Returns records of one partition, or nothing after `wait_max`. Cancel-safe.
    ///
    /// Partitions with records take turns. Of an empty answer that moves a reader past control
    /// records only [`Intake::reached`] tells: it is nothing to write.
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
            self.reached[place] = (fetched.next, fetched.end);
            if !fetched.is_empty() {
                return Ok(Some((place, fetched)));
            }
        }
        let limits = FetchLimits { wait_max, ..limits };
        let fetches = self.readers.iter_mut().map(|reader| reader.fetch(cx, limits));
        // The others are dropped when the first ends: they moved nothing.
        let (fetched, place, _others) = select_all(fetches).await;
        let fetched = fetched?;
        self.reached[place] = (fetched.next, fetched.end);
        Ok((!fetched.is_empty()).then_some((place, fetched)))
    }
}
