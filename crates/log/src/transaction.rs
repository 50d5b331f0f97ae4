//! What is appended, committed and read.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_model::{
    LogPosition, Offset, OffsetRange, Record, RecordBatch, SourceId, TopicPartition,
};

/// All that one commit changes; see [`crate::Writer::transact`].
#[derive(Debug, Clone, Default)]
pub struct Transaction {
    /// Records to append; a partition may occur more than once, its batches keep their order.
    pub records: Vec<(TopicPartition, RecordBatch)>,
    /// How far the task has read each of its inputs.
    pub consumed: Vec<Consumed>,
    /// Positions of what came from outside the log, and the task's cumulative counts: opaque
    /// bytes of at most 4 KiB each. A later value replaces an earlier one.
    pub positions: Vec<(SourceId, Bytes)>,
}

impl Transaction {
    /// Returns the encoded bytes of all records.
    pub fn records_bytes(&self) -> usize {
        self.records.iter().map(|(_, batch)| batch.as_bytes().len()).sum()
    }

    /// Returns whether the transaction changes nothing.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.consumed.is_empty() && self.positions.is_empty()
    }
}

/// How far a task has read one input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    /// The input.
    pub partition: TopicPartition,
    /// The next position to read.
    pub next: LogPosition,
}

/// What a task has committed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Committed {
    /// Whether the task ever committed a transaction. A task that began and has no position for
    /// an input lost it.
    pub began: bool,
    /// The next position of each input.
    pub consumed: BTreeMap<TopicPartition, LogPosition>,
    /// The latest position of each source.
    pub positions: BTreeMap<SourceId, Bytes>,
}

/// Where one batch of an append landed, or a run of its records where others lie between them: the
/// runs of a batch follow each other in its order, and the batches in theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The partition.
    pub partition: TopicPartition,
    /// Where its records are.
    pub landed: Landed,
}

/// Where records of an append are that became durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landed {
    /// They got these offsets.
    At(OffsetRange),
    /// So many are stored, and the log does not say where: Kafka, sent once more what it had stored
    /// before, may know no more than that.
    Somewhere(u64),
}

impl Landed {
    /// Returns how many records there are.
    pub fn records(self) -> u64 {
        match self {
            Self::At(offsets) => offsets.len(),
            Self::Somewhere(records) => records,
        }
    }

    /// Returns their offsets; `None` where the log does not say them.
    pub fn offsets(self) -> Option<OffsetRange> {
        match self {
            Self::At(offsets) => Some(offsets),
            Self::Somewhere(_) => None,
        }
    }
}

/// Records with contiguous offsets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetBatch {
    /// The offset of the first record.
    pub first: Offset,
    /// The records.
    pub records: RecordBatch,
}

impl OffsetBatch {
    /// Returns the offset after the last record.
    pub fn end(&self) -> Offset {
        self.first.plus(u64::from(self.records.len()))
    }

    /// Iterates over the records with their offsets.
    pub fn iter(&self) -> impl Iterator<Item = (Offset, Record<'_>)> {
        (self.first.0..).map(Offset).zip(&self.records)
    }
}
