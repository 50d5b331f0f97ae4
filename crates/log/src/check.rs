//! What every log refuses, in the same words: the rules of the contract that need no log.
//!
//! A log looks up what it knows, such as its bounds or where a task stands, and asks here. So the
//! journal, the log in memory and the one on Kafka refuse the same things with the same errors,
//! and the conformance suite has one wording to check. Nothing here waits or changes anything.

use millstream_model::position::SOURCE_POSITION_BYTES_MAX;
use millstream_model::{
    Incarnation, LogPosition, Offset, RecordBatch, TaskId, TopicName, TopicPartition,
};

use crate::contract::Bounds;
use crate::error::{AdminError, EnqueueError, OpenError, PositionRefused, TransactError};
use crate::topic::TopicConfig;
use crate::transaction::{Committed, Transaction};

/// The most partitions of one topic.
pub const PARTITIONS_MAX: u32 = 65_536;

/// Checks the size of an append without an owner; returns it.
pub fn append_bytes(
    records: &[(TopicPartition, RecordBatch)],
    bytes_max: usize,
) -> Result<usize, EnqueueError> {
    let bytes = records.iter().map(|(_, batch)| batch.as_bytes().len()).sum();
    within(bytes, bytes_max)?;
    Ok(bytes)
}

/// Checks the size of one record of an append, where a log bounds that.
pub fn record_bytes(bytes: usize, bytes_max: usize) -> Result<(), EnqueueError> {
    within(bytes, bytes_max)
}

fn within(bytes: usize, bytes_max: usize) -> Result<(), EnqueueError> {
    if bytes > bytes_max { Err(EnqueueError::TooLarge { bytes, bytes_max }) } else { Ok(()) }
}

/// Checks the size of a transaction, positions included, and that of each position.
pub fn transaction_bytes(transaction: &Transaction, bytes_max: usize) -> Result<(), TransactError> {
    let of_positions: usize = transaction.positions.iter().map(|(_, value)| value.len()).sum();
    let bytes = transaction.records_bytes() + of_positions;
    if bytes > bytes_max {
        return Err(TransactError::TooLarge { bytes, bytes_max });
    }
    for (source, value) in &transaction.positions {
        if value.len() > SOURCE_POSITION_BYTES_MAX {
            let (name, reason) = (source.to_string(), "it exceeds 4 KiB");
            return Err(TransactError::Position { name, reason });
        }
    }
    Ok(())
}

/// Where a task stands in a partition that it says to have read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The partition is none of its inputs.
    NotAnInput,
    /// It has committed nothing there.
    Begins,
    /// It has committed this as the next offset.
    At(Offset),
}

/// Checks that a task may commit `next` as consumed; says why not.
pub fn consumed(standing: Standing, next: Offset) -> Result<(), &'static str> {
    match standing {
        Standing::NotAnInput => Err("the task does not own this input"),
        Standing::At(before) if next < before => Err("it moves backwards"),
        Standing::Begins | Standing::At(_) => Ok(()),
    }
}

/// Checks that a position names this log and this topic, and lies within bounds.
pub fn position(
    partition: &TopicPartition,
    position: &LogPosition,
    bounds: &Bounds,
) -> Result<(), PositionRefused> {
    let (start, end, offset) = (bounds.start.offset, bounds.end.offset, position.offset);
    identity(partition, position, &bounds.end)?;
    if offset > end {
        return Err(PositionRefused::BeyondEnd { partition: partition.clone(), offset, end });
    }
    if offset < start {
        return Err(PositionRefused::BeforeStart { partition: partition.clone(), offset, start });
    }
    Ok(())
}

/// Checks that a position names the log and the topic that a position there names now.
pub fn identity(
    partition: &TopicPartition,
    position: &LogPosition,
    there: &LogPosition,
) -> Result<(), PositionRefused> {
    let partition = || partition.clone();
    let (named, found) = (position.log, there.log);
    if named != found {
        return Err(PositionRefused::OtherLog { partition: partition(), named, found });
    }
    let (named, found) = (position.topic, there.topic);
    if named != found {
        return Err(PositionRefused::OtherTopic { partition: partition(), named, found });
    }
    Ok(())
}

/// Checks that a position names the history of the record before it, which is that of `found`.
pub fn history(
    partition: &TopicPartition,
    position: &LogPosition,
    found: Incarnation,
) -> Result<(), PositionRefused> {
    let LogPosition { incarnation: named, offset, .. } = *position;
    if named != found {
        let partition = partition.clone();
        return Err(PositionRefused::OtherHistory { partition, offset, named, found });
    }
    Ok(())
}

/// Returns where a task goes on in one input; `None` when it never committed anything. Refuses a
/// task that did, and whose position is gone.
pub fn resume(
    task: &TaskId,
    committed: &Committed,
    input: &TopicPartition,
) -> Result<Option<LogPosition>, PositionRefused> {
    match committed.consumed.get(input) {
        Some(position) => Ok(Some(*position)),
        None if committed.began => {
            Err(PositionRefused::Lost { task: task.clone(), partition: input.clone() })
        }
        None => Ok(None),
    }
}

/// Checks that one task more may be open beside `open` others.
pub fn one_task_more(task: &TaskId, open: usize, tasks_max: usize) -> Result<(), OpenError> {
    if open >= tasks_max {
        return Err(OpenError::TooManyTasks { task: task.clone(), tasks_max });
    }
    Ok(())
}

/// Checks the configuration of a topic, and that it leaves the number of partitions of one that
/// exists.
pub fn topic(
    name: &TopicName,
    config: &TopicConfig,
    existing: Option<&TopicConfig>,
) -> Result<(), AdminError> {
    let wanted = config.partitions;
    if !(1..=PARTITIONS_MAX).contains(&wanted) {
        let (topic, reason) = (name.clone(), "it must have 1 to 65536 partitions");
        return Err(AdminError::Config { topic, reason });
    }
    match existing.map(|existing| existing.partitions) {
        Some(found) if found != wanted => {
            Err(AdminError::Partitions { topic: name.clone(), found, wanted })
        }
        _ => Ok(()),
    }
}

/// Checks that a trim passes neither the end of its partition nor the slowest task there.
pub fn trim(
    partition: &TopicPartition,
    before: Offset,
    end: Offset,
    slowest: Option<(TaskId, Offset)>,
) -> Result<(), AdminError> {
    if before > end {
        let (topic, reason) = (partition.topic.clone(), "trim would pass the end of the partition");
        return Err(AdminError::Config { topic, reason });
    }
    match slowest {
        Some((task, position)) if before > position => {
            let partition = partition.clone();
            Err(AdminError::PassesPosition { partition, before, task, position })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
