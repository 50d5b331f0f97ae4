//! What the pipeline consists of, and what happens to it, step by step.

use std::time::Duration;

use millstream_log::TopicKind;
use millstream_model::{Offset, TaskId, TopicName, TopicPartition};

/// The partitions of `events` and of `clean`, and so the number of tasks.
pub(crate) const PARTITIONS: u32 = 2;

pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

/// How long outputs are kept: when retention takes `events`, outputs move to the archive. Twice as
/// long is still less than a task may stay closed before it counts as an orphan.
pub(crate) const OUTPUTS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

/// One topic of the pipeline.
pub(crate) struct Topic {
    pub(crate) name: &'static str,
    pub(crate) partitions: u32,
    pub(crate) kind: TopicKind,
    pub(crate) retention: Duration,
}

pub(crate) const EVENTS: Topic =
    Topic { name: "events", partitions: PARTITIONS, kind: TopicKind::Events, retention: HOUR };

pub(crate) const CLEAN: Topic = Topic {
    name: "clean",
    partitions: PARTITIONS,
    kind: TopicKind::Events,
    retention: OUTPUTS_KEPT,
};

pub(crate) const DEAD: Topic =
    Topic { name: "dead", partitions: 1, kind: TopicKind::DeadLetters, retention: OUTPUTS_KEPT };

pub(crate) const TOPICS: [Topic; 3] = [EVENTS, CLEAN, DEAD];

impl Topic {
    pub(crate) fn topic_name(&self) -> TopicName {
        TopicName::new(self.name).expect("a legal name")
    }

    pub(crate) fn partition(&self, number: u32) -> TopicPartition {
        TopicPartition::new(self.topic_name(), number)
    }

    pub(crate) fn all(&self) -> Vec<TopicPartition> {
        (0..self.partitions).map(|number| self.partition(number)).collect()
    }
}

/// Names the task of one partition.
pub(crate) fn task_of(partition: u32) -> TaskId {
    TaskId::new(&format!("test.events.clean.{partition}")).expect("a legal id")
}

/// What a task makes of an event.
pub(crate) fn output_of(task: u32, offset: Offset, event: &str) -> String {
    format!("{task}|{offset}|{event}")
}

/// Tells where the output of an event goes: each fifth is a dead letter.
pub(crate) fn output_partition(task: u32, offset: Offset) -> TopicPartition {
    match offset.0 % 5 {
        4 => DEAD.partition(0),
        odd => CLEAN.partition((task + u32::from(odd == 1)) % PARTITIONS),
    }
}

/// Returns every partition that outputs go to.
pub(crate) fn outputs() -> Vec<TopicPartition> {
    [CLEAN.all(), DEAD.all()].concat()
}

/// One step of the workload.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// Makes the topics.
    Topics,
    /// Appends one event to each partition, in one append.
    Append,
    /// Appends three times while the disk is held, so that they share a sync.
    Group,
    /// Processes a few events of a partition in one transaction.
    Process(u32),
    /// Trims a partition of `events` up to half of what is consumed.
    Trim(u32),
    /// Lets `events` grow old and runs maintenance.
    Retain,
    /// Trims every partition of `clean` and `dead` up to half of what it holds, and runs
    /// maintenance: much of it stands in the archive.
    TrimOutputs,
    /// Lets even the archive grow old and runs maintenance.
    RetainArchive,
    /// Closes the journal and opens it again.
    Restart,
}

use Step::{Append, Group, Process, Restart, Retain, RetainArchive, Topics, Trim, TrimOutputs};

/// The first life of a journal.
pub(crate) const LIFE: [Step; 46] = [
    Topics,
    Append,
    Append,
    Process(0),
    Append,
    Group,
    Process(1),
    Append,
    Process(0),
    Append,
    Append,
    Process(0),
    Process(1),
    Trim(0),
    Group,
    Append,
    Append,
    Process(1),
    Append,
    Process(0),
    Restart,
    Append,
    Process(1),
    Process(0),
    Append,
    Process(0),
    Process(1),
    Retain,
    Append,
    Group,
    Process(0),
    Process(1),
    Process(0),
    Process(1),
    Trim(1),
    Retain,
    Append,
    TrimOutputs,
    Process(0),
    Process(1),
    Restart,
    RetainArchive,
    Append,
    Process(1),
    Append,
    Process(0),
];

/// What a journal must still be able to do after it came back.
pub(crate) const AFTERLIFE: [Step; 9] =
    [Topics, Append, Process(0), Process(1), Group, Retain, Process(0), Process(1), Append];
