//! How far each task is behind: in records, and in seconds since the next one was accepted.
//!
//! It asks the log alone, so that the answer is the same whichever node owns a task, and also when
//! none runs. A position is read before the end it is measured against: what comes meanwhile shows
//! as not yet read, and nothing is ever below zero.

use std::collections::BTreeSet;
use std::sync::Arc;

use millstream_log::{AdminError, Log, PositionRefused, ReaderError};
use millstream_model::{Classify, ErrorClass, LogPosition, Offset, TaskId, TopicPartition};
use millstream_runtime::task::TaskError;
use millstream_runtime::{Clock, Context, TaskKind, spawn_blocking};
use thiserror::Error;
use tokio::runtime::Handle;

use crate::flow::{Flow, sink_task};
use crate::reading::{each, first_record};
use crate::status::{InputRow, LagRow, TaskRow, Unit};
use crate::survey::partitions;

/// Why the lag is not known.
#[derive(Debug, Error)]
pub(crate) enum LagError {
    /// The log could not be read.
    #[error("read the log")]
    Log(#[from] ReaderError),
    /// The log does not say which tasks it knows.
    #[error("list the tasks of the log")]
    Tasks(#[from] AdminError),
    /// A topic of the flow is none.
    #[error("read the flow")]
    Flow(#[from] std::io::Error),
    /// The thread that read it ended.
    #[error("read the log")]
    Thread(#[from] TaskError),
}

impl Classify for LagError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Log(error) => error.class(),
            Self::Tasks(error) => error.class(),
            Self::Flow(_) => ErrorClass::Corrupt,
            Self::Thread(_) => ErrorClass::Bug,
        }
    }
}

/// One input of one task.
#[derive(Debug, Clone)]
struct Subject {
    task: TaskId,
    role: &'static str,
    input: TopicPartition,
}

/// How far a task is behind in one input.
#[derive(Debug)]
struct Behind {
    next: Offset,
    end: Offset,
    delay_ms: Option<u64>,
    problem: Option<PositionRefused>,
}

/// Returns how far every task of the flow is behind, and those that left it.
pub(crate) async fn list(
    cx: &Context,
    log: Arc<dyn Log>,
    flow: &Flow,
    clock: Clock,
) -> Result<Vec<LagRow>, LagError> {
    let subjects = subjects(flow)?;
    let (cx, runtime) = (cx.clone(), Handle::current());
    // A log reads its files inline: not on a thread that serves others.
    let look = move || runtime.block_on(look(&cx, &*log, subjects, &clock));
    spawn_blocking(TaskKind("lag"), look).join().await?
}

/// Adds what the tasks do that a node runs; the tasks of a sink there share a name.
pub(crate) fn with_states(mut rows: Vec<LagRow>, tasks: &[TaskRow]) -> Vec<LagRow> {
    for row in &mut rows {
        let is_it = |task: &&TaskRow| {
            let part = row.task.strip_prefix(&task.task);
            let is_named = part.is_some_and(|part| part.is_empty() || part.starts_with('.'));
            let is_input =
                |input: &InputRow| input.topic == row.topic && input.partition == row.partition;
            is_named && (part == Some("") || task.inputs.iter().any(is_input))
        };
        row.state = tasks.iter().find(is_it).map(|task| task.state.clone());
    }
    rows
}

/// Returns the inputs of all tasks of the flow.
fn subjects(flow: &Flow) -> Result<Vec<Subject>, LagError> {
    let mut subjects = Vec::new();
    for pipeline in &flow.pipelines {
        for input in partitions(flow, &pipeline.from)? {
            let task = pipeline.task(input.partition.0);
            subjects.push(Subject { task, role: "clean", input });
        }
    }
    for sink in &flow.sinks {
        for input in partitions(flow, &sink.from)? {
            let task = sink_task(&sink.name, input.partition.0);
            subjects.push(Subject { task, role: "sink", input });
        }
    }
    Ok(subjects)
}

async fn look(
    cx: &Context,
    log: &dyn Log,
    mut subjects: Vec<Subject>,
    clock: &Clock,
) -> Result<Vec<LagRow>, LagError> {
    let known: BTreeSet<TaskId> = subjects.iter().map(|subject| subject.task.clone()).collect();
    for task in log.admin().tasks(cx).await?.into_iter().filter(|task| !known.contains(task)) {
        let committed = log.committed(cx, &task).await?.unwrap_or_default();
        for input in committed.consumed.into_keys() {
            subjects.push(Subject { task: task.clone(), role: "orphan", input });
        }
    }
    let unit = Unit::of(log);
    each(subjects, async |subject| {
        let Behind { next, end, delay_ms, problem } = behind(cx, log, &subject, clock).await?;
        Ok(LagRow {
            task: subject.task.to_string(),
            role: subject.role.to_owned(),
            state: None,
            topic: subject.input.topic.to_string(),
            partition: subject.input.partition.0,
            next: next.0,
            end: end.0,
            lag: end.0.saturating_sub(next.0),
            unit,
            delay_ms,
            problem: problem.map(|problem| problem.to_string()),
        })
    })
    .await
}

async fn behind(
    cx: &Context,
    log: &dyn Log,
    subject: &Subject,
    clock: &Clock,
) -> Result<Behind, ReaderError> {
    let Subject { task, input, .. } = subject;
    let committed = log.committed(cx, task).await?.unwrap_or_default();
    let bounds = log.bounds(cx, input).await?;
    let end = bounds.end.offset;
    let (from, problem) = match committed.consumed.get(input) {
        Some(next) => (*next, None),
        // A task that is new begins with the first record there is.
        None if !committed.began => (bounds.start, None),
        None => {
            let (task, partition) = (task.clone(), input.clone());
            (bounds.start, Some(PositionRefused::Lost { task, partition }))
        }
    };
    let next = from.offset;
    if problem.is_some() {
        return Ok(Behind { next, end, delay_ms: None, problem });
    }
    if next >= end {
        return Ok(Behind { next, end: next, delay_ms: Some(0), problem });
    }
    match first_unread(cx, log, input, from, end).await {
        Ok(Some(accepted)) => {
            let delay = clock.now().saturating_since(accepted);
            let delay_ms = u64::try_from(delay.as_millis()).ok();
            Ok(Behind { next, end, delay_ms, problem })
        }
        // Control records alone: nothing waits.
        Ok(None) => Ok(Behind { next: end, end, delay_ms: Some(0), problem }),
        Err(ReaderError::Position(refused)) => {
            Ok(Behind { next, end, delay_ms: None, problem: Some(refused) })
        }
        Err(error) => Err(error),
    }
}

/// Returns when the first record was accepted that is not read yet.
async fn first_unread(
    cx: &Context,
    log: &dyn Log,
    input: &TopicPartition,
    from: LogPosition,
    end: Offset,
) -> Result<Option<millstream_model::Timestamp>, ReaderError> {
    let mut reader = log.reader(cx, input, from).await?;
    let first = first_record(cx, &mut *reader, end).await?;
    Ok(first.map(|first| first.accepted))
}

#[cfg(test)]
mod tests;
