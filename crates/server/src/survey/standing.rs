//! What keeps the books from being drawn up, or explains why they do not balance: a table that is
//! not here, and positions that the log refuses.

use millstream_log::{Committed, Log, PositionRefused, check};
use millstream_model::{LogPosition, TaskId, TopicPartition};
use millstream_runtime::Context;

use super::{Registered, Stored, SurveyError};
use crate::accounting::Absent;
use crate::flow::FlowSink;

/// Tells whether a sink's table, or what the sink stored of a partition, is somewhere else.
///
/// A sink registers in the log what its table has: where it did and the table has nothing, this is
/// another table. The sink itself refuses that in the same way when it opens.
pub(super) fn absent(
    sink: &FlowSink,
    tasks: &[Registered],
    stored: Option<&Stored>,
) -> Option<Absent> {
    let is_lost = |task: &&Registered| {
        let has_nothing = |stored: &Stored| stored.of(task.partition.partition).is_none();
        task.committed.began && stored.is_none_or(has_nothing)
    };
    let lost: Vec<&Registered> = tasks.iter().filter(is_lost).collect();
    if stored.is_some() && lost.is_empty() {
        return None;
    }
    Some(Absent {
        sink: sink.name.clone(),
        table: sink.table.clone(),
        partitions: stored.map(|_| lost.iter().map(|task| task.partition.partition.0).collect()),
        registered: lost.iter().map(|task| task.counts.read).sum(),
    })
}

/// Returns why a sink's tasks cannot go on from where its table stands.
pub(super) async fn of_sink(
    cx: &Context,
    log: &dyn Log,
    tasks: &[Registered],
    stored: &Stored,
) -> Result<Vec<String>, SurveyError> {
    let mut refused = Vec::new();
    for task in tasks {
        let number = task.partition.partition;
        let Some(next) = stored.next(number) else { continue };
        let there = log.bounds(cx, &task.partition).await?.start;
        if let Err(why) = check::identity(&task.partition, &next, &there) {
            refused.push(format!("task {}: {why}", task.task));
        }
    }
    Ok(refused)
}

/// Returns why a task cannot go on from where it stands, if what is there now is not what it read;
/// `there` is a position of it.
pub(super) fn refused(
    log: &dyn Log,
    task: &TaskId,
    (partition, committed): (&TopicPartition, &Committed),
    (place, there): (LogPosition, LogPosition),
) -> Option<String> {
    let refused = match check::resume(task, committed, partition) {
        Ok(_) => check::identity(partition, &place, &there).err()?,
        Err(lost) => lost,
    };
    let is_lost = matches!(refused, PositionRefused::Lost { .. });
    // Brokers delete a group's offsets together with the topic.
    let cause = if is_lost && !log.admin().is_gapless() {
        "; Kafka forgets it together with a topic that is deleted: it was probably created anew"
    } else {
        ""
    };
    Some(format!("task {task}: {refused}{cause}"))
}
