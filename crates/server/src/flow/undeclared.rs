//! Finds pipelines and sinks that are new to a shared log and stand where others have been.
//!
//! What this worker ran last ([`super::renamed`]) says nothing on a cluster: another worker may have
//! run the same pipeline under another name. So before a pipeline begins on a topic on which another
//! one has positions, the configuration must say which of both it is: the same one (`renamed_from`),
//! or one more (`start: beginning`). A sink must say so where its table has positions of another.

use std::collections::BTreeSet;

use millstream_lake::position::standing;
use millstream_lake::{Lake, LakeError};
use millstream_log::{AdminError, Log, ReaderError};
use millstream_model::{Classify, ErrorClass, TaskId};
use millstream_runtime::Context;
use thiserror::Error;

use super::{APP, processor_task};
use crate::config::{Config, PipelineSpec, SinkSpec};

/// Why a pipeline or a sink may not begin.
#[derive(Debug, Error)]
pub(crate) enum Undeclared {
    /// Another pipeline has positions on the topic.
    #[error(
        "pipeline `{new}` is new to this cluster, and pipeline `{old}`, which is not in this \
         configuration, has read the same topic `{topic}`: if it is the same one, add \
         `renamed_from: {old}` to `pipelines.{new}`; if it is one more, add `start: beginning`"
    )]
    Pipeline {
        /// The name that is new.
        new: String,
        /// The name that has positions.
        old: String,
        /// The topic.
        topic: String,
    },
    /// Another sink has filled the table.
    #[error(
        "sink `{new}` is new to table `{table}`, which sink `{old}`, which is not in this \
         configuration, has filled from the same topic `{topic}`: add `renamed_from: {old}` to \
         `sinks.{new}`, or let it fill a new table"
    )]
    Sink {
        /// The name that is new.
        new: String,
        /// The name that has positions.
        old: String,
        /// The table.
        table: String,
        /// The topic.
        topic: String,
    },
    /// The tasks could not be listed.
    #[error("list the tasks of the log")]
    Tasks(#[from] AdminError),
    /// A position could not be looked up.
    #[error("look up where a task stands")]
    Committed(#[from] ReaderError),
    /// The table could not be looked at.
    #[error("look at a sink's table")]
    Table(#[from] LakeError),
}

impl Classify for Undeclared {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Pipeline { .. } | Self::Sink { .. } => ErrorClass::Invalid,
            Self::Tasks(error) => error.class(),
            Self::Committed(error) => error.class(),
            Self::Table(error) => error.class(),
        }
    }
}

/// Refuses what is new and does not say what it is, before anything is changed.
pub(super) async fn check(
    cx: &Context,
    config: &Config,
    log: &dyn Log,
    lake: &Lake,
) -> Result<(), Undeclared> {
    let is_silent = |it: &&PipelineSpec| it.renamed_from.is_none() && it.start.is_none();
    let mut silent = config.pipelines.iter().filter(is_silent).peekable();
    if silent.peek().is_some() {
        let tasks = log.admin().tasks(cx).await?;
        let others = Others { config, log, tasks: &tasks };
        for one in silent {
            others.refuse_pipeline(cx, one).await?;
        }
    }
    for one in config.sinks.iter().filter(|it| it.renamed_from.is_none()) {
        sink(config, log, lake, one).await?;
    }
    Ok(())
}

/// What has worked on the log, to look for pipelines in that are not in the configuration.
struct Others<'a> {
    config: &'a Config,
    log: &'a dyn Log,
    /// Every task of the log.
    tasks: &'a [TaskId],
}

impl Others<'_> {
    /// Refuses a pipeline that never ran, on a topic that another one has read.
    async fn refuse_pipeline(
        &self,
        cx: &Context,
        pipeline: &PipelineSpec,
    ) -> Result<(), Undeclared> {
        let (new, topic) = (&pipeline.name.value, &pipeline.from.value);
        let is_own = |partition| self.tasks.contains(&processor_task(new, partition));
        if (0..self.config.partitions(topic)).any(is_own) {
            return Ok(());
        }
        let names = self.config.pipelines.iter().map(|it| it.name.value.as_str());
        let known: BTreeSet<&str> = names.collect();
        // A pipeline reads one topic: the first of its tasks that has read anything tells which.
        let mut told: BTreeSet<&str> = BTreeSet::new();
        for task in self.tasks {
            let Some(old) = pipeline_of(task).filter(|old| !known.contains(old)) else { continue };
            if told.contains(old) {
                continue;
            }
            let Some(committed) = self.log.committed(cx, task).await? else { continue };
            if committed.consumed.keys().any(|input| input.topic == *topic) {
                let (new, old, topic) = (new.clone(), old.to_owned(), topic.to_string());
                return Err(Undeclared::Pipeline { new, old, topic });
            }
            if !committed.consumed.is_empty() {
                told.insert(old);
            }
        }
        Ok(())
    }
}

/// Refuses a sink that never committed to its table, where another one did from the same topic.
async fn sink(
    config: &Config,
    log: &dyn Log,
    lake: &Lake,
    sink: &SinkSpec,
) -> Result<(), Undeclared> {
    let (new, table, topic) = (&sink.name.value, &sink.table.value, &sink.from.value);
    let Some(version) = lake.find(table).await? else { return Ok(()) };
    // A table that was set back, or lost its positions, is the sink's own affair.
    let Ok(standing) = standing(table, &version.metadata) else { return Ok(()) };
    let sinks = standing.map.sinks;
    if sinks.contains_key(new) {
        return Ok(());
    }
    let log = log.admin().log_id();
    let known: BTreeSet<&str> = config.sinks.iter().map(|it| it.name.value.as_str()).collect();
    let mut others = sinks.iter().filter(|(old, _)| !known.contains(old.as_str()));
    match others.find(|(_, positions)| positions.log == log && positions.topic == *topic) {
        None => Ok(()),
        Some((old, _)) => {
            let (new, old) = (new.clone(), old.clone());
            Err(Undeclared::Sink { new, old, table: table.to_string(), topic: topic.to_string() })
        }
    }
}

/// Returns which pipeline a task is of; `None` for the tasks of other roles.
fn pipeline_of(task: &TaskId) -> Option<&str> {
    let rest = task.as_str().strip_prefix(APP)?.strip_prefix('.')?;
    let (name, partition) = rest.split_once(".clean.")?;
    (partition.parse::<u32>().is_ok() && !name.contains('.')).then_some(name)
}

#[cfg(test)]
mod tests;
