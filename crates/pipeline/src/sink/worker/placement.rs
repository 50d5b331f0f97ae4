//! Where a sink reads on: the sink's own position, checked against what the log knows.
//!
//! | Sink's position | Log task | |
//! |---|---|---|
//! | none | never began | from the first readable record |
//! | none | began | refused: the sink lost its rows, or is another one |
//! | T | never began, or at C ≤ T | from T; C < T is a crash before the position was registered |
//! | T | at C > T | refused: the sink was set back to an older state |
//!
//! C is the position of the sink that was registered: behind it the log's own may have moved on
//! past control records ([`super::gap`]).
//!
//! Whether T fits the log (its identity, its bounds, its history) is checked by the log itself
//! when the reader starts.

use millstream_log::Committed;
use millstream_model::{Classify, ErrorClass, LogPosition, Offset, TopicPartition};
use thiserror::Error;

use super::super::SinkPosition;
use super::gap;

/// Why a sink's position and the log's do not go together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PlacementError {
    /// The sink has no position of a partition that it had committed before.
    #[error(
        "the sink has no position of {partition}, but had stored it up to offset {registered}: its \
         table was dropped, emptied of its history, or is another one; bring the table back, or, \
         if the sink was renamed, say so with `renamed_from`, or store everything that is still \
         readable with `millstream tasks reset --from beginning`"
    )]
    Lost {
        /// The partition.
        partition: TopicPartition,
        /// The offset that the log knows.
        registered: Offset,
    },
    /// The sink stands before what it had committed.
    #[error(
        "the sink's position of {partition} is {stored}, but it had stored it up to offset \
         {registered}: its table was set back to an older snapshot; bring the newer one back, or \
         store again what it lost with `millstream tasks reset --from table`"
    )]
    SetBack {
        /// The partition.
        partition: TopicPartition,
        /// The offset that the sink stores.
        stored: Offset,
        /// The offset that the log knows.
        registered: Offset,
    },
}

impl Classify for PlacementError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// Returns where a sink reads `partition` on: from what its log task committed and what the sink
/// stores; `start` is the first readable position.
pub fn place(
    partition: &TopicPartition,
    committed: &Committed,
    stored: Option<&SinkPosition>,
    start: LogPosition,
) -> Result<LogPosition, PlacementError> {
    // A task that never began may have a place all the same: where it begins, kept by the log.
    let registered = gap::registered(committed, partition).filter(|_| committed.began);
    let partition = || partition.clone();
    match (stored.map(|stored| stored.next), registered) {
        (None, None) => Ok(start),
        (None, Some(registered)) => {
            Err(PlacementError::Lost { partition: partition(), registered: registered.offset })
        }
        (Some(stored), Some(registered))
            if is_same_topic(stored, registered) && stored.offset < registered.offset =>
        {
            let (stored, registered) = (stored.offset, registered.offset);
            Err(PlacementError::SetBack { partition: partition(), stored, registered })
        }
        (Some(stored), _) => Ok(stored),
    }
}

/// Returns whether two positions are one, whoever wrote the record before them.
pub(super) fn is_same_place(a: LogPosition, b: LogPosition) -> bool {
    is_same_topic(a, b) && a.offset == b.offset
}

fn is_same_topic(a: LogPosition, b: LogPosition) -> bool {
    a.log == b.log && a.topic == b.topic
}

#[cfg(test)]
pub(super) mod tests;
