//! Tasks whose pipeline or sink left the configuration: their positions still hold records back,
//! until the log releases them (`log.orphan_hold`). An operator must be able to see that before
//! and when it fills the disk, so readiness and refusals name them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millstream_log::{AdminError, Log, ReaderError};
use millstream_model::TaskId;
use millstream_runtime::Context;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tracing::warn;

use crate::config::format_duration;
use crate::flow::{Flow, sink_task};
use crate::observer::Observer;

/// How often they are looked for: how old what is shown may be.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How long one look may take.
const LOOK_TIME_MAX: Duration = Duration::from_secs(30);

/// The tasks of one pipeline or sink that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Orphan {
    /// What their ids have in common: `<app>.<name>.<role>`.
    pub(crate) task: String,
    /// How many tasks.
    pub(crate) tasks: u64,
    /// The topics whose records they hold back.
    pub(crate) topics: BTreeSet<String>,
    /// How many records they have not read and nobody else may delete.
    pub(crate) records: u64,
    /// How long the node must run before the log lets go, as in `7 d`.
    pub(crate) hold: String,
}

/// Why orphans could not be looked for.
#[derive(Debug, Error)]
enum LookError {
    #[error("list the tasks of the log")]
    Tasks(#[from] AdminError),
    #[error("look up where a task stands")]
    Position(#[from] ReaderError),
}

impl Orphan {
    /// Says what it holds back, until when, and what to do.
    pub(crate) fn reason(&self) -> String {
        let Self { task, records, topics, hold, .. } = self;
        let topics = topics.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        format!(
            "held: {task} left the configuration and holds back {records} records of {topics} \
             until the node has run for {hold}: put it back, or lower log.orphan_hold"
        )
    }
}

/// Keeps the observer's list of orphans up to date until `cx` ends.
pub(crate) async fn watch(cx: Context, observer: Observer, hold: Duration) {
    let hold = format_duration(hold);
    let mut known = BTreeSet::new();
    while let Some(observed) = observer.observed() {
        let look_cx = cx.with_timeout(LOOK_TIME_MAX);
        match look(&look_cx, &*observed.log, &observed.flow, &hold).await {
            Ok(orphans) => {
                for orphan in orphans.iter().filter(|orphan| known.insert(orphan.task.clone())) {
                    warn!(
                        task = orphan.task,
                        records = orphan.records,
                        "task left the configuration, its positions hold records back"
                    );
                }
                observer.set_orphans(orphans);
            }
            Err(_) if cx.is_cancelled() => return,
            Err(error) => warn!(error = %anyhow::Error::new(error), "orphans are not known"),
        }
        if cx.sleep(LOOK_INTERVAL).await.is_err() {
            return;
        }
    }
}

/// Finds the tasks that the log knows and the flow does not.
async fn look(
    cx: &Context,
    log: &dyn Log,
    flow: &Flow,
    hold: &str,
) -> Result<Vec<Orphan>, LookError> {
    let wanted = tasks_of(flow);
    let mut orphans: BTreeMap<String, Orphan> = BTreeMap::new();
    for task in log.admin().tasks(cx).await? {
        if wanted.contains(&task) {
            continue;
        }
        let Some(committed) = log.committed(cx, &task).await? else { continue };
        let name = shared_name(&task);
        let orphan = orphans.entry(name.clone()).or_insert_with(|| Orphan {
            task: name,
            tasks: 0,
            topics: BTreeSet::new(),
            records: 0,
            hold: hold.to_owned(),
        });
        orphan.tasks += 1;
        for (partition, next) in &committed.consumed {
            let end = log.bounds(cx, partition).await?.end.offset.0;
            orphan.records += end.saturating_sub(next.offset.0);
            orphan.topics.insert(partition.topic.to_string());
        }
    }
    Ok(orphans.into_values().collect())
}

/// Returns every task that a node with this flow opens.
fn tasks_of(flow: &Flow) -> BTreeSet<TaskId> {
    let count = |topic: &str| flow.topic(topic).map_or(0, |topic| topic.partitions);
    let pipelines = flow
        .pipelines
        .iter()
        .flat_map(|pipeline| (0..count(&pipeline.from)).map(|partition| pipeline.task(partition)));
    let sinks = flow
        .sinks
        .iter()
        .flat_map(|sink| (0..count(&sink.from)).map(|partition| sink_task(&sink.name, partition)));
    pipelines.chain(sinks).collect()
}

/// Returns a task's id without its partition.
fn shared_name(task: &TaskId) -> String {
    let id = task.as_str();
    id.rsplit_once('.').map_or(id, |(name, _partition)| name).to_owned()
}

#[cfg(test)]
mod tests;
