//! How far each task is behind: in records, and in seconds since the next one was accepted.
//!
//! It asks the logs alone, so that the answer is the same whichever node owns a task, and also when
//! none runs. A position is read before the end it is measured against: what comes meanwhile shows
//! as not yet read, and nothing is ever below zero.
//!
//! A cluster may be away, or hold one partition back, while all else can be told. So each row is
//! looked up by itself and within a bound; one that cannot be says why, and spoils no other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use millstream_log::{AdminError, Log, PositionRefused, ReaderError, check};
use millstream_model::{Classify, ErrorClass, LogPosition, Offset, TaskId, TopicPartition};
use millstream_pipeline::spool::local_task;
use millstream_runtime::task::TaskError;
use millstream_runtime::{Clock, Context, TaskKind, spawn_blocking};
use thiserror::Error;
use tokio::runtime::Handle;

use crate::flow::{APP, Flow, sink_task};
use crate::reading::{each, first_record};
use crate::status::{InputRow, LagRow, TaskRow, Unit};
use crate::survey::partitions;

/// How long it may take to find out which tasks the log knows beyond the flow's.
const TASKS_TIME_MAX: Duration = Duration::from_secs(3);

/// How long one row may take.
const ROW_TIME_MAX: Duration = Duration::from_secs(4);

/// How long all rows may take: those whose turn comes later are not known.
const ROWS_TIME_MAX: Duration = Duration::from_secs(6);

/// Why the lag is not known.
#[derive(Debug, Error)]
pub(crate) enum LagError {
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
            Self::Tasks(error) => error.class(),
            Self::Flow(_) => ErrorClass::Corrupt,
            Self::Thread(_) => ErrorClass::Bug,
        }
    }
}

/// Whose tasks are asked for.
#[derive(Debug)]
pub(crate) struct Asked<'f> {
    /// The log that they read.
    pub(crate) log: Arc<dyn Log>,
    /// The collector's journal, where it is forwarded to that log.
    pub(crate) spool: Option<Arc<dyn Log>>,
    /// Which there are.
    pub(crate) flow: &'f Flow,
}

/// One input of one task.
#[derive(Debug, Clone)]
struct Subject {
    log: Arc<dyn Log>,
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
    asked: Asked<'_>,
    clock: Clock,
) -> Result<Vec<LagRow>, LagError> {
    let subjects = subjects(&asked)?;
    let (cx, log, runtime) = (cx.clone(), asked.log, Handle::current());
    // A log reads its files inline: not on a thread that serves others.
    let look = move || runtime.block_on(look(&cx, &log, subjects, &clock));
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

/// Returns the inputs of all tasks of the flow, in the order in which events pass them.
fn subjects(Asked { log, spool, flow }: &Asked<'_>) -> Result<Vec<Subject>, LagError> {
    let subject = |task, role, input| Subject { log: Arc::clone(log), task, role, input };
    let mut subjects = Vec::new();
    if let Some(spool) = spool {
        for input in partitions(flow, &flow.collected)? {
            let (log, task) = (Arc::clone(spool), local_task(APP, &input));
            subjects.push(Subject { log, task, role: "spool", input });
        }
    }
    for pipeline in &flow.pipelines {
        for input in partitions(flow, &pipeline.from)? {
            subjects.push(subject(pipeline.task(input.partition.0), "clean", input));
        }
    }
    for sink in &flow.sinks {
        for input in partitions(flow, &sink.from)? {
            subjects.push(subject(sink_task(&sink.name, input.partition.0), "sink", input));
        }
    }
    Ok(subjects)
}

async fn look(
    cx: &Context,
    log: &Arc<dyn Log>,
    mut subjects: Vec<Subject>,
    clock: &Clock,
) -> Result<Vec<LagRow>, LagError> {
    match strangers(&cx.with_timeout(TASKS_TIME_MAX), log, &subjects).await {
        Ok(strangers) => subjects.extend(strangers),
        // A cluster that does not answer: the rows that are asked for say so.
        Err(error) if is_passing(error.class()) => {}
        Err(error) => return Err(error.into()),
    }
    let cx = cx.with_timeout(ROWS_TIME_MAX);
    let row = async |subject| Ok::<_, LagError>(row(&cx, &subject, clock).await);
    each(subjects, row).await
}

/// Returns the inputs of tasks that the log knows and the flow does not.
async fn strangers(
    cx: &Context,
    log: &Arc<dyn Log>,
    known: &[Subject],
) -> Result<Vec<Subject>, AdminError> {
    let known: BTreeSet<&TaskId> = known.iter().map(|subject| &subject.task).collect();
    let mut strangers = Vec::new();
    for task in log.admin().tasks(cx).await?.into_iter().filter(|task| !known.contains(task)) {
        // Of one whose position cannot be read there is no input to name.
        let committed = log.committed(cx, &task).await.ok().flatten().unwrap_or_default();
        for input in committed.consumed.into_keys() {
            let log = Arc::clone(log);
            strangers.push(Subject { log, task: task.clone(), role: "orphan", input });
        }
    }
    Ok(strangers)
}

fn is_passing(class: ErrorClass) -> bool {
    matches!(class, ErrorClass::Transient | ErrorClass::Cancelled)
}

/// Looks one row up; what is not known says why.
async fn row(cx: &Context, subject: &Subject, clock: &Clock) -> LagRow {
    let found = behind(&cx.with_timeout(ROW_TIME_MAX), subject, clock).await;
    let unknown = found.as_ref().err().map(|error| match error {
        ReaderError::Cancelled(_) => "the log did not answer in time".to_owned(),
        error => with_causes(error),
    });
    let found = found.ok();
    let place = |of: fn(&Behind) -> Offset| found.as_ref().map(|found| of(found).0);
    let (next, end) = (place(|found| found.next), place(|found| found.end));
    let problem = found.as_ref().and_then(|found| found.problem.as_ref());
    LagRow {
        task: subject.task.to_string(),
        role: subject.role.to_owned(),
        state: None,
        topic: subject.input.topic.to_string(),
        partition: subject.input.partition.0,
        next,
        end,
        lag: next.zip(end).map(|(next, end)| end.saturating_sub(next)),
        unit: Unit::of(&*subject.log),
        delay_ms: found.as_ref().and_then(|found| found.delay_ms),
        problem: problem.map(ToString::to_string),
        unknown,
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn behind(cx: &Context, subject: &Subject, clock: &Clock) -> Result<Behind, ReaderError> {
    let Subject { log, task, input, .. } = subject;
    let committed = log.committed(cx, task).await?.unwrap_or_default();
    let bounds = log.bounds(cx, input).await?;
    let end = bounds.end.offset;
    let (from, problem) = match committed.consumed.get(input) {
        Some(next) => (*next, check::position(input, next, &bounds).err()),
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
    match first_unread(cx, &**log, input, from, end).await {
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
