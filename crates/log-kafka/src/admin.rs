//! Administration: topics as the contract has them, and trimming that passes nobody.
//!
//! Kafka keeps no "kind" of a topic. A changelog is compacted; dead letters are marked by a limit of
//! bytes of their own, without limit, which also keeps a limit of the broker from dropping them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millstream_log::{
    AdminError, LogAdmin, OpenError, ReaderError, Reposition, Topic, TopicConfig, TopicKind, check,
};
use millstream_model::{LogId, Offset, TaskId, TopicName, TopicPartition};
use millstream_runtime::{Context, TaskKind};
use rdkafka::TopicPartitionList;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::Offset as ListOffset;
use tokio::time::Instant;

use crate::call::{self, CallError};
use crate::cluster::Cluster;
use crate::error::{KafkaError, Reason};
use crate::ffi::admin::{
    ConfigValue, NewTopic, alter_topic, create_topic, delete_records, describe_topic_config,
};
use crate::names::number;
use crate::open::Tasks;
use crate::reader;
use crate::topics::TopicDescription;

const RETENTION: &str = "retention.ms";
const RETENTION_BYTES: &str = "retention.bytes";
const CLEANUP: &str = "cleanup.policy";
const COMPACT: &str = "compact";
const TOMBSTONES: &str = "delete.retention.ms";
const MESSAGE_BYTES_MAX: &str = "max.message.bytes";

/// How long a changelog keeps a tombstone: who restores state goes on from what it has only when
/// that is younger by far.
const TOMBSTONE_TIME: Duration = Duration::from_secs(24 * 3600);

/// How far a record's time may be ahead of the broker's: any time. The limit that Kafka 4 has by
/// default, an hour, would let one clock that is ahead stop everything that this machine sends.
const TIME_AHEAD_MAX: (&str, &str) = ("message.timestamp.after.max.ms", "9223372036854775807");

/// What a topic takes when nobody says otherwise.
const MESSAGE_BYTES_MAX_DEFAULT: u64 = 1_048_588;

/// How often it is looked whether the brokers know a topic that was just made.
const APPEARANCE_POLL: Duration = Duration::from_millis(20);

/// Administrates the topics of one cluster that carry our prefix.
#[derive(Debug, Clone)]
pub(crate) struct KafkaAdmin {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) tasks: Arc<Tasks>,
}

#[async_trait]
impl LogAdmin for KafkaAdmin {
    fn log_id(&self) -> LogId {
        self.cluster.log_id
    }

    fn is_gapless(&self) -> bool {
        false
    }

    async fn ensure_topic(
        &self,
        cx: &Context,
        name: &TopicName,
        config: &TopicConfig,
    ) -> Result<Topic, AdminError> {
        check::topic(name, config, None)?;
        let found = match self.cluster.describe(cx, name).await? {
            Some(found) => found,
            None => self.create(cx, name, config).await?,
        };
        check::topic(name, config, Some(&TopicConfig { partitions: found.partitions, ..*config }))?;
        let values = self.values(cx, name).await?;
        let taken = values.get(MESSAGE_BYTES_MAX).and_then(|value| value.text.parse::<u64>().ok());
        if taken.is_some_and(|taken| taken < self.cluster.clients.message_bytes_max()) {
            let reason = "its max.message.bytes is below kafka.record_bytes_max and 512 bytes of \
                          framing; raise the one or lower the other";
            return Err(AdminError::Config { topic: name.clone(), reason });
        }
        let cleanup = values.get(CLEANUP).map_or("", |value| &value.text);
        if config.kind != TopicKind::Changelog && cleanup.contains(COMPACT) {
            let reason = "its cleanup.policy deletes events with the same key; set it to delete";
            return Err(AdminError::Config { topic: name.clone(), reason });
        }
        let changes = changes(&values, config);
        let values = if changes.is_empty() {
            values
        } else {
            self.alter(cx, name, changes).await?;
            self.values(cx, name).await?
        };
        Ok(topic(name.clone(), &found, &values))
    }

    async fn topics(&self, cx: &Context) -> Result<Vec<Topic>, AdminError> {
        let mut topics = Vec::new();
        for (name, found) in self.cluster.describe_all(cx).await? {
            let values = self.values(cx, &name).await?;
            topics.push(topic(name, &found, &values));
        }
        Ok(topics)
    }

    async fn tasks(&self, cx: &Context) -> Result<Vec<TaskId>, AdminError> {
        Ok(self.tasks.registered(cx).await?)
    }

    async fn trim(
        &self,
        cx: &Context,
        partition: &TopicPartition,
        before: Offset,
    ) -> Result<(), AdminError> {
        let bounds = reader::bounds(&self.cluster, cx, partition).await.map_err(admin_error)?;
        if before <= bounds.start.offset {
            return Ok(());
        }
        let slowest = self.tasks.slowest(cx, partition).await?;
        check::trim(partition, before, bounds.end.offset, slowest)?;
        self.delete(cx, partition, before).await
    }

    async fn reposition(&self, cx: &Context, to: &Reposition) -> Result<(), OpenError> {
        self.tasks.reposition(cx, to).await
    }
}

impl KafkaAdmin {
    async fn create(
        &self,
        cx: &Context,
        name: &TopicName,
        config: &TopicConfig,
    ) -> Result<TopicDescription, AdminError> {
        let (cluster, partitions) = (Arc::clone(&self.cluster), config.partitions);
        let (kafka_name, config) = (cluster.names.topic(name), self.settings(config));
        let create = move || {
            let replication = cluster.config.replication_factor.map_or(-1, i32::from);
            let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
            let new = NewTopic { name: &kafka_name, partitions, replication, config: &config };
            cluster.create_topic_blocking(&new)
        };
        call::run(cx, self.cluster.config.hang_time_max(), TaskKind("kafka_create_topic"), create)
            .await?;
        let deadline = Instant::now() + self.cluster.config.request_time_max;
        loop {
            // The brokers learn of a new topic one after the other.
            if let Some(found) = self.cluster.describe(cx, name).await?
                && found.partitions > 0
            {
                return Ok(found);
            }
            if Instant::now() >= deadline {
                let reason = Reason::TimedOut { detail: format!("{name} does not appear") };
                let error = KafkaError::found("create a topic", reason);
                return Err(AdminError::Storage(error.into_io()));
            }
            cx.sleep(APPEARANCE_POLL).await?;
        }
    }

    /// What a topic is created with, beyond the broker's defaults.
    fn settings(&self, config: &TopicConfig) -> Vec<(String, String)> {
        let mut settings = kept_as(config);
        if config.kind == TopicKind::DeadLetters && config.retention.is_none() {
            // The broker's default is for events: people look at dead letters later. A topic that is
            // there already says for itself how long it keeps them.
            let kept = self.cluster.config.dead_letters_retention.as_millis();
            settings.push((RETENTION.to_owned(), kept.to_string()));
        }
        let message = self.cluster.clients.message_bytes_max();
        if message > MESSAGE_BYTES_MAX_DEFAULT {
            settings.push((MESSAGE_BYTES_MAX.to_owned(), message.to_string()));
        }
        settings
    }

    async fn values(
        &self,
        cx: &Context,
        name: &TopicName,
    ) -> Result<BTreeMap<String, ConfigValue>, AdminError> {
        let (cluster, name) = (Arc::clone(&self.cluster), self.cluster.names.topic(name));
        let ask = move || {
            let time_max = cluster.config.request_time_max;
            let found = describe_topic_config(cluster.native(), &name, time_max);
            cluster.outcome("ask for a topic's configuration", found)
        };
        self.once_known(cx, TaskKind("kafka_describe"), ask).await
    }

    async fn alter(
        &self,
        cx: &Context,
        name: &TopicName,
        changes: Vec<(String, String)>,
    ) -> Result<(), AdminError> {
        let (cluster, name) = (Arc::clone(&self.cluster), self.cluster.names.topic(name));
        let alter = move || {
            let time_max = cluster.config.request_time_max;
            let done = alter_topic(cluster.native(), &name, &changes, time_max);
            cluster.outcome("change a topic's configuration", done)
        };
        self.once_known(cx, TaskKind("kafka_alter_topic"), alter).await
    }

    /// Asks again while the broker that is asked has not heard of a topic that another one has.
    async fn once_known<T: Send + 'static>(
        &self,
        cx: &Context,
        kind: TaskKind,
        ask: impl Fn() -> Result<T, KafkaError> + Clone + Send + 'static,
    ) -> Result<T, AdminError> {
        let deadline = Instant::now() + self.cluster.config.request_time_max;
        loop {
            match call::run(cx, self.cluster.config.hang_time_max(), kind, ask.clone()).await {
                Err(CallError::Kafka(error))
                    if error.code() == Some(Code::UnknownTopicOrPartition)
                        && Instant::now() < deadline =>
                {
                    cx.sleep(APPEARANCE_POLL).await?;
                }
                answer => return Ok(answer?),
            }
        }
    }

    async fn delete(
        &self,
        cx: &Context,
        partition: &TopicPartition,
        before: Offset,
    ) -> Result<(), AdminError> {
        let (cluster, partition) = (Arc::clone(&self.cluster), partition.clone());
        let delete = move || {
            let during = "trim a partition";
            let name = cluster.names.topic(&partition.topic);
            let number = number(&partition);
            let offset = i64::try_from(before.0).unwrap_or(i64::MAX);
            let mut list = TopicPartitionList::with_capacity(1);
            let added = list.add_partition_offset(&name, number, ListOffset::Offset(offset));
            cluster.outcome(during, added)?;
            let done = delete_records(cluster.native(), &list, cluster.config.request_time_max);
            cluster.outcome(during, done)
        };
        Ok(call::run(cx, self.cluster.config.hang_time_max(), TaskKind("kafka_trim"), delete)
            .await?)
    }
}

impl Cluster {
    /// Creates a topic on the calling thread; one that exists already is left as it is.
    pub(crate) fn create_topic_blocking(&self, new: &NewTopic<'_>) -> Result<(), KafkaError> {
        let during = "create a topic";
        let (key, value) = TIME_AHEAD_MAX;
        let mut config = new.config.to_vec();
        config.push((key.to_owned(), value.to_owned()));
        let time_max = self.config.request_time_max;
        let any_time = NewTopic { config: &config, ..*new };
        let created = match create_topic(self.native(), &any_time, time_max) {
            // Brokers before 3.6 do not know the key, and have no such limit.
            Err((ClientError::AdminOp(Code::InvalidConfig | Code::PolicyViolation), _)) => {
                create_topic(self.native(), new, time_max)
            }
            created => created,
        };
        match created {
            Err((ClientError::AdminOp(Code::TopicAlreadyExists), _)) => Ok(()),
            Err((error, said)) => {
                let mut error = self.outcome::<()>(during, Err(error)).expect_err("it is one");
                if let Reason::Config { detail } = &mut error.reason {
                    *detail = format!("topic {}: {said}", new.name);
                }
                Err(error)
            }
            Ok(()) => self.outcome(during, Ok(())),
        }
    }
}

/// The configuration that stands for how a topic is kept.
fn kept_as(config: &TopicConfig) -> Vec<(String, String)> {
    let mut kept = Vec::new();
    match config.kind {
        TopicKind::Events => {}
        TopicKind::DeadLetters => kept.push((RETENTION_BYTES.to_owned(), "-1".to_owned())),
        TopicKind::Changelog => {
            kept.push((CLEANUP.to_owned(), COMPACT.to_owned()));
            kept.push((TOMBSTONES.to_owned(), TOMBSTONE_TIME.as_millis().to_string()));
        }
    }
    if let Some(retention) = config.retention {
        kept.push((RETENTION.to_owned(), retention.as_millis().to_string()));
    }
    kept
}

/// What of it a topic lacks. What the topic says beyond it is left to whoever set it.
fn changes(values: &BTreeMap<String, ConfigValue>, config: &TopicConfig) -> Vec<(String, String)> {
    let holds = |key: &str, value: &str| {
        values.get(key).is_some_and(|found| found.is_own && found.text == value)
    };
    kept_as(config).into_iter().filter(|(key, value)| !holds(key, value)).collect()
}

fn topic(
    name: TopicName,
    found: &TopicDescription,
    values: &BTreeMap<String, ConfigValue>,
) -> Topic {
    let own = |key: &str| values.get(key).filter(|value| value.is_own);
    let is_compacted = values.get(CLEANUP).is_some_and(|value| value.text.contains(COMPACT));
    let kind = if is_compacted {
        TopicKind::Changelog
    } else if own(RETENTION_BYTES).is_some_and(|value| value.text == "-1") {
        TopicKind::DeadLetters
    } else {
        TopicKind::Events
    };
    // Kafka's -1, "for ever", is no duration.
    let retention = own(RETENTION).and_then(|value| value.text.parse().ok());
    let retention = retention.map(Duration::from_millis);
    let config = TopicConfig { partitions: found.partitions, kind, retention };
    Topic { name, id: found.id, config }
}

fn admin_error(error: ReaderError) -> AdminError {
    match error {
        ReaderError::UnknownPartition(partition) => AdminError::UnknownPartition(partition),
        ReaderError::Cancelled(cancelled) => AdminError::Cancelled(cancelled),
        ReaderError::Closed => AdminError::Closed,
        ReaderError::Storage(error) => AdminError::Storage(error),
        error @ (ReaderError::Position(_) | ReaderError::Corrupt { .. }) => {
            AdminError::Storage(std::io::Error::other(error))
        }
    }
}
