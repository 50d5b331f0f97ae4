//! A log with the topics of a small pipeline, and what tests do with it.

use std::time::Duration;

use millstream_log::memory::{MemoryLog, Outcome};
use millstream_log::{Log, Owner, TopicConfig, TopicKind, TransactError, Transaction};
use millstream_model::{
    Headers, Record, RecordBatch, RecordBatchBuilder, TaskId, Timestamp, TopicName, TopicPartition,
};
use millstream_pipeline::cleaner;
use millstream_pipeline::event::Limits;
use millstream_pipeline::processor::{Config, Settings, Surroundings};
use millstream_pipeline::step::{StepConfig, require};
use millstream_pipeline::{Processor, TaskStatus};
use millstream_runtime::{Clock, Context, Rng, TaskHandle, TaskKind, spawn};
use tokio::sync::watch;

pub(crate) const PARTITIONS: u32 = 2;

/// A log, a clock that stands still, and the background context.
pub(crate) struct Stage {
    pub(crate) log: MemoryLog,
    pub(crate) cx: Context,
}

pub(crate) fn partition(topic: &str, number: u32) -> TopicPartition {
    TopicPartition::new(topic_name(topic), number)
}

pub(crate) fn topic_name(topic: &str) -> TopicName {
    TopicName::new(topic).expect("the test's topic")
}

pub(crate) fn task_id(id: &str) -> TaskId {
    TaskId::new(id).expect("the test's task")
}

/// Returns records with these values, each with its text as the key.
pub(crate) fn batch(values: &[&str]) -> RecordBatch {
    let mut batch = RecordBatchBuilder::new();
    for value in values {
        batch.push(Record {
            timestamp: Timestamp::from_millis(5),
            key: Some(value.as_bytes()),
            value: Some(value.as_bytes()),
            headers: Headers::EMPTY,
        });
    }
    batch.finish()
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        Self::on(MemoryLog::new(clock, Rng::from_seed(7))).await
    }

    /// Builds the topics on a log of the test's own.
    pub(crate) async fn on(log: MemoryLog) -> Self {
        let cx = Context::background();
        for (topic, partitions, kind) in [
            ("events", PARTITIONS, TopicKind::Events),
            ("clean", PARTITIONS, TopicKind::Events),
            ("dead", 1, TopicKind::DeadLetters),
            ("test-dedupe-changelog", PARTITIONS, TopicKind::Changelog),
        ] {
            let config = TopicConfig { partitions, kind, retention: None };
            let ensured = log.admin().ensure_topic(&cx, &topic_name(topic), &config).await;
            ensured.expect("the topic is created");
        }
        Self { log, cx }
    }

    /// Appends values to a partition, each with its text as the key.
    pub(crate) async fn append(&self, to: &TopicPartition, values: &[&str]) {
        let append = self.log.enqueue(vec![(to.clone(), batch(values))]).expect("there is room");
        append.await.expect("the append is durable");
    }

    /// Appends values as another task's transaction, which may leave a control record behind them.
    pub(crate) async fn append_in_transaction(&self, to: &TopicPartition, values: &[&str]) {
        self.transact_upstream(to, values).await.expect("it commits");
    }

    /// Appends values as a transaction that is aborted: only its control record can be seen.
    pub(crate) async fn abort_transaction(&self, to: &TopicPartition, values: &[&str]) {
        self.log.fail_next_transact(Outcome::Lost);
        self.transact_upstream(to, values).await.expect_err("it is lost");
    }

    async fn transact_upstream(
        &self,
        to: &TopicPartition,
        values: &[&str],
    ) -> Result<(), TransactError> {
        let task = task_id("test.upstream");
        let owner = Owner { task, inputs: Vec::new(), renamed_from: None };
        let mut opened = self.log.open(&self.cx, &owner).await.expect("it opens");
        let records = vec![(to.clone(), batch(values))];
        let transaction = Transaction { records, ..Transaction::default() };
        opened.writer.transact(&self.cx, transaction).await
    }

    /// Returns the values of all records of a partition, in order.
    pub(crate) fn values(&self, of: &TopicPartition) -> Vec<String> {
        let batches = self.log.records(of);
        let records = batches.iter().flat_map(|batch| batch.iter());
        records
            .map(|(_, record)| {
                String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned()
            })
            .collect()
    }

    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings {
            log: std::sync::Arc::new(self.log.clone()),
            clock: Clock::manual(Timestamp::from_millis(1_000)),
            rng: Rng::from_seed(11),
        }
    }

    /// Starts the processor of one partition.
    pub(crate) fn process(&self, settings: Settings) -> Running {
        let (processor, status) =
            Processor::new(settings, self.surroundings()).expect("the test's steps");
        let cx = self.cx.child();
        let task = {
            let cx = cx.clone();
            spawn(&self.cx, TaskKind("processor"), async move { processor.run(&cx).await })
        };
        Running { cx, status, task }
    }
}

/// A task that runs.
pub(crate) struct Running {
    pub(crate) cx: Context,
    pub(crate) status: watch::Receiver<TaskStatus>,
    pub(crate) task: TaskHandle<Result<(), millstream_pipeline::Failure>>,
}

impl Running {
    /// Waits until the status is as asked; the paused clock moves on by itself.
    pub(crate) async fn until(&mut self, is_met: impl FnMut(&TaskStatus) -> bool) -> TaskStatus {
        let reached = self.status.wait_for(is_met);
        let reached = tokio::time::timeout(Duration::from_secs(600), reached).await;
        reached.expect("the status is reached in time").expect("the task lives").clone()
    }

    /// Waits until everything is read and committed.
    pub(crate) async fn until_done(&mut self, next: u64) -> TaskStatus {
        self.until(|status| status.inputs.iter().map(|input| input.next.0).sum::<u64>() >= next)
            .await
    }

    /// Stops the task as a drain does, and waits for its end.
    pub(crate) async fn drain(mut self) {
        self.cx.cancel();
        self.task.join().await.expect("no panic").expect("no failure");
    }

    /// Drops the task in the middle of whatever it does.
    pub(crate) async fn kill(self) {
        drop(self.task);
        tokio::task::yield_now().await;
    }
}

/// The settings of a processor of partition `number` that requires `user_id`.
pub(crate) fn settings(number: u32) -> Settings {
    let fields = vec!["user_id".to_owned()];
    Settings {
        task: task_id(&format!("test.clean.{number}")),
        renamed_from: None,
        input: partition("events", number),
        output: topic_name("clean"),
        dead_letters: topic_name("dead"),
        dead_letter_partitions: 1,
        cleaner: cleaner::Settings {
            pipeline: "test".to_owned(),
            steps: vec![StepConfig::Require(require::Config { fields })],
            schema: None,
            limits: Limits::default(),
            input_partitions: PARTITIONS,
            output_partitions: PARTITIONS,
        },
        keeping: None,
        transaction_interval: Duration::ZERO,
        config: Config::default(),
    }
}
