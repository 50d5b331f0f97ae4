//! The identity of topics: asked by name, remembered for a moment.
//!
//! A topic that was deleted and created anew has the same name, offsets and leader epochs; only its
//! id differs. So every position carries the id, and it is asked anew before a commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_model::{TopicId, TopicName};
use millstream_runtime::{Context, TaskKind};
use tokio::time::Instant;
use uuid::Uuid;

use crate::call::{self, CallError};
use crate::cluster::Cluster;
use crate::error::{KafkaError, Reason};
use crate::ffi::admin::{Described, describe_topics};

/// How old a remembered id may be where the contract asks for no fresh one.
pub const TOPIC_AGE_MAX: Duration = Duration::from_secs(1);

/// How long one of the questions takes that find out whether the cluster is there; between two it is
/// looked whether a connection is left.
const LOOK_SLICE: Duration = Duration::from_secs(2);

/// What the cluster says about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    /// Its identity.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: u32,
}

/// What is known of our topics, and since when.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    known: Mutex<BTreeMap<TopicName, (Instant, Option<TopicDescription>)>>,
}

impl Topics {
    /// Returns what was last heard of a topic, however long ago; `None` when it did not exist then
    /// or nobody asked.
    pub(crate) fn known(&self, topic: &TopicName) -> Option<TopicDescription> {
        self.lock().get(topic).and_then(|(_, found)| found.clone())
    }

    /// Returns what was heard of a topic not longer ago than [`TOPIC_AGE_MAX`].
    fn fresh(&self, topic: &TopicName) -> Option<Option<TopicDescription>> {
        let known = self.lock();
        let (since, found) = known.get(topic)?;
        (since.elapsed() < TOPIC_AGE_MAX).then(|| found.clone())
    }

    fn learn(&self, topic: TopicName, asked: Instant, found: Option<TopicDescription>) {
        self.lock().insert(topic, (asked, found));
    }

    fn lock(
        &self,
    ) -> std::sync::MutexGuard<'_, BTreeMap<TopicName, (Instant, Option<TopicDescription>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cluster {
    /// Asks the cluster for a topic of ours; `None` when it does not exist.
    pub async fn describe(
        self: &Arc<Self>,
        cx: &Context,
        topic: &TopicName,
    ) -> Result<Option<TopicDescription>, CallError> {
        // What is known is as old as the question, not as the answer.
        let asked = Instant::now();
        let (cluster, name) = (Arc::clone(self), self.names.topic(topic));
        let ask = move || cluster.describe_blocking(&name, cluster.config.request_time_max);
        let found =
            call::run(cx, self.config.hang_time_max(), TaskKind("kafka_describe"), ask).await?;
        self.topics.learn(topic.clone(), asked, found.clone());
        Ok(found)
    }

    /// Returns what is known of a topic, at most [`TOPIC_AGE_MAX`] old; `None` when it does not
    /// exist.
    pub async fn topic(
        self: &Arc<Self>,
        cx: &Context,
        topic: &TopicName,
    ) -> Result<Option<TopicDescription>, CallError> {
        match self.topics.fresh(topic) {
            Some(found) => Ok(found),
            None => self.describe(cx, topic).await,
        }
    }

    /// Returns which of these topics of ours do not exist: a look at whether the cluster is there and
    /// as it should be.
    ///
    /// Ends with an error within seconds where no broker can be reached, and after
    /// `request_time_max` where one is slow.
    pub async fn missing(
        self: &Arc<Self>,
        cx: &Context,
        topics: Vec<TopicName>,
    ) -> Result<Vec<TopicName>, CallError> {
        if topics.is_empty() {
            return Ok(topics);
        }
        let cluster = Arc::clone(self);
        let ask = move || cluster.missing_blocking(topics);
        call::run(cx, self.config.hang_time_max(), TaskKind("kafka_look"), ask).await
    }

    fn missing_blocking(&self, topics: Vec<TopicName>) -> Result<Vec<TopicName>, KafkaError> {
        let during = "look whether the topics are there";
        let names: Vec<_> = topics.iter().map(|topic| self.names.topic(topic)).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let deadline = Instant::now() + self.config.request_time_max;
        let found = loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let found = describe_topics(self.native(), &names, LOOK_SLICE.min(left));
            // A slow cluster is waited for; one without a connection is not.
            if found.is_ok() || left <= LOOK_SLICE || self.has_trouble() {
                break self.outcome(during, found)?;
            }
        };
        let found = topics.into_iter().zip(found);
        Ok(found.filter_map(|(topic, found)| found.is_none().then_some(topic)).collect())
    }

    /// Asks the cluster for a topic by Kafka's own name, on the calling thread.
    ///
    /// Blocks for little more than `time_max`: for the threads that own a client.
    pub fn describe_blocking(
        &self,
        name: &str,
        time_max: Duration,
    ) -> Result<Option<TopicDescription>, KafkaError> {
        let during = "describe a topic";
        let found = describe_topics(self.native(), &[name], time_max);
        let found = self.outcome(during, found)?.pop().flatten();
        found.map(|found| checked(during, found)).transpose()
    }

    /// Asks for every topic of ours.
    pub(crate) async fn describe_all(
        self: &Arc<Self>,
        cx: &Context,
    ) -> Result<BTreeMap<TopicName, TopicDescription>, CallError> {
        let cluster = Arc::clone(self);
        let ask = move || cluster.describe_all_blocking();
        call::run(cx, self.config.hang_time_max(), TaskKind("kafka_describe"), ask).await
    }

    fn describe_all_blocking(&self) -> Result<BTreeMap<TopicName, TopicDescription>, KafkaError> {
        let during = "list the topics";
        let (asked, time_max) = (Instant::now(), self.config.request_time_max);
        let metadata = self.admin_client().fetch_metadata(None, time_max);
        let metadata = self.outcome(during, metadata)?;
        let names: Vec<_> = metadata.topics().iter().map(|topic| topic.name().to_owned()).collect();
        let ours: Vec<_> = names
            .iter()
            .filter_map(|name| Some((name.as_str(), self.names.own_topic(name)?)))
            .collect();
        if ours.is_empty() {
            return Ok(BTreeMap::new());
        }
        let asked_for: Vec<_> = ours.iter().map(|(name, _)| *name).collect();
        let found = describe_topics(self.native(), &asked_for, time_max);
        let found = self.outcome(during, found)?;
        let mut topics = BTreeMap::new();
        for ((_, topic), found) in ours.into_iter().zip(found) {
            let found = found.map(|found| checked(during, found)).transpose()?;
            self.topics.learn(topic.clone(), asked, found.clone());
            topics.extend(found.map(|found| (topic, found)));
        }
        Ok(topics)
    }
}

/// Refuses brokers that give their topics no identity.
fn checked(during: &'static str, found: Described) -> Result<TopicDescription, KafkaError> {
    if found.id == Uuid::nil() {
        let detail = "its brokers give topics no id: Kafka 3.0 or later is needed".to_owned();
        return Err(KafkaError::found(during, Reason::Config { detail }));
    }
    Ok(TopicDescription { id: TopicId(found.id), partitions: found.partitions })
}
