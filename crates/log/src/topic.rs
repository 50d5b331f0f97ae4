//! Topics: how many partitions, for what, kept how long.

use std::time::Duration;

use millstream_model::{TopicId, TopicName};

/// What a topic is for; decides how full the log may be when it still takes records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TopicKind {
    /// Events on their way.
    Events,
    /// Rejected events with their reason; never dropped, kept longer.
    DeadLetters,
    /// The changelog of keyed state; compacted.
    Changelog,
}

/// How a topic is made and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicConfig {
    /// The number of partitions; fixed for the life of the topic.
    pub partitions: u32,
    /// What the topic is for.
    pub kind: TopicKind,
    /// How long records stay readable at least, if space allows; `None`: the log's own default.
    pub retention: Option<Duration>,
}

/// A topic that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: TopicName,
    /// Its identity: another one after it was deleted and created anew.
    pub id: TopicId,
    /// How it is kept.
    pub config: TopicConfig,
}
