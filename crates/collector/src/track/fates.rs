//! What became of a request's events in the log, one by one.

use millstream_log::RecordOutcome;
use millstream_model::{ErrorClass, Offset, PartitionId};

use crate::outcome::{Outcome, Place};

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is durable; the log may not say where.
    Stored(PartitionId, Option<Offset>),
    /// The log does not take it, and would not the next time.
    Refused,
    /// It is not stored and will not be: worth sending again.
    NotStored,
    /// It may be stored or not, now or later: worth sending again.
    Unknown,
}

/// What became of each event that was handed to the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fates<'a> {
    /// Where each stands in the append.
    pub(super) places: &'a [Place],
    pub(super) outcome: &'a Outcome,
}

/// How many events had which fate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) stored: usize,
    pub(crate) refused: usize,
    pub(crate) not_stored: usize,
    pub(crate) unknown: usize,
}

impl Fates<'_> {
    /// Returns the fates in the order of the events.
    pub(super) fn iter(&self) -> impl Iterator<Item = Fate> {
        self.places.iter().map(|place| match self.outcome.of(*place) {
            RecordOutcome::Appended(offset) => Fate::Stored(place.partition, offset),
            RecordOutcome::Refused(ErrorClass::Invalid) => Fate::Refused,
            RecordOutcome::Refused(_) => Fate::NotStored,
            RecordOutcome::Unknown => Fate::Unknown,
        })
    }

    /// Counts them.
    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for fate in self.iter() {
            match fate {
                Fate::Stored(..) => tally.stored += 1,
                Fate::Refused => tally.refused += 1,
                Fate::NotStored => tally.not_stored += 1,
                Fate::Unknown => tally.unknown += 1,
            }
        }
        tally
    }
}

impl Tally {
    /// Returns how many events are worth sending again.
    pub(super) fn retry(self) -> usize {
        self.not_stored + self.unknown
    }
}
