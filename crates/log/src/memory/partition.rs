//! One partition: its records in order, and what of it a reader may see.

use millstream_model::{Incarnation, Offset, RecordBatch, Timestamp};

use crate::transaction::OffsetBatch;

/// The durable records of one partition.
#[derive(Debug, Clone)]
pub(super) struct Partition {
    batches: Vec<Stored>,
    start: Offset,
    end: Offset,
}

#[derive(Debug, Clone)]
struct Stored {
    batch: OffsetBatch,
    incarnation: Incarnation,
    at: Timestamp,
}

/// What one look at a partition brought.
pub(super) struct Slice {
    pub(super) batches: Vec<OffsetBatch>,
    pub(super) next: Offset,
    pub(super) incarnation: Incarnation,
}

impl Partition {
    pub(super) fn new() -> Self {
        Self { batches: Vec::new(), start: Offset::ZERO, end: Offset::ZERO }
    }

    pub(super) fn start(&self) -> Offset {
        self.start
    }

    pub(super) fn end(&self) -> Offset {
        self.end
    }

    pub(super) fn all(&self) -> Vec<OffsetBatch> {
        self.batches.iter().map(|stored| stored.batch.clone()).collect()
    }

    /// Appends at the end; returns the first offset.
    pub(super) fn append(
        &mut self,
        records: RecordBatch,
        incarnation: Incarnation,
        at: Timestamp,
    ) -> Offset {
        let first = self.end;
        if !records.is_empty() {
            self.end = first.plus(u64::from(records.len()));
            self.batches.push(Stored { batch: OffsetBatch { first, records }, incarnation, at });
        }
        first
    }

    /// Leaves `count` offsets unused.
    pub(super) fn skip(&mut self, count: u64) {
        self.end = self.end.plus(count);
    }

    /// Returns the incarnation of the last record before `offset`.
    pub(super) fn incarnation_before(&self, offset: Offset) -> Incarnation {
        let before = self.batches.partition_point(|stored| stored.batch.first < offset);
        before.checked_sub(1).map_or(Incarnation::NONE, |index| self.batches[index].incarnation)
    }

    /// Makes records before `before` unreadable.
    pub(super) fn trim(&mut self, before: Offset) {
        assert!(before <= self.end, "L2: trim before {before} passes the end {}", self.end);
        self.start = self.start.max(before);
    }

    /// Returns how far retention may trim: the end of the last batch stored before `until`.
    pub(super) fn expired(&self, until: Timestamp) -> Offset {
        let expired = self.batches.iter().take_while(|stored| stored.at < until);
        expired.last().map_or(Offset::ZERO, |stored| stored.batch.end())
    }

    /// Returns records from `from` on, of at most `bytes_max` unless the first alone is larger.
    pub(super) fn slice(&self, from: Offset, bytes_max: usize) -> Slice {
        let mut batches = Vec::new();
        let mut bytes_left = bytes_max;
        let first = self.batches.partition_point(|stored| stored.batch.end() <= from);
        for stored in &self.batches[first..] {
            let whole = clip(&stored.batch, from);
            let mut records = fitting(&whole.records, bytes_left);
            if records.is_empty() && batches.is_empty() {
                records = whole.records.take(1);
            }
            if records.is_empty() {
                break;
            }
            let cut = records.len() < whole.records.len();
            bytes_left = bytes_left.saturating_sub(records.as_bytes().len());
            batches.push(OffsetBatch { first: whole.first, records });
            if cut {
                break;
            }
        }
        // A reader that found nothing moves past the control records before the end.
        let next = batches.last().map_or(self.end, OffsetBatch::end);
        Slice { incarnation: self.incarnation_before(next), batches, next }
    }
}

/// Returns the records of `batch` from `from` on.
fn clip(batch: &OffsetBatch, from: Offset) -> OffsetBatch {
    let skip = from.0.saturating_sub(batch.first.0);
    let count = u32::try_from(skip).expect("`from` lies within a batch of at most 2^32 records");
    OffsetBatch { first: batch.first.plus(skip), records: batch.records.skip(count) }
}

/// Returns as many of the first records as `bytes_max` holds.
fn fitting(records: &RecordBatch, bytes_max: usize) -> RecordBatch {
    if records.as_bytes().len() <= bytes_max {
        return records.clone();
    }
    let (mut fits, mut exceeds) = (0, records.len());
    while exceeds - fits > 1 {
        let middle = fits + (exceeds - fits) / 2;
        if records.take(middle).as_bytes().len() <= bytes_max {
            fits = middle;
        } else {
            exceeds = middle;
        }
    }
    records.take(fits)
}
