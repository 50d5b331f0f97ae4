//! Reads one partition.

use std::sync::Arc;

use async_trait::async_trait;
use millstream_model::{LogPosition, TopicPartition};
use millstream_runtime::Context;
use tokio::time::Instant;

use super::Shared;
use crate::contract::{FetchLimits, Fetched, LogReader};
use crate::error::{FetchError, PositionRefused, ReaderError};

#[derive(Debug)]
pub(super) struct MemoryReader {
    shared: Arc<Shared>,
    partition: TopicPartition,
    next: LogPosition,
}

impl MemoryReader {
    pub(super) fn new(shared: Arc<Shared>, partition: TopicPartition, next: LogPosition) -> Self {
        Self { shared, partition, next }
    }

    /// Looks once at what is there.
    fn look(&self, bytes_max: usize) -> Result<Fetched, FetchError> {
        let state = self.shared.state();
        state.check_open()?;
        let partition = state.partition(&self.partition);
        let partition =
            partition.ok_or_else(|| ReaderError::UnknownPartition(self.partition.clone()))?;
        let (offset, start) = (self.next.offset, partition.start());
        if offset < start {
            let partition = self.partition.clone();
            return Err(PositionRefused::BeforeStart { partition, offset, start }.into());
        }
        let slice = partition.slice(offset, bytes_max);
        let next = LogPosition { offset: slice.next, incarnation: slice.incarnation, ..self.next };
        Ok(Fetched { batches: slice.batches, next, end: partition.end() })
    }
}

#[async_trait]
impl LogReader for MemoryReader {
    async fn fetch(&mut self, cx: &Context, limits: FetchLimits) -> Result<Fetched, FetchError> {
        cx.check()?;
        let mut changes = self.shared.changes.subscribe();
        let until = Instant::now() + limits.wait_max;
        let mut fetched = self.look(limits.bytes_max)?;
        while fetched.is_empty() && !limits.wait_max.is_zero() {
            tokio::select! {
                biased;
                cancelled = cx.cancelled() => return Err(cancelled.into()),
                // The sender lives as long as the log: an error cannot come.
                _ = changes.changed() => fetched = self.look(limits.bytes_max)?,
                () = tokio::time::sleep_until(until) => break,
            }
        }
        self.next = fetched.next;
        Ok(fetched)
    }
}
