//! Positions: refused with the remedy when they do not fit this log, never skipped or rounded.

use millstream_model::{Incarnation, LogPosition, Offset, TopicPartition};

use super::codec::PartitionKey;
use super::error::FileError;
use super::shared::Shared;
use super::state::State;
use super::task_table::Task;
use crate::check;
use crate::contract::Bounds;
use crate::error::{PositionRefused, ReaderError};
use crate::transaction::Committed;

/// Checks that a position belongs to this log, topic and history, and lies within bounds.
pub(super) fn check(
    shared: &Shared,
    partition: &TopicPartition,
    position: &LogPosition,
) -> Result<PartitionKey, ReaderError> {
    let unknown = || ReaderError::UnknownPartition(partition.clone());
    let (key, bounds) = shared.resolve(partition).ok_or_else(unknown)?;
    check::position(partition, position, &bounds)?;
    let offset = position.offset;
    match incarnation_before(shared, key, offset, &bounds)? {
        Some(found) => check::history(partition, position, found)?,
        // Retention moved the start in the meantime.
        None => {
            let start = shared.bounds(partition).ok_or_else(unknown)?.start.offset;
            let partition = partition.clone();
            return Err(PositionRefused::BeforeStart { partition, offset, start }.into());
        }
    }
    Ok(key)
}

/// Returns the incarnation of the record before `offset`; `None` when no segment holds it.
pub(super) fn incarnation_before(
    shared: &Shared,
    key: PartitionKey,
    offset: Offset,
    bounds: &Bounds,
) -> Result<Option<Incarnation>, FileError> {
    for known in [bounds.end, bounds.start] {
        if offset == known.offset {
            return Ok(Some(known.incarnation));
        }
    }
    let segment = shared.segments.find(key, Offset(offset.0 - 1))?;
    Ok(segment.map(|segment| segment.incarnation()))
}

/// Returns what a task committed, as its owner sees it.
pub(super) fn committed_of(task: &Task, state: &State) -> Committed {
    let consumed = task.consumed.iter().filter_map(|(key, (incarnation, offset))| {
        let topic = state.topics.numbered(key.topic)?.topic.id;
        let position =
            LogPosition { log: state.log, topic, incarnation: *incarnation, offset: *offset };
        Some((state.topics.name(*key)?, position))
    });
    Committed { began: task.began, consumed: consumed.collect(), positions: task.positions.clone() }
}
