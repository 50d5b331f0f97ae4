//! The journal as contestants use it: opened with its defaults, filled, and read to its end.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use millstream_log::journal::{Config, Settings};
use millstream_log::{Append, FetchLimits, Log, TopicConfig, TopicKind};
use millstream_model::record::Record;
use millstream_model::{
    Headers, RecordBatch, RecordBatchBuilder, Timestamp, TopicName, TopicPartition,
};
use millstream_runtime::disk::RealDisk;
use millstream_runtime::{Clock, Context, Rng, TaskKind, spawn_blocking};

use crate::events::Template;

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    journal: millstream_log::journal::Journal,
    /// The journal, as everything above it sees it.
    pub(crate) log: Arc<dyn Log>,
}

impl Journal {
    /// Opens or creates the journal of a directory, with the product's defaults.
    pub(crate) async fn open(dir: &Path) -> Result<Self> {
        let settings = Settings {
            dir: dir.join("journal"),
            disk: Arc::new(RealDisk),
            clock: Clock::system(),
            rng: Rng::from_os(),
        };
        let open = || millstream_log::journal::Journal::open(Config::default(), settings);
        let journal = spawn_blocking(TaskKind("open-journal"), open).join().await??;
        let log = Arc::new(journal.clone());
        Ok(Self { journal, log })
    }

    /// Settles what is queued and closes the journal.
    pub(crate) async fn close(self) -> Result<()> {
        let Self { journal, log } = self;
        drop(log);
        Ok(spawn_blocking(TaskKind("close-journal"), move || journal.close()).join().await?)
    }
}

/// The partitions of a topic of events, as in the quickstart.
pub(crate) const PARTITIONS: u32 = 4;

/// The events of one append: about 64 KB.
const APPEND_EVENTS: u64 = 64;

/// Room for them, encoded.
const APPEND_BYTES: usize = 80 << 10;

/// The most appends on their way: what the journal groups, and far below what it refuses.
const APPENDS_MAX: usize = 256;

/// Makes sure that a topic is there.
pub(crate) async fn ensure_topic(cx: &Context, log: &dyn Log, name: &str) -> Result<TopicName> {
    let name = TopicName::new(name)?;
    let kind =
        if name.as_str().ends_with("-dead") { TopicKind::DeadLetters } else { TopicKind::Events };
    let config = TopicConfig { partitions: PARTITIONS, kind, retention: None };
    log.admin().ensure_topic(cx, &name, &config).await?;
    Ok(name)
}

/// Makes appends of events `0..count`, one after the other: only those on their way are in memory.
#[derive(Debug)]
pub(crate) struct Appends {
    templates: Vec<Template>,
    next: u64,
    count: u64,
}

impl Appends {
    /// Makes as many events as hold about `bytes`, in whole appends.
    pub(crate) fn of_bytes(bytes: u64) -> Self {
        let templates: Vec<Template> = (0..APPEND_EVENTS).map(Template::new).collect();
        let append: u64 = templates.iter().map(|template| template.len() as u64).sum();
        Self { templates, next: 0, count: bytes.div_ceil(append) * APPEND_EVENTS }
    }

    /// Returns the number of events.
    pub(crate) fn events(&self) -> u64 {
        self.count
    }

    /// Returns the bytes of all their values.
    pub(crate) fn value_bytes(&self) -> u64 {
        let append: u64 = self.templates.iter().map(|template| template.len() as u64).sum();
        self.count / APPEND_EVENTS * append
    }
}

impl Iterator for Appends {
    type Item = RecordBatch;

    fn next(&mut self) -> Option<RecordBatch> {
        if self.next >= self.count {
            return None;
        }
        let mut builder = RecordBatchBuilder::with_capacity(APPEND_BYTES);
        for template in &mut self.templates {
            let event = template.numbered(self.next);
            self.next += 1;
            let timestamp = Timestamp::from_millis(1_795_342_260_000);
            let (value, headers) = (Some(event), Headers::EMPTY);
            builder.push(Record { timestamp, key: None, value, headers });
        }
        Some(builder.finish())
    }
}

/// Appends all of it to the partitions in turn, and returns when the last is durable.
pub(crate) async fn fill(log: &dyn Log, topic: &TopicName, appends: Appends) -> Result<()> {
    let mut waiting: VecDeque<Append> = VecDeque::with_capacity(APPENDS_MAX);
    for (partition, batch) in (0..PARTITIONS).cycle().zip(appends) {
        if waiting.len() == APPENDS_MAX
            && let Some(oldest) = waiting.pop_front()
        {
            oldest.await?;
        }
        let to = TopicPartition::new(topic.clone(), partition);
        waiting.push_back(log.enqueue(vec![(to, batch)])?);
    }
    for append in waiting {
        append.await?;
    }
    Ok(())
}

/// Shows every record of a topic to `see`.
pub(crate) async fn read_all(
    cx: &Context,
    log: &Arc<dyn Log>,
    topic: &TopicName,
    mut see: impl FnMut(Record<'_>) -> Result<()>,
) -> Result<()> {
    let limits = FetchLimits { bytes_max: 4 << 20, wait_max: Duration::from_secs(1) };
    for partition in 0..PARTITIONS {
        let partition = TopicPartition::new(topic.clone(), partition);
        let bounds = log.bounds(cx, &partition).await?;
        let mut next = bounds.start;
        let mut reader = log.reader(cx, &partition, next).await?;
        while next.offset < bounds.end.offset {
            let fetched = reader.fetch(cx, limits).await.context("fetch")?;
            ensure!(fetched.next.offset > next.offset, "{partition} ends before its end");
            next = fetched.next;
            for record in fetched.batches.iter().flat_map(|batch| &batch.records) {
                see(record)?;
            }
        }
    }
    Ok(())
}
