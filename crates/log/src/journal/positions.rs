//! Positions: refused with the remedy when they do not fit this log, never skipped or rounded.

use millstream_model::{Incarnation, LogPosition, Offset, TopicPartition};

use super::codec::PartitionKey;
use super::error::FileError;
use super::shared::Shared;
use super::state::State;
use super::task_table::Task;
use super::topic_table::Span;
use crate::error::{PositionRefused, ReaderError};
use crate::transaction::Committed;

/// Checks that a position belongs to this log, topic and history, and lies within bounds.
pub(super) fn check(
    shared: &Shared,
    partition: &TopicPartition,
    position: &LogPosition,
) -> Result<PartitionKey, ReaderError> {
    let unknown = || ReaderError::UnknownPartition(partition.clone());
    let (key, topic) = shared.resolve(partition).ok_or_else(unknown)?;
    if position.log != shared.log {
        return Err(PositionRefused::OtherLog {
            partition: partition.clone(),
            named: position.log,
            found: shared.log,
        }
        .into());
    }
    if position.topic != topic.id {
        return Err(PositionRefused::OtherTopic {
            partition: partition.clone(),
            named: position.topic,
            found: topic.id,
        }
        .into());
    }
    let span = *shared.state().topics.span(key).ok_or_else(unknown)?;
    let offset = position.offset;
    if offset > span.end {
        let end = span.end;
        return Err(PositionRefused::BeyondEnd { partition: partition.clone(), offset, end }.into());
    }
    if offset < span.start {
        return Err(before_start(partition, offset, span.start).into());
    }
    match incarnation_before(shared, key, offset, &span)? {
        Some(found) if found == position.incarnation => Ok(key),
        Some(found) => Err(PositionRefused::OtherHistory {
            partition: partition.clone(),
            offset,
            named: position.incarnation,
            found,
        }
        .into()),
        // Retention moved the start in the meantime.
        None => {
            let start = shared.state().topics.span(key).map_or(offset, |span| span.start);
            Err(before_start(partition, offset, start).into())
        }
    }
}

fn before_start(partition: &TopicPartition, offset: Offset, start: Offset) -> PositionRefused {
    PositionRefused::BeforeStart { partition: partition.clone(), offset, start }
}

/// Returns the incarnation of the record before `offset`; `None` when no segment holds it.
pub(super) fn incarnation_before(
    shared: &Shared,
    key: PartitionKey,
    offset: Offset,
    span: &Span,
) -> Result<Option<Incarnation>, FileError> {
    if offset == span.end {
        return Ok(Some(span.end_incarnation));
    }
    if offset == span.start {
        return Ok(Some(span.start_incarnation));
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
