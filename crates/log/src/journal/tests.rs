//! The journal as a whole, on a real directory.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream_model::{
    ByteSize, Headers, Record, RecordBatch, RecordBatchBuilder, TaskId, Timestamp, TopicName,
    TopicPartition,
};
use millstream_runtime::disk::RealDisk;
use millstream_runtime::{Clock, Context, Disk, Rng};

use super::{Config, Journal, OpenJournalError, Settings};
use crate::contract::{FetchLimits, Fetched, Log, LogAdmin, Owner};
use crate::error::TransactError;
use crate::topic::{Topic, TopicConfig, TopicKind};
use crate::transaction::{Consumed, Transaction};

mod durability;
pub(in crate::journal) mod fixture;
mod full;
mod recovery;
mod retention;

/// A small journal: segments of 64 KiB.
pub(super) fn small() -> Config {
    Config {
        bytes_max: ByteSize::mib(4),
        disk_free_min: ByteSize(0),
        segment_bytes_max: ByteSize::kib(64),
        group_bytes_max: ByteSize::kib(32),
        batch_bytes_max: ByteSize::kib(32),
        transaction_bytes_max: ByteSize::kib(32),
        queue_bytes_max: ByteSize::mib(1),
        reserve_bytes: ByteSize(0),
        // Rounds come when a test asks for them.
        retention_interval: Duration::from_secs(3600),
        ..Config::default()
    }
}

/// A journal with what it was opened with.
pub(super) struct World {
    pub disk: Arc<dyn Disk>,
    pub dir: std::path::PathBuf,
    pub clock: Clock,
    pub config: Config,
    pub seed: u64,
}

impl World {
    pub(super) fn real(dir: &Path, config: Config) -> Self {
        Self::on(Arc::new(RealDisk), dir, config)
    }

    pub(super) fn on(disk: Arc<dyn Disk>, dir: &Path, config: Config) -> Self {
        let clock = Clock::manual(Timestamp::from_millis(1_000_000));
        Self { disk, dir: dir.to_owned(), clock, config, seed: 1 }
    }

    pub(super) fn open(&mut self) -> Result<Journal, OpenJournalError> {
        self.seed += 1;
        let settings = Settings {
            dir: self.dir.clone(),
            disk: Arc::clone(&self.disk),
            clock: self.clock.clone(),
            rng: Rng::from_seed(self.seed),
        };
        Journal::open(self.config.clone(), settings)
    }
}

pub(super) fn cx() -> Context {
    Context::background()
}

pub(super) fn batch(values: &[&[u8]]) -> RecordBatch {
    let mut builder = RecordBatchBuilder::new();
    for value in values {
        builder.push(Record {
            timestamp: Timestamp::from_millis(7),
            key: None,
            value: Some(value),
            headers: Headers::EMPTY,
        });
    }
    builder.finish()
}

pub(super) fn partition(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).unwrap(), partition)
}

pub(super) async fn topic(journal: &Journal, name: &str, partitions: u32) -> Topic {
    topic_of(journal, name, partitions, TopicKind::Events).await
}

pub(super) async fn topic_of(
    journal: &Journal,
    name: &str,
    partitions: u32,
    kind: TopicKind,
) -> Topic {
    let config = TopicConfig { partitions, kind, retention: None };
    let name = TopicName::new(name).unwrap();
    journal.ensure_topic(&cx(), &name, &config).await.unwrap()
}

pub(super) async fn append(journal: &Journal, to: &TopicPartition, values: &[&[u8]]) {
    journal.enqueue(vec![(to.clone(), batch(values))]).unwrap().await.unwrap();
}

pub(super) fn owner(task: &str, inputs: &[TopicPartition]) -> Owner {
    Owner { task: TaskId::new(task).unwrap(), inputs: inputs.to_vec(), renamed_from: None }
}

const LIMITS: FetchLimits = FetchLimits { bytes_max: 1 << 20, wait_max: Duration::ZERO };

/// Reads everything there is.
pub(super) async fn read_all(journal: &Journal, from: &TopicPartition) -> Vec<Vec<u8>> {
    let start = journal.bounds(&cx(), from).await.unwrap().start;
    let mut reader = journal.reader(&cx(), from, start).await.unwrap();
    let mut values = Vec::new();
    loop {
        let fetched = reader.fetch(&cx(), LIMITS).await.unwrap();
        if fetched.is_empty() {
            return values;
        }
        values.extend(values_of(&fetched));
    }
}

pub(super) fn values_of(fetched: &Fetched) -> Vec<Vec<u8>> {
    let records = fetched.batches.iter().flat_map(|batch| batch.records.iter());
    records.map(|record| record.value.unwrap().to_vec()).collect()
}

#[tokio::test]
async fn what_was_appended_is_read_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::real(dir.path(), small());
    let events = partition("events", 1);
    let journal = world.open().unwrap();
    topic(&journal, "events", 2).await;
    append(&journal, &events, &[b"one", b"two"]).await;
    append(&journal, &events, &[b"three"]).await;
    let expected: Vec<Vec<u8>> = vec![b"one".to_vec(), b"two".to_vec(), b"three".to_vec()];
    assert_eq!(read_all(&journal, &events).await, expected);
    drop(journal);
    let journal = world.open().unwrap();
    assert_eq!(read_all(&journal, &events).await, expected);
}

#[tokio::test]
async fn a_transaction_is_there_with_its_positions_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::real(dir.path(), small());
    let (events, clean) = (partition("events", 0), partition("clean", 0));
    let journal = world.open().unwrap();
    topic(&journal, "events", 1).await;
    topic(&journal, "clean", 1).await;
    append(&journal, &events, &[b"one"]).await;
    let task = owner("task", std::slice::from_ref(&events));
    let mut opened = journal.open(&cx(), &task).await.unwrap();
    assert!(!opened.committed.began);
    let next = journal.bounds(&cx(), &events).await.unwrap().end;
    let transaction = Transaction {
        records: vec![(clean.clone(), batch(&[b"ONE"]))],
        consumed: vec![Consumed { partition: events.clone(), next }],
        positions: vec![],
    };
    opened.writer.transact(&cx(), transaction.clone()).await.unwrap();
    drop((opened, journal));
    let journal = world.open().unwrap();
    let mut opened = journal.open(&cx(), &task).await.unwrap();
    assert!(opened.committed.began);
    assert_eq!(opened.committed.consumed[&events], next);
    assert_eq!(read_all(&journal, &clean).await, [b"ONE"]);
    let mut newer = journal.open(&cx(), &task).await.unwrap();
    let fenced = opened.writer.transact(&cx(), transaction.clone()).await;
    assert!(matches!(fenced, Err(TransactError::Fenced { .. })), "{fenced:?}");
    newer.writer.transact(&cx(), transaction).await.unwrap();
}

#[tokio::test]
async fn a_second_opener_of_the_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::real(dir.path(), small());
    let journal = world.open().unwrap();
    let refused = world.open();
    assert!(matches!(refused, Err(OpenJournalError::InUse { .. })), "{refused:?}");
    journal.close();
    world.open().unwrap();
}

#[tokio::test]
async fn reading_goes_on_over_segments() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::real(dir.path(), small());
    let journal = world.open().unwrap();
    let events = partition("events", 0);
    topic(&journal, "events", 1).await;
    let values: Vec<Vec<u8>> = (0..40_u8).map(|value| vec![value; 10_000]).collect();
    for value in &values {
        append(&journal, &events, &[value]).await;
    }
    assert!(journal.stats().segments > 5, "{:?}", journal.stats());
    assert_eq!(read_all(&journal, &events).await, values);
    drop(journal);
    let journal = world.open().unwrap();
    assert_eq!(read_all(&journal, &events).await, values);
}
