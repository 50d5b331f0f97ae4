//! A journal, a cluster that can go away and refuse records, and a forwarder between them.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use millstream_log::memory::MemoryLog;
use millstream_log::{
    Append, Bounds, Committed, EnqueueError, Log, LogAdmin, LogReader, OpenError, Opened, Owner,
    ReaderError, TopicConfig, TopicKind, TransactError, Transaction, Writer,
};
use millstream_model::{LogPosition, RecordBatch, TaskId, Timestamp, TopicPartition};
use millstream_pipeline::spool::replay::{Loss, Replay, ReplayError, replay};
use millstream_pipeline::spool::{
    Config, Forwarder, Position, Settings, Surroundings, local_task, remote_task,
};
use millstream_runtime::{Clock, Context, Rng, TaskKind, spawn};

use crate::stage::{Running, batch, partition, task_id, topic_name};

/// Whether the cluster answers, and which records it takes.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    is_away: Mutex<bool>,
    /// Records whose value holds this text are refused for good.
    refused: Mutex<Option<String>>,
    /// What the cluster was taken back to.
    taken_back: Mutex<Option<MemoryLog>>,
    pub(crate) opened: AtomicUsize,
}

impl Gate {
    pub(crate) fn set_away(&self, is_away: bool) {
        *self.is_away.lock().expect("nobody panics with it") = is_away;
    }

    pub(crate) fn refuse(&self, text: &str) {
        *self.refused.lock().expect("nobody panics with it") = Some(text.to_owned());
    }

    fn check(&self) -> io::Result<()> {
        let away = *self.is_away.lock().expect("nobody panics with it");
        if away { Err(io::Error::other("no broker answers")) } else { Ok(()) }
    }

    fn refuses(&self, records: &[(TopicPartition, RecordBatch)]) -> bool {
        let refused = self.refused.lock().expect("nobody panics with it");
        let Some(text) = refused.as_deref() else { return false };
        let mut values = records.iter().flat_map(|(_, batch)| batch).map(|record| record.value);
        values.any(|value| String::from_utf8_lossy(value.unwrap_or_default()).contains(text))
    }
}

/// A cluster behind a gate.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) log: MemoryLog,
    pub(crate) gate: Arc<Gate>,
}

impl Cluster {
    /// Takes the cluster back to `older` while clients are connected.
    pub(crate) fn take_back(&self, older: MemoryLog) {
        self.current().close();
        *self.gate.taken_back.lock().expect("nobody panics with it") = Some(older);
    }

    /// Returns the log that the cluster is now.
    fn current(&self) -> MemoryLog {
        let taken_back = self.gate.taken_back.lock().expect("nobody panics with it");
        taken_back.clone().unwrap_or_else(|| self.log.clone())
    }
}

/// A writer that holds its user to the contract: after an error it is dead.
#[derive(Debug)]
struct GatedWriter {
    inner: Box<dyn Writer>,
    gate: Arc<Gate>,
    is_dead: bool,
}

impl GatedWriter {
    async fn try_transact(
        &mut self,
        cx: &Context,
        transaction: Transaction,
    ) -> Result<(), TransactError> {
        self.gate.check().map_err(TransactError::Storage)?;
        if self.gate.refuses(&transaction.records) {
            return Err(TransactError::Rejected(io::Error::other("larger than the topic takes")));
        }
        self.inner.transact(cx, transaction).await
    }
}

#[async_trait]
impl Writer for GatedWriter {
    async fn transact(
        &mut self,
        cx: &Context,
        transaction: Transaction,
    ) -> Result<(), TransactError> {
        assert!(!self.is_dead, "it failed: the task must be opened again");
        // A call that is dropped leaves it dead, too.
        self.is_dead = true;
        let done = self.try_transact(cx, transaction).await;
        self.is_dead = done.as_ref().is_err_and(|error| !error.is_refusal());
        done
    }
}

#[async_trait]
impl Log for Cluster {
    async fn open(&self, cx: &Context, owner: &Owner) -> Result<Opened, OpenError> {
        self.gate.check().map_err(OpenError::Storage)?;
        self.gate.opened.fetch_add(1, Ordering::Relaxed);
        let Opened { epoch, committed, writer: inner } = self.current().open(cx, owner).await?;
        let writer = Box::new(GatedWriter { inner, gate: self.gate.clone(), is_dead: false });
        Ok(Opened { epoch, committed, writer })
    }

    fn enqueue(&self, records: Vec<(TopicPartition, RecordBatch)>) -> Result<Append, EnqueueError> {
        self.current().enqueue(records)
    }

    async fn reader(
        &self,
        cx: &Context,
        partition: &TopicPartition,
        from: LogPosition,
    ) -> Result<Box<dyn LogReader>, ReaderError> {
        self.current().reader(cx, partition, from).await
    }

    async fn bounds(
        &self,
        cx: &Context,
        partition: &TopicPartition,
    ) -> Result<Bounds, ReaderError> {
        self.current().bounds(cx, partition).await
    }

    async fn committed(
        &self,
        cx: &Context,
        task: &TaskId,
    ) -> Result<Option<Committed>, ReaderError> {
        self.current().committed(cx, task).await
    }

    fn admin(&self) -> Arc<dyn LogAdmin> {
        self.current().admin()
    }
}

pub(crate) fn input() -> TopicPartition {
    partition("events", 0)
}

pub(crate) fn letters() -> TopicPartition {
    partition("events-spool-dead", 0)
}

/// Both logs, with their topics.
pub(crate) struct SpoolStage {
    pub(crate) local: MemoryLog,
    pub(crate) remote: Cluster,
    pub(crate) cx: Context,
    pub(crate) config: Config,
}

impl SpoolStage {
    pub(crate) async fn new() -> Self {
        let cx = Context::background();
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        let log = |seed| MemoryLog::new(clock.clone(), Rng::from_seed(seed));
        let stage = Self {
            local: log(1),
            remote: Cluster { log: log(2), gate: Arc::default() },
            cx,
            config: Config::default(),
        };
        stage.make_topics().await;
        stage
    }

    pub(crate) async fn make_topics(&self) {
        for (log, topic, kind) in [
            (&self.local, "events", TopicKind::Events),
            (&self.local, "events-spool-dead", TopicKind::DeadLetters),
            (&self.remote.log, "events", TopicKind::Events),
        ] {
            let config = TopicConfig { partitions: 1, kind, retention: None };
            let ensured = log.admin().ensure_topic(&self.cx, &topic_name(topic), &config).await;
            ensured.expect("the topic is created");
        }
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            task: local_task("test", &input()),
            remote_task: remote_task("test", self.local.admin().log_id(), &input()),
            input: input(),
            output: input(),
            dead_letters: letters(),
            config: self.config.clone(),
        }
    }

    /// Accepts values as the collector does.
    pub(crate) async fn accept(&self, values: &[&str]) {
        let append = self.local.enqueue(vec![(input(), batch(values))]).expect("there is room");
        append.await.expect("the append is durable");
    }

    /// Starts a forwarder.
    pub(crate) fn start(&self) -> Running {
        let surroundings = Surroundings {
            local: Arc::new(self.local.clone()),
            remote: Arc::new(self.remote.clone()),
            clock: Clock::manual(Timestamp::from_millis(1_000)),
            rng: Rng::from_seed(11),
        };
        let (forwarder, status) = Forwarder::new(self.settings(), surroundings);
        let cx = self.cx.child();
        let task = {
            let cx = cx.clone();
            spawn(&self.cx, TaskKind("forwarder"), async move { forwarder.run(&cx).await })
        };
        Running { cx, status, task }
    }

    /// Runs a forwarder until `next` is the next offset to forward, and drains it.
    pub(crate) async fn forward_until(&self, next: u64) {
        let mut running = self.start();
        running.until_done(next).await;
        running.drain().await;
    }

    pub(crate) async fn replay(&self, loss: Loss) -> Result<Option<Replay>, ReplayError> {
        replay(&self.cx, &self.settings(), &self.local, &self.remote, loss).await
    }

    /// Returns the values that a reader of the cluster sees.
    pub(crate) fn forwarded(&self) -> Vec<String> {
        values(&self.remote.current(), &input())
    }

    /// Returns where the journal's task stands.
    pub(crate) async fn registered(&self) -> Option<Position> {
        let committed = self.local.committed(&self.cx, &task_id("test.spool.events.0")).await;
        let committed = committed.expect("the journal answers")?;
        Position::of_committed(&committed).expect("a position")
    }
}

pub(crate) fn values(log: &MemoryLog, of: &TopicPartition) -> Vec<String> {
    let batches = log.records(of);
    let records = batches.iter().flat_map(|batch| batch.iter());
    records
        .map(|(_, record)| String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned())
        .collect()
}
