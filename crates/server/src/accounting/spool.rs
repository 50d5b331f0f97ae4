//! The books of one collector's spool: what its journal accepted is forwarded to Kafka, refused by it
//! for good, or waits.
//!
//! They come before those of pipelines and sinks, which begin with what is in Kafka, and are kept
//! apart: each collector has its own, and the journal follows Kafka by a moment. What was forwarded
//! in that moment is accepted there and still counted as waiting here, never the other way round.

use serde::{Deserialize, Serialize};

use super::{Books, Line};

/// The books of one collector's spool, all partitions together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpoolLine {
    /// Events that the collector accepted into its journal.
    pub(crate) accepted: u64,
    /// Events that Kafka has taken from it.
    pub(crate) forwarded: u64,
    /// Events that Kafka refused for good: dead letters of the journal.
    pub(crate) refused: u64,
    /// Events that are not forwarded yet, or of which the journal does not know it yet.
    pub(crate) waiting: u64,
    /// Events that had left the journal before there was a spool.
    pub(crate) before: u64,
}

impl SpoolLine {
    /// Returns where everything is that was accepted.
    pub(crate) fn accounted(&self) -> u64 {
        self.forwarded + self.refused + self.waiting + self.before
    }
}

impl Books {
    /// Adds the books of the asked node's spool.
    pub(crate) fn add_spool(&mut self, spool: SpoolLine) {
        let (accepted, accounted) = (spool.accepted, spool.accounted());
        if accepted > accounted {
            let missing = accepted - accounted;
            self.faults.push(format!(
                "spool: {accepted} came in, {accounted} are accounted for: {missing} missing, left \
                 out by `spool replay --accept-loss` or lost"
            ));
        } else if accepted < accounted {
            let surplus = accounted - accepted;
            self.faults.push(format!(
                "spool: {accepted} came in, {accounted} are accounted for: {surplus} too many"
            ));
        }
        self.balanced = self.faults.is_empty() && self.absent.is_empty();
        self.spool = Some(spool);
    }

    /// Returns how much is on its way from the collector to the tables.
    pub(crate) fn in_flight(&self) -> u64 {
        let lines: u64 = self.lines.iter().map(|line: &Line| line.in_flight).sum();
        lines + self.spool.map_or(0, |spool| spool.waiting)
    }
}
