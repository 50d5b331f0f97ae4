//! What a node says about itself over the admin API: the shapes on the wire.
//!
//! They are apart from what the tasks compute with, so that the API stays stable when those
//! change.

use millstream_log::Log;
use millstream_pipeline::{Counts, StateStatus, TaskState, TaskStatus};
use serde::{Deserialize, Serialize};

use crate::accounting::Tally;
use crate::orphans::Orphan;
use crate::presence::NodeInfo;

/// The answer of `/api/v1/status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Status {
    /// Where the node runs.
    pub(crate) node: NodeInfo,
    /// Whether it admits work.
    pub(crate) ready: bool,
    /// Why it does not; empty when it does.
    pub(crate) reasons: Vec<String>,
    /// What an operator should know all the same.
    #[serde(default)]
    pub(crate) notes: Vec<String>,
    /// Its topics.
    pub(crate) topics: Vec<TopicRow>,
    /// Its tasks.
    pub(crate) tasks: Vec<TaskRow>,
    /// Tasks that left the configuration and still hold records back.
    #[serde(default)]
    pub(crate) orphans: Vec<Orphan>,
}

/// One topic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TopicRow {
    /// Its name.
    pub(crate) name: String,
    /// Its partitions.
    pub(crate) partitions: Vec<PartitionRow>,
}

/// One partition.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PartitionRow {
    /// Its number.
    pub(crate) partition: u32,
    /// The first readable offset.
    pub(crate) start: u64,
    /// The offset after the last.
    pub(crate) end: u64,
}

/// What the distance of two offsets counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    /// Records: the log has no gaps.
    Records,
    /// Offsets: some stand for no record.
    Offsets,
}

/// A topic, as `/api/v1/topics` has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TopicInfo {
    /// Its name.
    pub(crate) name: String,
    /// Its identity: another one after it was deleted and created anew.
    pub(crate) id: String,
    /// What it is for: `events`, `dead letters` or `changelog`.
    pub(crate) kind: String,
    /// How many records, or offsets, it spans.
    pub(crate) count: u64,
    /// What `count` counts.
    pub(crate) unit: Unit,
    /// How long records are kept at least; absent: the log's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retention_ms: Option<u64>,
    /// Its partitions.
    pub(crate) partitions: Vec<PartitionRow>,
}

/// How far a task is behind in one input, as `/api/v1/lag` has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LagRow {
    /// The task's id.
    pub(crate) task: String,
    /// What it is: `spool`, `clean`, `sink`, or `orphan` when it left the configuration.
    pub(crate) role: String,
    /// What it does; absent when the node that was asked does not run it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
    /// The input's topic.
    pub(crate) topic: String,
    /// The input's partition.
    pub(crate) partition: u32,
    /// The next offset that it reads; absent, as what follows from it, when it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<u64>,
    /// The end of the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<u64>,
    /// How many records, or offsets, it has not dealt with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lag: Option<u64>,
    /// What `lag` counts.
    pub(crate) unit: Unit,
    /// How long ago the next record was accepted, zero when there is none; absent when that is not
    /// known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) delay_ms: Option<u64>,
    /// Why its position cannot be read on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
    /// Why nothing is known of it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unknown: Option<String>,
}

impl Unit {
    /// Returns what a log's offsets count.
    pub(crate) fn of(log: &dyn Log) -> Self {
        if log.admin().is_gapless() { Self::Records } else { Self::Offsets }
    }

    /// Returns the lower-case name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Offsets => "offsets",
        }
    }
}

/// One task.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TaskRow {
    /// Its id.
    pub(crate) task: String,
    /// What it does: `opening`, `running`, `idle`, `stuck`, `draining`, `stopped`, `failed`.
    pub(crate) state: String,
    /// What holds it up, with the step; absent when nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stuck: Option<StuckRow>,
    /// How many records wait for it.
    pub(crate) lag: u64,
    /// When the oldest record that waits for it was accepted, in milliseconds since 1970, where
    /// the task knows: of the spool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) oldest_ms: Option<i64>,
    /// How far it has read.
    pub(crate) inputs: Vec<InputRow>,
    /// What it did since it first began.
    pub(crate) counts: Tally,
    /// What its steps remember; absent where none of them does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keyed: Option<KeyedRow>,
}

/// What the steps of a task remember.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeyedRow {
    /// The number of entries.
    pub(crate) entries: u64,
    /// The memory they take, in bytes.
    pub(crate) bytes: u64,
    /// Entries that were forgotten before their time, because there were too many, ever.
    pub(crate) evicted_early: u64,
    /// While the state is rebuilt: the offsets read and to read in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) restoring: Option<RestoringRow>,
}

/// How far a state is rebuilt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RestoringRow {
    /// Offsets read.
    pub(crate) read: u64,
    /// Offsets to read in all.
    pub(crate) total: u64,
}

/// What holds a task up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StuckRow {
    /// What it was doing.
    pub(crate) step: String,
    /// Why it does not succeed.
    pub(crate) reason: String,
    /// The class of the error.
    pub(crate) class: String,
    /// When it first failed, in milliseconds since 1970.
    pub(crate) since_ms: i64,
}

/// How far a task has read one input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct InputRow {
    /// The topic.
    pub(crate) topic: String,
    /// The partition.
    pub(crate) partition: u32,
    /// The next offset.
    pub(crate) next: u64,
    /// The end when it was last looked at.
    pub(crate) end: u64,
}

/// One dead letter.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeadLetterRow {
    /// Where it lies: `log`, or `spool`, the journal of one collector.
    #[serde(default = "in_the_log")]
    pub(crate) place: String,
    /// The dead-letter topic.
    pub(crate) topic: String,
    /// Its partition.
    pub(crate) partition: u32,
    /// Its offset.
    pub(crate) offset: u64,
    /// When the event was accepted, in milliseconds since 1970.
    pub(crate) accepted_ms: i64,
    /// Where it was read: `<topic>/<partition>/<offset>`.
    pub(crate) origin: String,
    /// The pipeline that rejected it.
    pub(crate) pipeline: String,
    /// The step that rejected it.
    pub(crate) step: String,
    /// The field at fault.
    pub(crate) field: Option<String>,
    /// What is wrong.
    pub(crate) reason: String,
    /// The event as it came, whole.
    pub(crate) value: String,
}

fn in_the_log() -> String {
    "log".to_owned()
}

/// The answer of `/api/v1/dead-letters`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeadLetters {
    /// How many are readable in all.
    pub(crate) total: u64,
    /// Whether there are fewer than asked for because they are too large for one answer.
    #[serde(default)]
    pub(crate) cut: bool,
    /// The newest of them by the time of acceptance, oldest first.
    pub(crate) letters: Vec<DeadLetterRow>,
}

impl From<&TaskStatus> for TaskRow {
    fn from(status: &TaskStatus) -> Self {
        let stuck = match &status.state {
            TaskState::Stuck(stuck) | TaskState::Failed(stuck) => Some(StuckRow {
                step: stuck.step.clone(),
                reason: stuck.reason.clone(),
                class: stuck.class.to_string(),
                since_ms: stuck.since.as_millis(),
            }),
            _ => None,
        };
        let input = |input: &millstream_pipeline::InputStatus| InputRow {
            topic: input.partition.topic.to_string(),
            partition: input.partition.partition.0,
            next: input.next.0,
            end: input.end.0,
        };
        Self {
            task: status.task.to_string(),
            state: status.state.as_str().to_owned(),
            stuck,
            lag: status.lag(),
            oldest_ms: status.oldest.map(millstream_model::Timestamp::as_millis),
            inputs: status.inputs.iter().map(input).collect(),
            counts: Tally::from(status.counts),
            keyed: status.keyed.map(KeyedRow::from),
        }
    }
}

impl From<StateStatus> for KeyedRow {
    fn from(status: StateStatus) -> Self {
        let StateStatus { restoring, entries, bytes, evicted_early } = status;
        let restoring = restoring.map(|it| RestoringRow { read: it.read, total: it.total });
        Self { entries, bytes, evicted_early, restoring }
    }
}

impl From<Counts> for Tally {
    fn from(counts: Counts) -> Self {
        let Counts { read, written, rejected, filtered, deduplicated, created, replayed } = counts;
        Self { read, written, rejected, filtered, deduplicated, created, replayed }
    }
}
