//! The positions topic: found or created, and refused where it would forget.

use std::sync::PoisonError;
use std::time::Duration;

use millstream_model::partitioner::partition_of;
use millstream_model::{TaskId, TopicId};
use millstream_runtime::{Context, TaskKind};
use tokio::time::Instant;

use super::Positions;
use crate::call::{CallError, run};
use crate::error::{KafkaError, Reason};
use crate::ffi::admin::{NewTopic, describe_topic_config};

/// How the topic is kept: compacted soon, so that reading it stays short.
const TOPIC_CONFIG: [(&str, &str); 4] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "16777216"),
    ("min.cleanable.dirty.ratio", "0.1"),
    // Also how long the end markers of compacted transactions are kept: one each, all to be read.
    ("delete.retention.ms", "7200000"),
];

/// What was being done when a call failed.
const CHECKING: &str = "check the positions topic";

/// The positions topic as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PositionsTopic {
    pub(crate) id: TopicId,
    pub(crate) partitions: u32,
}

impl PositionsTopic {
    /// Returns the partition that tells all of a task.
    pub(crate) fn partition(&self, task: &TaskId) -> i32 {
        let partition = partition_of(task.as_str().as_bytes(), self.partitions);
        i32::try_from(partition.0).expect("Kafka counts partitions in 31 bits")
    }
}

impl Positions {
    /// Finds the topic, or creates it.
    pub(crate) async fn ensure_topic(&self, cx: &Context) -> Result<PositionsTopic, CallError> {
        if let Some(topic) = self.topic(cx).await? {
            self.check_kept(cx, topic).await?;
            return Ok(topic);
        }
        self.create_topic(cx).await?;
        let deadline = Instant::now() + self.cluster.config.request_time_max;
        loop {
            // The brokers learn of a new topic one by one.
            if let Some(topic) = self.topic(cx).await? {
                return Ok(topic);
            }
            if Instant::now() >= deadline {
                let detail = format!("{} does not appear", self.cluster.names.positions());
                let timed_out = Reason::TimedOut { detail };
                return Err(KafkaError::found("create the positions topic", timed_out).into());
            }
            cx.sleep(Duration::from_millis(20)).await?;
        }
    }

    /// Asks for the topic; `None` when no task was ever opened.
    pub(crate) async fn topic(&self, cx: &Context) -> Result<Option<PositionsTopic>, CallError> {
        let cluster = self.cluster.clone();
        let work = move || {
            let name = cluster.names.positions();
            cluster.describe_blocking(&name, cluster.config.request_time_max)
        };
        let found =
            run(cx, self.cluster.config.hang_time_max(), TaskKind("kafka_describe"), work).await?;
        Ok(found.map(|found| PositionsTopic { id: found.id, partitions: found.partitions }))
    }

    /// Refuses a topic that forgets: one that somebody else created, or changed.
    async fn check_kept(&self, cx: &Context, topic: PositionsTopic) -> Result<(), CallError> {
        let checked = || self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if *checked() == Some(topic.id) {
            return Ok(());
        }
        let cluster = self.cluster.clone();
        let ask = move || {
            let (name, time_max) = (cluster.names.positions(), cluster.config.request_time_max);
            let found = describe_topic_config(cluster.native(), &name, time_max);
            cluster.outcome(CHECKING, found)
        };
        let values =
            run(cx, self.cluster.config.hang_time_max(), TaskKind("kafka_describe"), ask).await?;
        let (name, wanted) = TOPIC_CONFIG[0];
        let found = values.get(name).map_or("", |value| &value.text);
        if found != wanted {
            let topic = self.cluster.names.positions();
            let detail = format!(
                "{topic} has {name}={found}: where tasks stand would be deleted; set it to {wanted}"
            );
            return Err(KafkaError::found(CHECKING, Reason::Config { detail }).into());
        }
        *checked() = Some(topic.id);
        Ok(())
    }

    async fn create_topic(&self, cx: &Context) -> Result<(), CallError> {
        let cluster = self.cluster.clone();
        let work = move || {
            let config = &cluster.config;
            let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
            let topic = NewTopic {
                name: &cluster.names.positions(),
                partitions: i32::try_from(config.positions_partitions).unwrap_or(i32::MAX),
                // Without a number the broker's default holds.
                replication: config.replication_factor.map_or(-1, i32::from),
                config: &TOPIC_CONFIG.map(text),
            };
            cluster.create_topic_blocking(&topic)
        };
        run(cx, self.cluster.config.hang_time_max(), TaskKind("kafka_create_topic"), work).await
    }
}
