//! A small pipeline with everything a journal does: appends over partitions, groups, exactly-once
//! processing into two topics, segment rolls, trims, retention with archiving, reopening.
//!
//! It is deterministic: one thing at a time, and where several appends share a sync the disk is
//! held until all of them wait.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use futures::future::{maybe_done, select};
use millstream_log::conformance::batch;
use millstream_log::journal::{Config, Journal, Settings};
use millstream_log::{
    Consumed, EnqueueError, FetchLimits, Log, Opened, Owner, TopicConfig, Transaction,
};
use millstream_model::{ByteSize, LogPosition, Offset, SourceId, Timestamp};
use millstream_runtime::disk::fault::FaultDisk;
use millstream_runtime::{Clock, Context, Disk, Rng};

use super::scenario::{
    AFTERLIFE, EVENTS, HOUR, LIFE, OUTPUTS_KEPT, PARTITIONS, Step, TOPICS, output_of,
    output_partition, outputs, task_of,
};
use super::witness::{COUNTS, Witness};

/// The size of the events of every other append, in bytes: a few of them fill a segment.
const EVENT_BYTES: usize = 1300;

/// The size of the others: they fit where a large one just did not.
const SMALL_EVENT_BYTES: usize = 30;

/// A journal whose segments hold a few events.
fn config() -> Config {
    Config {
        segment_bytes_max: ByteSize::kib(16),
        group_bytes_max: ByteSize::kib(16),
        batch_bytes_max: ByteSize::kib(12),
        transaction_bytes_max: ByteSize::kib(12),
        queue_bytes_max: ByteSize::mib(1),
        reserve_bytes: ByteSize::kib(32),
        disk_free_min: ByteSize(0),
        retention: HOUR,
        // Maintenance runs when the workload says so.
        retention_interval: Duration::from_secs(24 * 60 * 60),
        ..Config::default()
    }
}

/// How a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Every step was done.
    Whole,
    /// The disk crashed.
    Crashed,
}

/// The pipeline and the world around it.
pub(crate) struct World {
    pub(crate) disk: FaultDisk,
    pub(crate) witness: Witness,
    cx: Context,
    clock: Clock,
    seed: u64,
    journal: Option<Journal>,
    tasks: [Option<Opened>; PARTITIONS as usize],
    events: u64,
    /// How many operations ended with an error that was not a crash.
    pub(crate) errors: u64,
}

impl World {
    /// A world before the journal's first start.
    pub(crate) fn new(disk: FaultDisk) -> Self {
        Self {
            disk,
            witness: Witness::default(),
            cx: Context::background().with_timeout(Duration::from_secs(120)),
            clock: Clock::manual(Timestamp::from_millis(1_700_000_000_000)),
            seed: 1,
            journal: None,
            tasks: [None, None],
            events: 0,
            errors: 0,
        }
    }

    /// The same world with the disk that a reboot left.
    pub(crate) fn after(&self, disk: FaultDisk) -> Self {
        let next = Self::new(disk);
        next.clock.set(self.clock.now());
        let (witness, seed, events) = (self.witness.clone(), self.seed + 1000, self.events);
        Self { witness, seed, events, ..next }
    }

    /// Returns a number that two worlds share only if the same becomes of both.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.disk.fingerprint(), &self.witness, self.clock.now()).hash(&mut hasher);
        (self.seed, self.events).hash(&mut hasher);
        hasher.finish()
    }

    /// Opens the journal; after a fault that is not a crash, again.
    pub(crate) fn start(&mut self) -> Result<Ended> {
        loop {
            self.seed += 1;
            let settings = Settings {
                dir: "/data/journal".into(),
                disk: Arc::new(self.disk.clone()) as Arc<dyn Disk>,
                clock: self.clock.clone(),
                rng: Rng::from_seed(self.seed),
            };
            match Journal::open(config(), settings) {
                Ok(journal) => {
                    self.journal = Some(journal);
                    return Ok(Ended::Whole);
                }
                Err(_) if self.disk.is_crashed() => return Ok(Ended::Crashed),
                Err(error) if self.errors >= 20 => return Err(error).context("open the journal"),
                Err(_transient) => self.errors += 1,
            }
        }
    }

    /// Ends the journal; what a crashed disk makes of it does not matter.
    pub(crate) fn stop(&mut self) {
        self.tasks = [None, None];
        if let Some(journal) = self.journal.take() {
            journal.close();
        }
    }

    /// Lives the first life.
    pub(crate) async fn live(&mut self) -> Result<Ended> {
        self.play(&LIFE).await
    }

    /// Lives on after a reboot, and ends with every event processed.
    pub(crate) async fn live_on(&mut self) -> Result<Ended> {
        if self.play(&AFTERLIFE).await? == Ended::Crashed {
            return Ok(Ended::Crashed);
        }
        for task in 0..PARTITIONS {
            loop {
                let before = self.errors;
                let more = self.process(task).await?;
                if self.disk.is_crashed() {
                    return Ok(Ended::Crashed);
                }
                if !more && self.errors == before {
                    break;
                }
            }
        }
        Ok(Ended::Whole)
    }

    async fn play(&mut self, steps: &[Step]) -> Result<Ended> {
        if self.journal.is_none() && self.start()? == Ended::Crashed {
            return Ok(Ended::Crashed);
        }
        for (number, step) in steps.iter().enumerate() {
            let done = self.step(*step).await;
            done.with_context(|| format!("step {number}, {step:?}"))?;
            if self.disk.is_crashed() {
                return Ok(Ended::Crashed);
            }
            self.recover_from_errors().await?;
        }
        Ok(Ended::Whole)
    }

    async fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Topics => self.make_topics().await,
            Step::Append => self.append(1).await,
            Step::Group => self.append(3).await,
            Step::Process(task) => self.process(task).await.map(|_more| ()),
            Step::Trim(task) => self.trim(task).await,
            Step::Retain => {
                self.clock.advance(2 * HOUR);
                self.journal()?.maintain().await;
                Ok(())
            }
            Step::TrimOutputs => self.trim_outputs().await,
            Step::RetainArchive => self.retain_archive().await,
            Step::Restart => {
                self.stop();
                self.start().map(|_ended| ())
            }
        }
    }

    /// Checks the journal against what the world knows.
    pub(crate) async fn check(&mut self) -> Result<()> {
        let journal = self.journal()?;
        self.witness.check(&self.cx, &journal).await
    }

    pub(crate) fn journal(&self) -> Result<Journal> {
        self.journal.clone().context("the journal runs")
    }

    /// After a failed write the journal begins a new segment, at once or after a pause.
    async fn recover_from_errors(&mut self) -> Result<()> {
        let Some(journal) = self.journal.clone() else { return Ok(()) };
        while journal.stats().is_broken && !self.disk.is_crashed() {
            self.cx.check()?;
            journal.maintain().await;
        }
        Ok(())
    }

    /// An operation ended with an error: fine on a disk that crashed or was told to fail.
    fn note_error(&mut self, error: impl std::fmt::Display) -> Result<()> {
        self.errors += 1;
        if self.errors > 1000 {
            bail!("no end of errors, the last one: {error}");
        }
        Ok(())
    }

    async fn make_topics(&mut self) -> Result<()> {
        let admin = self.journal()?.admin();
        for topic in &TOPICS {
            let config = TopicConfig {
                partitions: topic.partitions,
                kind: topic.kind,
                retention: Some(topic.retention),
            };
            while !self.disk.is_crashed() {
                match admin.ensure_topic(&self.cx, &topic.topic_name(), &config).await {
                    Ok(made) => {
                        self.witness.know_topic(&made.name, made.id)?;
                        break;
                    }
                    Err(error) => self.note_error(error)?,
                }
                self.recover_from_errors().await?;
            }
        }
        Ok(())
    }

    /// Appends one event to each partition, `count` times at once.
    async fn append(&mut self, count: usize) -> Result<()> {
        let journal = self.journal()?;
        if count > 1 {
            self.disk.hold_syncs();
        }
        let mut appends = Vec::new();
        for number in 0..count {
            let mut events = Vec::new();
            let is_large = (self.events / u64::from(PARTITIONS)).is_multiple_of(2);
            let bytes = if is_large { EVENT_BYTES } else { SMALL_EVENT_BYTES };
            for partition in EVENTS.all() {
                self.events += 1;
                let event = format!("event {} {}", self.events, "x".repeat(bytes));
                events.push((partition, event));
            }
            let records =
                events.iter().map(|(to, event)| (to.clone(), batch(&[event.as_str()]))).collect();
            match journal.enqueue(records) {
                Ok(append) => appends.push((events, maybe_done(append))),
                Err(error) => {
                    self.witness.refuse(events);
                    self.note_error(error)?;
                }
            }
            // The others wait while the first one is being synced, if it comes that far.
            if let (true, 0, Some((_, first))) = (count > 1, number, appends.first_mut()) {
                let held = pin!(self.disk.held_sync());
                self.cx.run(select(held, first)).await?;
            }
        }
        self.disk.release_syncs();
        for (events, mut append) in appends {
            self.cx.run(&mut append).await?;
            match Pin::new(&mut append).take_output().context("it was waited for")? {
                Ok(appended) => self.witness.acknowledge(events, &appended),
                Err(error @ (EnqueueError::Full { .. } | EnqueueError::Closed)) => {
                    self.witness.refuse(events);
                    self.note_error(error)?;
                }
                Err(error) => {
                    self.witness.doubt(events);
                    self.note_error(error)?;
                }
            }
        }
        Ok(())
    }

    /// Processes up to three events of a partition; returns whether there were any.
    async fn process(&mut self, task: u32) -> Result<bool> {
        match self.try_process(task).await {
            Ok(more) => Ok(more),
            Err(error) => {
                self.tasks[task as usize] = None;
                match error.downcast::<Doubt>() {
                    Ok(Doubt(error)) => self.note_error(error)?,
                    Err(other) => return Err(other),
                }
                Ok(true)
            }
        }
    }

    async fn try_process(&mut self, task: u32) -> Result<bool> {
        let (journal, cx) = (self.journal()?, self.cx.clone());
        let input = EVENTS.partition(task);
        let mut opened = match self.tasks[task as usize].take() {
            Some(opened) => opened,
            None => {
                let owner =
                    Owner { task: task_of(task), inputs: vec![input.clone()], renamed_from: None };
                let opened = journal.open(&cx, &owner).await.map_err(Doubt::new)?;
                self.witness.own(task, opened.epoch)?;
                opened
            }
        };
        let from = match opened.committed.consumed.get(&input) {
            Some(next) => *next,
            None => journal.bounds(&cx, &input).await.map_err(Doubt::new)?.start,
        };
        let mut reader = journal.reader(&cx, &input, from).await.map_err(Doubt::new)?;
        let limits = FetchLimits { bytes_max: 3 * (EVENT_BYTES + 50), wait_max: Duration::ZERO };
        let fetched = reader.fetch(&cx, limits).await.map_err(Doubt::new)?;
        let events = millstream_log::conformance::values_of(&fetched.batches);
        if events.is_empty() {
            self.tasks[task as usize] = Some(opened);
            return Ok(false);
        }
        self.witness.see(&input, events.clone());
        let transaction = transaction_of(task, events, fetched.next);
        match opened.writer.transact(&cx, transaction).await {
            Ok(()) => {
                self.witness.consume(task, fetched.next.offset);
                opened.committed.consumed.insert(input, fetched.next);
            }
            // Nothing changed: the same owner tries again later.
            Err(error) if error.is_refusal() => self.note_error(error)?,
            Err(error) => return Err(Doubt::new(error).into()),
        }
        self.tasks[task as usize] = Some(opened);
        Ok(true)
    }

    /// Trims every partition of the outputs up to half of what it holds.
    async fn trim_outputs(&mut self) -> Result<()> {
        let journal = self.journal()?;
        for partition in outputs() {
            let end = journal.bounds(&self.cx, &partition).await?.end.offset;
            let before = Offset(end.0 / 2);
            self.witness.allow_gone(partition.clone(), before);
            match journal.admin().trim(&self.cx, &partition, before).await {
                Ok(()) => self.witness.trim(partition, before),
                Err(error) => self.note_error(error)?,
            }
        }
        journal.maintain().await;
        Ok(())
    }

    /// Lets all that is archived grow old and runs maintenance.
    async fn retain_archive(&mut self) -> Result<()> {
        let journal = self.journal()?;
        for partition in outputs() {
            let end = journal.bounds(&self.cx, &partition).await?.end.offset;
            self.witness.allow_gone(partition, end);
        }
        self.clock.advance(2 * OUTPUTS_KEPT);
        journal.maintain().await;
        Ok(())
    }

    async fn trim(&mut self, task: u32) -> Result<()> {
        let (journal, input) = (self.journal()?, EVENTS.partition(task));
        let Some(opened) = &self.tasks[task as usize] else { return Ok(()) };
        let Some(consumed) = opened.committed.consumed.get(&input) else { return Ok(()) };
        let before = Offset(consumed.offset.0 / 2);
        match journal.admin().trim(&self.cx, &input, before).await {
            Ok(()) => self.witness.trim(input, before),
            Err(error) => self.note_error(error)?,
        }
        Ok(())
    }
}

/// What a task commits for these events.
fn transaction_of(task: u32, events: Vec<(Offset, String)>, next: LogPosition) -> Transaction {
    let mut records = Vec::new();
    for (offset, event) in events {
        let to = output_partition(task, offset);
        records.push((to, batch(&[output_of(task, offset, &event).as_str()])));
    }
    let counts = SourceId::new(COUNTS).expect("a legal id");
    Transaction {
        records,
        consumed: vec![Consumed { partition: EVENTS.partition(task), next }],
        positions: vec![(counts, Bytes::from(next.offset.to_string()))],
    }
}

/// An error after which a task must be opened again.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct Doubt(anyhow::Error);

impl Doubt {
    fn new(error: impl Into<anyhow::Error>) -> Self {
        Self(error.into())
    }
}
