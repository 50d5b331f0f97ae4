//! The log on Kafka: what implements the contract, part by part.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millstream_log::{
    Append, Bounds, Committed, EnqueueError, Log, LogAdmin, LogReader, OpenError, Opened, Owner,
    ReaderError,
};
use millstream_model::{LogPosition, Offset, RecordBatch, TaskId, Timestamp, TopicPartition};
use millstream_runtime::Context;

use crate::admin::KafkaAdmin;
use crate::call::CallError;
use crate::cluster::Cluster;
use crate::config::{Config, Settings};
use crate::enqueue::Enqueuer;
use crate::open::Tasks;
use crate::reader::{self, KafkaReader, Purpose};

/// The log on a Kafka cluster.
#[derive(Debug)]
pub struct KafkaLog {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) tasks: Arc<Tasks>,
    enqueuer: Enqueuer,
}

impl KafkaLog {
    /// Reaches the cluster.
    pub async fn connect(
        cx: &Context,
        config: Config,
        settings: Settings,
    ) -> Result<Self, CallError> {
        let cluster = Cluster::connect(cx, config, settings).await?;
        let enqueuer = Enqueuer::start(&cluster)?;
        let tasks = Tasks::new(Arc::clone(&cluster));
        Ok(Self { cluster, tasks, enqueuer })
    }

    /// Ends the log: refuses everything from now on, and waits until what was accepted without an
    /// owner is settled.
    ///
    /// What is not settled when `cx` ends resolves as unknown.
    pub async fn close(&self, cx: &Context) {
        self.tasks.close();
        self.enqueuer.close(cx).await;
    }

    /// Returns the cluster this log is on.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }
}

#[async_trait]
impl Log for KafkaLog {
    async fn open(&self, cx: &Context, owner: &Owner) -> Result<Opened, OpenError> {
        self.tasks.open_task(cx, owner).await
    }

    fn enqueue(&self, records: Vec<(TopicPartition, RecordBatch)>) -> Result<Append, EnqueueError> {
        self.enqueuer.enqueue(&records)
    }

    async fn reader(
        &self,
        cx: &Context,
        partition: &TopicPartition,
        from: LogPosition,
    ) -> Result<Box<dyn LogReader>, ReaderError> {
        let at = (partition, from);
        Ok(Box::new(KafkaReader::start(&self.cluster, cx, at, Purpose::Task).await?))
    }

    async fn looking_reader(
        &self,
        cx: &Context,
        partition: &TopicPartition,
        from: LogPosition,
    ) -> Result<Box<dyn LogReader>, ReaderError> {
        let at = (partition, from);
        Ok(Box::new(KafkaReader::start(&self.cluster, cx, at, Purpose::Looking).await?))
    }

    async fn bounds(
        &self,
        cx: &Context,
        partition: &TopicPartition,
    ) -> Result<Bounds, ReaderError> {
        reader::bounds(&self.cluster, cx, partition).await
    }

    async fn offset_at(
        &self,
        cx: &Context,
        partition: &TopicPartition,
        since: Timestamp,
    ) -> Result<Option<Offset>, ReaderError> {
        reader::offset_at(&self.cluster, cx, partition, since).await.map(Some)
    }

    async fn committed(
        &self,
        cx: &Context,
        task: &TaskId,
    ) -> Result<Option<Committed>, ReaderError> {
        self.tasks.committed(cx, task).await
    }

    /// Where the brokers set the heartbeat (KIP-848) this is only our guess of it, and a
    /// `session_time_max` below 25 s makes it shorter than their 5 s: two owners may then fence each
    /// other again before the older one hears that it is none any more. It costs work, not records.
    fn fence_pause(&self) -> Duration {
        self.cluster.config.heartbeat_interval()
    }

    fn admin(&self) -> Arc<dyn LogAdmin> {
        Arc::new(KafkaAdmin { cluster: Arc::clone(&self.cluster), tasks: Arc::clone(&self.tasks) })
    }
}
