//! What the log made of an append, for each record in it.
//!
//! A journal stores an append whole or not at all. Kafka has no such append: it answers for each
//! record, and gives a batch's records offsets that others' may lie between. Requests ask here for
//! their own records, so that what befell one request's record is never told to another.

use millstream_log::{Appended, EnqueueError, Landed, RecordOutcome};
use millstream_model::PartitionId;

/// Where a record stands in its append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) partition: PartitionId,
    /// Its place among the append's records of that partition.
    pub(crate) index: u32,
}

/// What the log said about an append, for every request in it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The partition of each batch that was handed over.
    partitions: Vec<PartitionId>,
    result: Result<Vec<Appended>, EnqueueError>,
}

/// What one outcome holds for all records of an append.
#[derive(Debug)]
pub(crate) enum Verdict<'a> {
    /// All are stored.
    Stored,
    /// The outcome is each record's own.
    Each,
    /// The append failed whole.
    Failed(&'a EnqueueError),
}

impl Outcome {
    pub(crate) fn new(
        partitions: Vec<PartitionId>,
        result: Result<Vec<Appended>, EnqueueError>,
    ) -> Self {
        Self { partitions, result }
    }

    /// Tells whether records have to be asked for one by one.
    pub(crate) fn verdict(&self) -> Verdict<'_> {
        match &self.result {
            Ok(_) => Verdict::Stored,
            Err(EnqueueError::Records { .. }) => Verdict::Each,
            Err(error) => Verdict::Failed(error),
        }
    }

    /// Tells what became of one record.
    pub(crate) fn of(&self, place: Place) -> RecordOutcome {
        match &self.result {
            Ok(appended) => {
                let run = run_of(appended, place);
                let (landed, index) = run.expect("an append answers for each of its records");
                RecordOutcome::Appended(landed.offsets().map(|run| run.start().plus(index)))
            }
            Err(EnqueueError::Records { outcomes, .. }) => {
                let batch = self.partitions.iter().position(|found| *found == place.partition);
                let outcome =
                    batch.and_then(|batch| outcomes.get(batch)?.get(place.index as usize));
                outcome.copied().unwrap_or(RecordOutcome::Unknown)
            }
            Err(_) => RecordOutcome::Unknown,
        }
    }
}

/// Returns the run a record is in, and its place there: the runs of its partition follow each other
/// in its order.
fn run_of(appended: &[Appended], place: Place) -> Option<(Landed, u64)> {
    let mut before = 0;
    let runs = appended.iter().filter(|run| run.partition.partition == place.partition);
    for Appended { landed, .. } in runs {
        let index = u64::from(place.index) - before;
        if index < landed.records() {
            return Some((*landed, index));
        }
        before += landed.records();
    }
    None
}

#[cfg(test)]
mod tests;
