//! What our topics, tasks and groups are called in Kafka.
//!
//! Every name carries the prefix of the configuration, so that several installations, and several
//! tests, can share one cluster without seeing each other.

use millstream_model::{TaskId, TopicName, TopicPartition};

/// Returns Kafka's number of a partition; no topic has one whose number Kafka cannot tell.
pub(crate) fn number(partition: &TopicPartition) -> i32 {
    i32::try_from(partition.partition.0).unwrap_or(i32::MAX)
}

/// Translates names to Kafka's and back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    prefix: String,
    app: String,
}

impl Names {
    /// Names with `prefix`, of the application `app`.
    pub fn new(prefix: &str, app: &str) -> Self {
        Self { prefix: prefix.to_owned(), app: app.to_owned() }
    }

    /// Returns what `topic` is called in Kafka.
    pub fn topic(&self, topic: &TopicName) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// Returns which topic of ours Kafka's topic `name` is; `None` for foreign and internal ones.
    pub fn own_topic(&self, name: &str) -> Option<TopicName> {
        if name == self.positions() || name.starts_with("__") {
            return None;
        }
        name.strip_prefix(self.prefix.as_str()).and_then(|name| TopicName::new(name).ok())
    }

    /// Returns the name of the topic of positions.
    pub fn positions(&self) -> String {
        format!("{}{}-positions", self.prefix, self.app)
    }

    /// Returns the transactional id of a task.
    pub fn transactional_id(&self, task: &TaskId) -> String {
        format!("{}{task}", self.prefix)
    }

    /// Returns the group whose offsets a task commits: its name without the partition, so that all
    /// tasks of a pipeline and role share one, which also places them.
    pub fn group(&self, task: &TaskId) -> String {
        let text = task.as_str();
        let stem = text.rsplit_once('.').map_or(text, |(stem, _partition)| stem);
        self.group_named(stem)
    }

    /// Returns what the group `stem` is called in Kafka.
    pub fn group_named(&self, stem: &str) -> String {
        format!("{}{stem}", self.prefix)
    }

    /// Returns the group that readers name; none of them ever joins it or commits in it.
    pub fn readers_group(&self) -> String {
        format!("{}{}-readers", self.prefix, self.app)
    }

    /// Returns the name that clients give themselves, for the broker's logs and quotas.
    pub fn client_id(&self, role: &str) -> String {
        format!("{}-{role}", self.app)
    }
}
