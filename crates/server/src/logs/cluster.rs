//! Kafka as a node's log, there or not yet.
//!
//! ```text
//!   new ──▶ away ── reach ──▶ reached ── open_to_tasks ──▶ the log
//!            ▲ │                 │
//!            └─┴── note_away ────┘     every call fails at once, and says since when and why
//! ```
//!
//! A collector must not wait for Kafka. So whatever works on the log gets this one at the start:
//! before it is open each call fails like a call to a cluster that went away, and its caller backs
//! off and shows that, as it would later.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use millstream_log::{
    AdminError, Append, Bounds, Committed, EnqueueError, Log, LogAdmin, LogReader, OpenError,
    Opened, Owner, ReaderError, Reposition, Topic, TopicConfig,
};
use millstream_log_kafka::{CallError, Config, KafkaLog, Settings};
use millstream_model::{
    LogId, LogPosition, Offset, RecordBatch, TaskId, Timestamp, TopicName, TopicPartition,
};
use millstream_runtime::Context;
use uuid::Uuid;

use crate::flow::APP;
use crate::output::utc;

/// When a client should come back that a log cannot take events from: about a new attempt's time.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Since when and why a cluster is not the node's log yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Away {
    /// Since when.
    pub(crate) since: Timestamp,
    /// Whether it answers and refuses: then waiting alone does not help.
    pub(crate) is_refused: bool,
    /// The cause, with the remedy.
    pub(crate) reason: String,
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { since, is_refused, reason } = self;
        let what = if *is_refused { "Kafka refuses this node" } else { "Kafka is away" };
        write!(f, "{what} since {}: {reason}", utc(*since))
    }
}

impl Error for Away {}

/// A cluster, reached or awaited.
#[derive(Debug)]
pub(crate) struct ClusterLog {
    config: Config,
    reached: OnceLock<KafkaLog>,
    /// Whether tasks may work on it: its topics are as they should be.
    is_open: AtomicBool,
    away: Mutex<Option<Away>>,
    /// Topics that were there and are not any more.
    missing: Mutex<Vec<TopicName>>,
}

impl ClusterLog {
    /// Names a cluster, and asks nothing of it.
    pub(crate) fn new(config: Config) -> Self {
        let (reached, is_open) = (OnceLock::new(), AtomicBool::new(false));
        Self { config, reached, is_open, away: Mutex::default(), missing: Mutex::default() }
    }

    /// Reaches the cluster, once; after that it is asked no more.
    pub(crate) async fn reach(&self, cx: &Context) -> Result<&KafkaLog, CallError> {
        if let Some(reached) = self.reached.get() {
            return Ok(reached);
        }
        let reached = connect(cx, &self.config).await?;
        Ok(self.reached.get_or_init(|| reached))
    }

    /// Returns the cluster, if it was reached.
    pub(crate) fn reached(&self) -> Option<&KafkaLog> {
        self.reached.get()
    }

    /// Lets tasks work on the cluster, which was reached and has its topics.
    pub(crate) fn open_to_tasks(&self) {
        self.is_open.store(true, Ordering::Release);
        self.note_there();
    }

    /// Notes why tasks cannot work on it yet; the first note counts for since when.
    pub(crate) fn note_away(&self, noted: Away) {
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        let since = away.as_ref().map_or(noted.since, |away| away.since);
        *away = Some(Away { since, ..noted });
    }

    /// Forgets that it was away: it answers.
    pub(crate) fn note_there(&self) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Returns why tasks cannot work on it yet, or why it does not answer any more.
    pub(crate) fn away(&self) -> Option<Away> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes which topics that were there are not any more.
    pub(crate) fn note_missing(&self, topics: Vec<TopicName>) {
        *self.missing.lock().unwrap_or_else(PoisonError::into_inner) = topics;
    }

    /// Returns which topics that were there are not any more, when it was last looked.
    pub(crate) fn missing(&self) -> Vec<TopicName> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the log, once tasks may work on it.
    pub(crate) fn opened(&self) -> Option<&KafkaLog> {
        self.reached.get().filter(|_| self.is_open.load(Ordering::Acquire))
    }

    /// Returns the log, or the error of every call before it is there.
    fn log(&self) -> Result<&KafkaLog, io::Error> {
        self.opened().ok_or_else(|| self.refusal())
    }

    fn refusal(&self) -> io::Error {
        match self.away() {
            Some(away) => io::Error::new(io::ErrorKind::NotConnected, away),
            None => io::Error::new(io::ErrorKind::NotConnected, "Kafka is not reached yet"),
        }
    }
}

/// Reaches a cluster under the name that every task of ours has there.
pub(crate) async fn connect(cx: &Context, config: &Config) -> Result<KafkaLog, CallError> {
    let settings = Settings { app: APP.to_owned() };
    KafkaLog::connect(cx, config.clone(), settings).await
}

#[async_trait]
impl Log for ClusterLog {
    async fn open(&self, cx: &Context, owner: &Owner) -> Result<Opened, OpenError> {
        self.log().map_err(OpenError::Storage)?.open(cx, owner).await
    }

    fn enqueue(&self, records: Vec<(TopicPartition, RecordBatch)>) -> Result<Append, EnqueueError> {
        match self.log() {
            Ok(log) => log.enqueue(records),
            // Nothing was stored, and that is known.
            Err(_away) => Err(EnqueueError::Full { retry_after: RETRY_AFTER }),
        }
    }

    async fn reader(
        &self,
        cx: &Context,
        partition: &TopicPartition,
        from: LogPosition,
    ) -> Result<Box<dyn LogReader>, ReaderError> {
        self.log().map_err(ReaderError::Storage)?.reader(cx, partition, from).await
    }

    async fn looking_reader(
        &self,
        cx: &Context,
        partition: &TopicPartition,
        from: LogPosition,
    ) -> Result<Box<dyn LogReader>, ReaderError> {
        self.log().map_err(ReaderError::Storage)?.looking_reader(cx, partition, from).await
    }

    async fn bounds(
        &self,
        cx: &Context,
        partition: &TopicPartition,
    ) -> Result<Bounds, ReaderError> {
        self.log().map_err(ReaderError::Storage)?.bounds(cx, partition).await
    }

    async fn offset_at(
        &self,
        cx: &Context,
        partition: &TopicPartition,
        since: Timestamp,
    ) -> Result<Option<Offset>, ReaderError> {
        self.log().map_err(ReaderError::Storage)?.offset_at(cx, partition, since).await
    }

    async fn committed(
        &self,
        cx: &Context,
        task: &TaskId,
    ) -> Result<Option<Committed>, ReaderError> {
        self.log().map_err(ReaderError::Storage)?.committed(cx, task).await
    }

    fn fence_pause(&self) -> Duration {
        self.log().map_or(Duration::ZERO, Log::fence_pause)
    }

    fn admin(&self) -> Arc<dyn LogAdmin> {
        match self.log() {
            Ok(log) => log.admin(),
            Err(error) => Arc::new(AwayAdmin(error.to_string())),
        }
    }
}

/// Administers nothing: says why.
#[derive(Debug)]
struct AwayAdmin(String);

impl AwayAdmin {
    fn refuse<T>(&self) -> Result<T, AdminError> {
        let error = io::Error::new(io::ErrorKind::NotConnected, self.0.clone());
        Err(AdminError::Storage(error))
    }
}

#[async_trait]
impl LogAdmin for AwayAdmin {
    fn log_id(&self) -> LogId {
        // Nobody has a position of a log that was never open.
        LogId(Uuid::nil())
    }

    fn is_gapless(&self) -> bool {
        false
    }

    async fn ensure_topic(
        &self,
        _cx: &Context,
        _name: &TopicName,
        _config: &TopicConfig,
    ) -> Result<Topic, AdminError> {
        self.refuse()
    }

    async fn topics(&self, _cx: &Context) -> Result<Vec<Topic>, AdminError> {
        self.refuse()
    }

    async fn tasks(&self, _cx: &Context) -> Result<Vec<TaskId>, AdminError> {
        self.refuse()
    }

    async fn trim(
        &self,
        _cx: &Context,
        _partition: &TopicPartition,
        _before: Offset,
    ) -> Result<(), AdminError> {
        self.refuse()
    }

    async fn reposition(&self, _cx: &Context, _to: &Reposition) -> Result<(), OpenError> {
        let error = io::Error::new(io::ErrorKind::NotConnected, self.0.clone());
        Err(OpenError::Storage(error))
    }
}

#[cfg(test)]
mod tests;
