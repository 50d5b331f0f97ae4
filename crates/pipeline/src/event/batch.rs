//! The events of a record batch, one after another.

use millstream_log::OffsetBatch;
use millstream_model::{Offset, Record};

use super::{Event, EventBuffers, Limits, Malformed};

/// Walks the records of a batch as events; the bytes stay in the batch.
#[derive(Debug)]
pub struct EventBatch<'b> {
    records: millstream_model::record::RecordIter<'b>,
    next: Offset,
    buffers: &'b mut EventBuffers,
    limits: Limits,
}

/// One record of a batch, and the event in it.
#[derive(Debug)]
pub struct EventRecord<'r, 'e> {
    /// Where the record stands in its partition.
    pub offset: Offset,
    /// The record.
    pub record: Record<'r>,
    /// The event in its value.
    pub event: Result<Event<'e>, Malformed>,
}

impl<'b> EventBatch<'b> {
    /// Starts before the first record.
    pub fn new(batch: &'b OffsetBatch, buffers: &'b mut EventBuffers, limits: Limits) -> Self {
        Self { records: batch.records.iter(), next: batch.first, buffers, limits }
    }

    /// Moves to the next record; the event of the one before is gone then.
    pub fn next_event(&mut self) -> Option<EventRecord<'b, '_>> {
        let record = self.records.next()?;
        let offset = self.next;
        self.next = offset.plus(1);
        let event = match record.value {
            Some(value) => self.buffers.read(value, self.limits),
            None => Err(Malformed::NoValue),
        };
        Some(EventRecord { offset, record, event })
    }
}
