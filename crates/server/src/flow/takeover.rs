//! Lets what was renamed take over what stands under its old name: in the log and in the table.
//!
//! It happens before the flow is written and before any task runs: once a node knows a pipeline by
//! its new name, its positions stand there. Each step is atomic and finds nothing left to do when
//! it is done again, so a crash between them is completed by the next start.

use millstream_lake::{Lake, LakeError, Rename, TableName};
use millstream_log::{Log, OpenError, Owner, ReaderError};
use millstream_model::{Classify, ErrorClass, TaskId, TopicName, TopicPartition};
use millstream_runtime::Context;
use thiserror::Error;
use tracing::info;

use super::undeclared::{self, Undeclared};
use super::{processor_task, sink_task};
use crate::config::Config;

/// Why the positions of an old name could not be taken over.
#[derive(Debug, Error)]
pub(crate) enum TakeoverError {
    /// Both names have positions.
    #[error(
        "task {new} is to take over the positions of {old}, and has some of its own: remove \
         `renamed_from` if it is to go on where it stands, or give it another name"
    )]
    Both {
        /// The task under the old name.
        old: TaskId,
        /// The task under the new name.
        new: TaskId,
    },
    /// The positions of the old name could not be looked up.
    #[error("look up task {task}")]
    Committed {
        /// The task.
        task: TaskId,
        /// Why.
        #[source]
        source: ReaderError,
    },
    /// The task could not be opened under its new name.
    #[error("open task {task}, renamed from {old}")]
    Open {
        /// The task.
        task: TaskId,
        /// Its old name.
        old: TaskId,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// The table could not be changed.
    #[error("rename sink {old} to {new}")]
    Table {
        /// The old name.
        old: String,
        /// The new name.
        new: String,
        /// Why.
        #[source]
        source: LakeError,
    },
    /// Something is new and stands where another was.
    #[error(transparent)]
    Undeclared(#[from] Undeclared),
}

impl Classify for TakeoverError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Both { .. } => ErrorClass::Invalid,
            Self::Committed { source, .. } => source.class(),
            Self::Open { source, .. } => source.class(),
            Self::Table { source, .. } => source.class(),
            Self::Undeclared(error) => error.class(),
        }
    }
}

/// Takes over what stands under the old names of everything that was renamed, and refuses what may
/// be renamed and does not say so.
pub(crate) async fn take_over(
    cx: &Context,
    config: &Config,
    log: &dyn Log,
    lake: &Lake,
) -> Result<(), TakeoverError> {
    // Elsewhere another worker may know as its own what is new to this one.
    if !log.admin().is_gapless() {
        undeclared::check(cx, config, log, lake).await?;
    }
    for pipeline in &config.pipelines {
        let Some(old) = &pipeline.renamed_from else { continue };
        let names = Names { old: &old.value, new: &pipeline.name.value, task: processor_task };
        tasks(cx, config, log, (&pipeline.from.value, names)).await?;
    }
    for sink in &config.sinks {
        let Some(old) = &sink.renamed_from else { continue };
        let names = Names { old: &old.value, new: &sink.name.value, task: sink_task };
        tasks(cx, config, log, (&sink.from.value, names)).await?;
        table(cx, lake, &sink.table.value, names).await?;
    }
    Ok(())
}

/// The old name, the new one, and what a task with such a name is called.
#[derive(Clone, Copy)]
struct Names<'c> {
    old: &'c str,
    new: &'c str,
    task: fn(&str, u32) -> TaskId,
}

async fn tasks(
    cx: &Context,
    config: &Config,
    log: &dyn Log,
    (from, names): (&TopicName, Names<'_>),
) -> Result<(), TakeoverError> {
    for partition in 0..config.partitions(from) {
        let (old, task) = ((names.task)(names.old, partition), (names.task)(names.new, partition));
        if !is_known(cx, log, &old).await? {
            continue;
        }
        if is_known(cx, log, &task).await? {
            return Err(TakeoverError::Both { old, new: task });
        }
        let inputs = vec![TopicPartition::new(from.clone(), partition)];
        let owner = Owner { task: task.clone(), inputs, renamed_from: Some(old.clone()) };
        // The owner is gone at once: the task itself opens again, and fences it.
        match log.open(cx, &owner).await {
            Ok(_owner) => info!(%task, %old, "task takes over the positions of its old name"),
            Err(source) => return Err(TakeoverError::Open { task, old, source }),
        }
    }
    Ok(())
}

async fn is_known(cx: &Context, log: &dyn Log, task: &TaskId) -> Result<bool, TakeoverError> {
    let committed = log.committed(cx, task).await;
    let failed = |source| TakeoverError::Committed { task: task.clone(), source };
    Ok(committed.map_err(failed)?.is_some())
}

async fn table(
    cx: &Context,
    lake: &Lake,
    table: &TableName,
    Names { old, new, .. }: Names<'_>,
) -> Result<(), TakeoverError> {
    lake.rename_sink(cx, table, Rename { old, new }).await.map_err(|source| {
        let (old, new) = (old.to_owned(), new.to_owned());
        TakeoverError::Table { old, new, source }
    })
}
