//! Whether journal and cluster agree on how far the journal is forwarded.
//!
//! The cluster's position moves first, in the transaction of the records themselves; the journal's
//! follows. So the cluster may be ahead, by what a crash left unregistered, and never behind:
//!
//! | journal | cluster | |
//! |---|---|---|
//! | nothing | nothing | begin at the first readable record |
//! | a | a | go on |
//! | a, or nothing | b > a | go on at b, if the records between are this journal's |
//! | a | nothing, or b < a | the cluster was taken back: refused |
//! | a | a with another record before it, or b that is not in the journal | another copy of this disk was here: refused |

use millstream_log::{Bounds, PositionRefused};
use millstream_model::{Classify, ErrorClass, Offset, TopicPartition};
use thiserror::Error;

use super::position::Position;

/// Where a spool goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Agreement {
    /// Nothing is forwarded yet.
    Begin,
    /// Both stand at the same place.
    Same,
    /// The cluster is ahead: the journal must show the records that this claims.
    Ahead,
}

/// What journal and cluster disagree on; going on would lose or double records.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Disagreement {
    /// The cluster knows nothing of a journal that was forwarded.
    #[error(
        "{partition} was forwarded up to offset {local}, and the cluster knows nothing of it: it \
         is another cluster, or was restored from an older state; bring back the newer state, or \
         stop the node and run `millstream spool replay`"
    )]
    Forgotten {
        /// The journal's partition.
        partition: TopicPartition,
        /// Where the journal stands.
        local: Offset,
    },
    /// The cluster knows less than it did.
    #[error(
        "{partition} was forwarded up to offset {local}, and the cluster knows of {remote} only: \
         it was restored from an older state; bring back the newer state, or stop the node and run \
         `millstream spool replay`"
    )]
    RolledBack {
        /// The journal's partition.
        partition: TopicPartition,
        /// Where the journal stands.
        local: Offset,
        /// Where the cluster stands.
        remote: Offset,
    },
    /// The cluster knows of records that the journal does not have.
    #[error(
        "the cluster has {partition} up to offset {remote}, and this journal ends at {end}: the \
         disk is a copy of another node's, or was restored from an older state; bring back the \
         newer disk, or start with an empty data directory"
    )]
    BeyondEnd {
        /// The journal's partition.
        partition: TopicPartition,
        /// Where the cluster stands.
        remote: Offset,
        /// Where the journal ends.
        end: Offset,
    },
    /// The record that was forwarded last is another one than the journal's.
    #[error(
        "the record before offset {remote} of {partition} is not the one that was forwarded: two \
         nodes run on copies of one disk, or this one was restored from an older state; go on with \
         the disk that was forwarded, or start with an empty data directory"
    )]
    OtherRecord {
        /// The journal's partition.
        partition: TopicPartition,
        /// Where the cluster stands.
        remote: Offset,
    },
    /// Somebody else moved the cluster's position while this node forwarded.
    #[error(
        "the cluster's position of {partition} moved to offset {remote} without this node, which \
         stands at {known}: another node runs on a copy of this disk; stop one of them"
    )]
    MovedByAnother {
        /// The journal's partition.
        partition: TopicPartition,
        /// Where this node left it.
        known: Offset,
        /// Where the cluster stands.
        remote: Offset,
    },
    /// The position belongs to another journal or another topic of it.
    #[error(
        "the cluster's position of {partition} belongs to another journal or topic; bring back the \
         disk that was forwarded, or start with an empty data directory"
    )]
    OtherJournal {
        /// The journal's partition.
        partition: TopicPartition,
    },
    /// Records that are to be forwarded are not in the journal any more.
    #[error(
        "{partition} is to be forwarded from offset {from}, and the journal begins at {start}: the \
         records between are gone; stop the node and run `millstream spool replay --accept-loss` \
         to go on without them"
    )]
    Gone {
        /// The journal's partition.
        partition: TopicPartition,
        /// The next record to forward.
        from: Offset,
        /// The first readable record.
        start: Offset,
    },
}

impl Classify for Disagreement {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

impl Disagreement {
    /// Says why the journal does not take the cluster's position.
    pub(super) fn of_refused(refused: &PositionRefused, remote: Offset) -> Option<Self> {
        match refused {
            PositionRefused::OtherHistory { partition, .. } => {
                Some(Self::OtherRecord { partition: partition.clone(), remote })
            }
            PositionRefused::BeyondEnd { partition, end, .. } => {
                Some(Self::BeyondEnd { partition: partition.clone(), remote, end: *end })
            }
            PositionRefused::BeforeStart { partition, offset, start } => {
                Some(Self::Gone { partition: partition.clone(), from: *offset, start: *start })
            }
            PositionRefused::OtherLog { partition, .. }
            | PositionRefused::OtherTopic { partition, .. } => {
                Some(Self::OtherJournal { partition: partition.clone() })
            }
            PositionRefused::Lost { .. }
            | PositionRefused::Forgotten { .. }
            | PositionRefused::Torn { .. }
            | PositionRefused::Renamed { .. } => None,
        }
    }
}

/// Compares what journal and cluster know of one partition.
pub(super) fn compare(
    partition: &TopicPartition,
    local: Option<&Position>,
    remote: Option<&Position>,
    bounds: &Bounds,
) -> Result<Agreement, Disagreement> {
    let partition = || partition.clone();
    let Some(remote) = remote else {
        return match local {
            None => Ok(Agreement::Begin),
            Some(local) => {
                let local = local.next.offset;
                Err(Disagreement::Forgotten { partition: partition(), local })
            }
        };
    };
    let at = remote.next.offset;
    let is_this_journal =
        remote.next.log == bounds.end.log && remote.next.topic == bounds.end.topic;
    if !is_this_journal {
        return Err(Disagreement::OtherJournal { partition: partition() });
    }
    if let Some(local) = local.map(|local| local.next.offset).filter(|local| at < *local) {
        return Err(Disagreement::RolledBack { partition: partition(), local, remote: at });
    }
    if at > bounds.end.offset {
        let end = bounds.end.offset;
        return Err(Disagreement::BeyondEnd { partition: partition(), remote: at, end });
    }
    if at < bounds.start.offset {
        let start = bounds.start.offset;
        return Err(Disagreement::Gone { partition: partition(), from: at, start });
    }
    match local {
        Some(local) if local.next.offset == at => {
            let is_same = local.next == remote.next && local.checksum == remote.checksum;
            let other = Disagreement::OtherRecord { partition: partition(), remote: at };
            if is_same { Ok(Agreement::Same) } else { Err(other) }
        }
        _ => Ok(Agreement::Ahead),
    }
}

/// What this process knows of the cluster's position; nobody else should move it.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What stood there last; nothing as long as it was never opened.
    last: Option<Option<Position>>,
    /// What may stand there, because a transaction's outcome is unknown.
    in_doubt: Option<Position>,
}

impl Known {
    /// Notes that a transaction is on its way.
    pub(super) fn attempt(&mut self, position: &Position) {
        self.in_doubt = Some(position.clone());
    }

    /// Notes that the transaction changed nothing.
    pub(super) fn refused(&mut self) {
        self.in_doubt = None;
    }

    /// Notes what stands there.
    pub(super) fn settle(&mut self, position: Option<&Position>) {
        *self = Self { last: Some(position.cloned()), in_doubt: None };
    }

    /// Checks that the cluster shows what this process left there.
    pub(super) fn check(
        &self,
        partition: &TopicPartition,
        found: Option<&Position>,
    ) -> Result<(), Disagreement> {
        let Some(last) = &self.last else { return Ok(()) };
        let last = last.as_ref();
        if found == last || (found.is_some() && found == self.in_doubt.as_ref()) {
            return Ok(());
        }
        let partition = partition.clone();
        let known = last.map_or(Offset::ZERO, |last| last.next.offset);
        match found.map(|found| found.next.offset) {
            None => Err(Disagreement::Forgotten { partition, local: known }),
            Some(remote) if remote < known => {
                Err(Disagreement::RolledBack { partition, local: known, remote })
            }
            Some(remote) => Err(Disagreement::MovedByAnother { partition, known, remote }),
        }
    }
}

#[cfg(test)]
mod tests;
