//! The stage a property plays on: a started log, three topics, and short ways to use them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use millstream_model::{
    Headers, LogPosition, Offset, OffsetRange, Record, RecordBatch, RecordBatchBuilder, SourceId,
    TaskId, Timestamp, TopicName, TopicPartition,
};
use millstream_runtime::Context;

use super::Subject;
use crate::contract::{Bounds, FetchLimits, Log, LogReader, Opened, Owner};
use crate::topic::{TopicConfig, TopicKind};
use crate::transaction::{Appended, Committed, Consumed, OffsetBatch, Transaction};

/// How long a patient fetch waits: longer than any property takes.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Far more than any property writes.
const ALL_BYTES: usize = 64 << 20;

/// A started log with the topics `one` (one partition), `four` (four) and `letters` (one
/// partition of dead letters).
pub struct Stage {
    pub(super) subject: Box<dyn Subject>,
    /// The context of every call; it ends when the property hangs.
    pub cx: Context,
    /// The log as it runs now.
    pub log: Arc<dyn Log>,
}

impl Stage {
    /// Starts the log and makes the topics; every call is given up after `time_max`.
    pub async fn start(mut subject: Box<dyn Subject>, time_max: Duration) -> Result<Self> {
        let log = subject.start().await.context("start the log")?;
        let cx = Context::background().with_timeout(time_max);
        let stage = Self { subject, cx, log };
        stage.ensure("one", 1, TopicKind::Events).await?;
        stage.ensure("four", 4, TopicKind::Events).await?;
        stage.ensure("letters", 1, TopicKind::DeadLetters).await?;
        Ok(stage)
    }

    /// Ends the log in order.
    pub async fn end(mut self) -> Result<()> {
        self.subject.stop().await.context("stop the log")
    }

    async fn ensure(&self, name: &str, partitions: u32, kind: TopicKind) -> Result<()> {
        let config = TopicConfig { partitions, kind, retention: None };
        self.log.admin().ensure_topic(&self.cx, &TopicName::new(name)?, &config).await?;
        Ok(())
    }

    /// Ends the log in order and starts it again.
    pub async fn restart(&mut self) -> Result<()> {
        self.subject.stop().await.context("stop the log")?;
        self.log = self.subject.start().await.context("start the log again")?;
        Ok(())
    }

    /// Ends the log as a power cut does and starts it again.
    pub async fn crash(&mut self) -> Result<()> {
        self.subject.crash().await?;
        self.log = self.subject.start().await.context("start the log after a crash")?;
        Ok(())
    }

    /// The only partition of topic `one`.
    pub fn one(&self) -> TopicPartition {
        partition("one", 0)
    }

    /// One of the four partitions of topic `four`.
    pub fn four(&self, number: u32) -> TopicPartition {
        partition("four", number)
    }

    /// The only partition of topic `letters`.
    pub fn letters(&self) -> TopicPartition {
        partition("letters", 0)
    }

    /// Every partition there is.
    pub fn partitions(&self) -> Vec<TopicPartition> {
        let four = (0..4).map(|number| self.four(number));
        [self.one(), self.letters()].into_iter().chain(four).collect()
    }

    /// Appends records with these values to one partition and waits until they are durable.
    pub async fn append(&self, to: &TopicPartition, values: &[&str]) -> Result<Vec<Appended>> {
        let append = self.log.enqueue(vec![(to.clone(), batch(values))])?;
        Ok(self.cx.run(append).await??)
    }

    /// Returns the offsets of records that a log says where they are.
    pub fn offsets(appended: &Appended) -> Result<OffsetRange> {
        appended.landed.offsets().with_context(|| format!("no offsets in {appended:?}"))
    }

    /// Returns the bounds of a partition, with everything in them that was committed so far.
    pub async fn bounds(&self, of: &TopicPartition) -> Result<Bounds> {
        self.subject.settle(of).await.with_context(|| format!("settle {of}"))?;
        Ok(self.log.bounds(&self.cx, of).await?)
    }

    /// Starts reading where a partition begins.
    pub async fn reader(&self, of: &TopicPartition) -> Result<Box<dyn LogReader>> {
        let start = self.bounds(of).await?.start;
        Ok(self.log.reader(&self.cx, of, start).await?)
    }

    /// Reads a partition from its beginning to the end a reader may see.
    pub async fn read(&self, of: &TopicPartition) -> Result<Vec<(Offset, String)>> {
        let start = self.bounds(of).await?.start;
        self.read_from(of, start).await
    }

    /// Reads a partition from a position to the end a reader may see.
    pub async fn read_from(
        &self,
        of: &TopicPartition,
        from: LogPosition,
    ) -> Result<Vec<(Offset, String)>> {
        let end = self.bounds(of).await?.end.offset;
        let mut reader = self.log.reader(&self.cx, of, from).await?;
        let (mut found, mut next) = (Vec::new(), from.offset);
        while next < end {
            let fetched = reader.fetch(&self.cx, at_once()).await?;
            ensure!(fetched.next.offset > next, "fetch stands still at {next} before end {end}");
            found.extend(values_of(&fetched.batches));
            next = fetched.next.offset;
        }
        Ok(found)
    }

    /// Reads only the values of a partition.
    pub async fn values(&self, of: &TopicPartition) -> Result<Vec<String>> {
        Ok(self.read(of).await?.into_iter().map(|(_, value)| value).collect())
    }

    /// Makes the caller the owner of a task.
    pub async fn open(&self, task: &str, inputs: &[TopicPartition]) -> Result<Opened> {
        Ok(self.log.open(&self.cx, &owner(task, inputs)).await?)
    }

    /// Returns what a task committed, without owning it.
    pub async fn committed(&self, task: &str) -> Result<Committed> {
        let committed = self.log.committed(&self.cx, &TaskId::new(task)?).await?;
        committed.with_context(|| format!("task {task} was never opened"))
    }

    /// Returns how far a task that consumed everything of a partition would be.
    pub async fn consumed_all(&self, of: &TopicPartition) -> Result<Consumed> {
        let mut reader = self.reader(of).await?;
        let end = self.bounds(of).await?.end.offset;
        loop {
            let fetched = reader.fetch(&self.cx, at_once()).await?;
            if fetched.next.offset >= end {
                return Ok(Consumed { partition: of.clone(), next: fetched.next });
            }
        }
    }
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stage({:?})", self.log)
    }
}

/// A fetch of everything that does not wait.
pub(super) fn at_once() -> FetchLimits {
    FetchLimits { bytes_max: ALL_BYTES, wait_max: Duration::ZERO }
}

/// A fetch of everything that waits until something comes.
pub(super) fn patiently() -> FetchLimits {
    FetchLimits { bytes_max: ALL_BYTES, wait_max: PATIENCE }
}

/// Names a partition.
pub(super) fn partition(topic: &str, number: u32) -> TopicPartition {
    let topic = TopicName::new(topic).expect("the suite's topic names are legal");
    TopicPartition::new(topic, number)
}

/// Names an owner without an old name.
pub(super) fn owner(task: &str, inputs: &[TopicPartition]) -> Owner {
    let task = TaskId::new(task).expect("the suite's task ids are legal");
    Owner { task, inputs: inputs.to_vec(), renamed_from: None }
}

/// Names a source.
pub(super) fn source(id: &str) -> SourceId {
    SourceId::new(id).expect("the suite's source ids are legal")
}

/// A transaction that appends values to one partition and says so in its positions.
pub(super) fn transaction(to: &TopicPartition, values: &[&str]) -> Transaction {
    let position = Bytes::from(values.join(","));
    Transaction {
        records: vec![(to.clone(), batch(values))],
        positions: vec![(source("last"), position)],
        ..Transaction::default()
    }
}

/// A transaction of one position alone.
pub(super) fn only_position(id: &str, value: &str) -> Transaction {
    let positions = vec![(source(id), Bytes::from(value.to_owned()))];
    Transaction { positions, ..Transaction::default() }
}

/// Builds a batch of records with these values.
pub fn batch(values: &[&str]) -> RecordBatch {
    let mut builder = RecordBatchBuilder::new();
    for value in values {
        builder.push(Record {
            timestamp: Timestamp::EPOCH,
            key: None,
            value: Some(value.as_bytes()),
            headers: Headers::EMPTY,
        });
    }
    builder.finish()
}

/// Returns offsets and values of what was read.
pub fn values_of(batches: &[OffsetBatch]) -> Vec<(Offset, String)> {
    let records = batches.iter().flat_map(OffsetBatch::iter);
    let text =
        |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
    records.map(|(offset, record)| (offset, text(record.value))).collect()
}
