//! Finds tasks that cannot go on from where they stand, and lets them go on where a person says.
//!
//! A log that was taken back, a topic that was created anew, a table that was set back: the task is
//! refused, and stays so until somebody decides which records to skip, or to store again. Tasks that
//! can go on are left alone, so it may be done again; what a crash left undone is then finished.

use std::fmt;

use millstream_log::{Consumed, FetchLimits, Log, OpenError, Owner, ReaderError, Reposition};
use millstream_model::{
    Classify, ErrorClass, LogPosition, Offset, TaskId, TopicName, TopicPartition,
};
use millstream_pipeline::Counts;
use millstream_pipeline::counts::{Beginning, CountsError};
use millstream_runtime::Context;
use thiserror::Error;

mod sink;

pub(crate) use sink::SinkReset;

/// Where a task is to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Place {
    /// At the first readable record: nothing is skipped that is still there.
    Beginning,
    /// At the end: everything that is there is skipped.
    End,
    /// Where the table's current snapshot stands; only of a sink.
    Table,
}

/// A task that goes on elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// The task.
    pub(crate) task: TaskId,
    /// What it reads.
    pub(crate) input: TopicPartition,
    /// Why it cannot go on.
    pub(crate) why: String,
    /// Where it stands; `None` when that is gone.
    pub(crate) stood: Option<LogPosition>,
    /// Where it goes on.
    pub(crate) to: LogPosition,
    /// The first readable offset.
    start: Offset,
}

impl Step {
    /// Returns how many offsets nobody will read.
    pub(crate) fn skipped(&self) -> u64 {
        let from = self.stood_here().unwrap_or(self.start);
        self.to.offset.0.saturating_sub(from.0)
    }

    /// Returns how many offsets will be read a second time.
    pub(crate) fn again(&self) -> u64 {
        self.stood_here().map_or(0, |stood| stood.0.saturating_sub(self.to.offset.0))
    }

    /// Returns where it stood, if that was in what is there now.
    fn stood_here(&self) -> Option<Offset> {
        let is_same =
            |stood: &LogPosition| stood.log == self.to.log && stood.topic == self.to.topic;
        self.stood.filter(is_same).map(|stood| stood.offset)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, input, why, stood, to, .. } = self;
        let (skipped, again) = (self.skipped(), self.again());
        write!(f, "{task}: goes on in {input} at offset {}, ", to.offset)?;
        match (stood, self.stood_here()) {
            (Some(_), Some(stood)) => {
                write!(f, "stood at {stood}: {skipped} offsets skipped, {again} read again")?;
            }
            (Some(stood), None) => write!(
                f,
                "stood at {} of what was there before: {skipped} offsets skipped",
                stood.offset
            )?,
            (None, _) => write!(
                f,
                "where it stood is gone: {skipped} offsets skipped, how many are read again is not \
                 known"
            )?,
        }
        write!(f, "\n  refused until now: {why}")
    }
}

/// Why no task was moved, or not every one; doing it again is safe.
#[derive(Debug, Error)]
pub(crate) enum ResetError {
    /// The log could not be read.
    #[error("read the log")]
    Log(#[from] ReaderError),
    /// A task could not be opened or moved.
    #[error("task {task}")]
    Task {
        /// The task.
        task: TaskId,
        /// Why.
        source: OpenError,
    },
    /// Its counts are not readable.
    #[error("counts of task {task}")]
    Counts {
        /// The task.
        task: TaskId,
        /// Why.
        source: CountsError,
    },
    /// The table could not be read or changed.
    #[error(transparent)]
    Lake(#[from] millstream_lake::LakeError),
    /// The table could not be created.
    #[error(transparent)]
    Sink(#[from] millstream_pipeline::sink::SinkError),
    /// The log does not have what follows the table.
    #[error(
        "the table stands at offset {offset} of {input}, and the log does not have what follows: \
         {why}; nothing was changed; restore the log, or choose --from beginning or --from end"
    )]
    NotInLog {
        /// The partition.
        input: TopicPartition,
        /// Where the table stands.
        offset: Offset,
        /// What the log says.
        why: String,
    },
}

impl Classify for ResetError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Log(error) => error.class(),
            Self::Task { source, .. } => source.class(),
            Self::Counts { source, .. } => source.class(),
            Self::Lake(error) => error.class(),
            Self::Sink(error) => error.class(),
            Self::NotInLog { .. } => ErrorClass::Invalid,
        }
    }
}

/// The tasks of a pipeline that are to go on elsewhere.
#[derive(Debug)]
pub(crate) struct PipelineReset<'r> {
    /// The log.
    pub(crate) log: &'r dyn Log,
    /// The topic that the pipeline reads.
    pub(crate) topic: &'r TopicName,
    /// Its tasks, one for each partition.
    pub(crate) tasks: Vec<TaskId>,
    /// Where they are to go on.
    pub(crate) place: Place,
}

impl PipelineReset<'_> {
    /// Finds the tasks that cannot go on. Takes them over from whoever owns them, who opens again.
    pub(crate) async fn plan(&self, cx: &Context) -> Result<Vec<Step>, ResetError> {
        let mut steps = Vec::new();
        for (number, task) in (0..).zip(&self.tasks) {
            let input = TopicPartition::new(self.topic.clone(), number);
            let (stood, refused) = open(cx, self.log, task, &input).await?;
            let why = match (refused, stood) {
                (None, Some(stood)) => unreadable(cx, self.log, &input, stood).await?,
                (refused, _) => refused,
            };
            let Some(why) = why else { continue };
            let bounds = self.log.bounds(cx, &input).await?;
            let to = if self.place == Place::End { bounds.end } else { bounds.start };
            let (task, start) = (task.clone(), bounds.start.offset);
            steps.push(Step { task, input, why, stood, to, start });
        }
        Ok(steps)
    }

    /// Moves the tasks, one by one.
    pub(crate) async fn apply(&self, cx: &Context, steps: &[Step]) -> Result<(), ResetError> {
        for step in steps {
            let mut positions = Vec::new();
            if self.log.admin().is_gapless() {
                let committed = self.log.committed(cx, &step.task).await?.unwrap_or_default();
                let counts = Counts::of_committed(&committed);
                let task = step.task.clone();
                let counts = counts.map_err(|source| ResetError::Counts { task, source })?;
                // What is skipped counts as before it began: it will never be read.
                let begin = Offset(step.to.offset.0.saturating_sub(counts.read));
                let beginning = Beginning::at(step.input.clone(), begin);
                positions.push((Beginning::source_id(), beginning.encode()));
            }
            move_task(cx, self.log, step, positions).await?;
        }
        Ok(())
    }
}

/// Opens a task as a node does; returns where it stands, and why it is refused there, if it is.
async fn open(
    cx: &Context,
    log: &dyn Log,
    task: &TaskId,
    input: &TopicPartition,
) -> Result<(Option<LogPosition>, Option<String>), ResetError> {
    let inputs = vec![input.clone()];
    let owner = Owner { task: task.clone(), inputs, renamed_from: None };
    match log.open(cx, &owner).await {
        Ok(opened) => Ok((opened.committed.consumed.get(input).copied(), None)),
        Err(OpenError::Position(refused)) => {
            let committed = log.committed(cx, task).await?.unwrap_or_default();
            Ok((committed.consumed.get(input).copied(), Some(refused.to_string())))
        }
        Err(source) => Err(ResetError::Task { task: task.clone(), source }),
    }
}

/// Returns why nothing can be read from a position, if that is so.
async fn unreadable(
    cx: &Context,
    log: &dyn Log,
    input: &TopicPartition,
    from: LogPosition,
) -> Result<Option<String>, ResetError> {
    let limits = FetchLimits { bytes_max: 1, wait_max: std::time::Duration::ZERO };
    let fetched = match log.reader(cx, input, from).await {
        // Brokers compare what was before a position only when it is read from.
        Ok(mut reader) => reader.fetch(cx, limits).await.map(drop),
        Err(error) => Err(error),
    };
    match fetched {
        Ok(()) => Ok(None),
        Err(ReaderError::Position(refused)) => Ok(Some(refused.to_string())),
        Err(error) => Err(error.into()),
    }
}

async fn move_task(
    cx: &Context,
    log: &dyn Log,
    step: &Step,
    positions: Vec<(millstream_model::SourceId, bytes::Bytes)>,
) -> Result<(), ResetError> {
    let consumed = vec![Consumed { partition: step.input.clone(), next: step.to }];
    let to = Reposition { task: step.task.clone(), consumed, positions };
    let moved = log.admin().reposition(cx, &to).await;
    moved.map_err(|source| ResetError::Task { task: step.task.clone(), source })
}

#[cfg(test)]
mod tests;
