//! Reads the newest dead letters out of the log and out of the collector's spool: only as many as
//! asked for, from where they begin, on a thread that may wait for the disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use millstream_log::{Bounds, FetchLimits, Log, ReaderError};
use millstream_model::{Classify, ErrorClass, Offset, Record, TopicPartition};
use millstream_pipeline::DeadLetter;
use millstream_runtime::task::TaskError;
use millstream_runtime::{Context, TaskKind, spawn_blocking};
use serde::Deserialize;
use thiserror::Error;
use tokio::runtime::Handle;

use crate::flow::{Flow, topic_name};
use crate::reading::reader_at;
use crate::role;
use crate::status::{DeadLetterRow, DeadLetters};

/// How many are listed when nobody says.
const LIMIT_DEFAULT: usize = 20;
/// The most that are listed at a time.
const LIMIT_MAX: usize = 10_000;
/// The most bytes of events that one answer holds; the newest event is there whatever its size.
pub(crate) const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The most bytes that one fetch brings, and that are held beside the answer.
const FETCH_BYTES_MAX: usize = 1 << 20;

/// Which dead letters to list.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Query {
    /// How many, the newest ones.
    pub(crate) limit: Option<usize>,
    /// Only of this topic.
    pub(crate) topic: Option<String>,
}

/// The logs that hold dead letters.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetterLogs {
    /// The log, with what pipelines and sinks rejected; `None` where it is not reached.
    pub(crate) log: Option<Arc<dyn Log>>,
    /// The collector's journal where it is a spool, with what Kafka refused for good.
    pub(crate) spool: Option<Arc<dyn Log>>,
}

/// Partitions with dead letters, and the log they are in.
#[derive(Debug)]
struct Shelf {
    log: Arc<dyn Log>,
    place: &'static str,
    partitions: Vec<TopicPartition>,
}

/// Why dead letters could not be listed.
#[derive(Debug, Error)]
pub(crate) enum ListError {
    /// The log could not be read.
    #[error("read the dead letters")]
    Log(#[from] ReaderError),
    /// The thread that read them ended.
    #[error("read the dead letters")]
    Task(#[from] TaskError),
}

impl Classify for ListError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Log(error) => error.class(),
            Self::Task(_) => ErrorClass::Bug,
        }
    }
}

/// The newest letters so far, within the limits of an answer.
#[derive(Debug)]
struct Newest {
    letters: VecDeque<DeadLetterRow>,
    bytes: usize,
    limit: usize,
    /// Whether some had to go for their size.
    is_cut: bool,
}

/// Lists the newest dead letters by the time of their acceptance, oldest first.
pub(crate) async fn list(
    cx: &Context,
    logs: DeadLetterLogs,
    flow: &Flow,
    query: &Query,
) -> Result<DeadLetters, ListError> {
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT).min(LIMIT_MAX);
    let topic = query.topic.as_deref();
    let log = logs.log.map(|log| {
        let partitions = dead_letter_partitions(flow, topic);
        Shelf { log, place: "log", partitions }
    });
    let spool = logs.spool.map(|log| {
        let partitions = spool_partitions(flow, topic);
        Shelf { log, place: "spool", partitions }
    });
    let shelves: Vec<Shelf> = log.into_iter().chain(spool).collect();
    let (cx, runtime) = (cx.clone(), Handle::current());
    // A log reads its files inline: not on a thread that serves others.
    let read = move || runtime.block_on(read(&cx, &shelves, limit));
    Ok(spawn_blocking(TaskKind("dead-letters"), read).join().await??)
}

fn dead_letter_partitions(flow: &Flow, topic: Option<&str>) -> Vec<TopicPartition> {
    let mut names: Vec<&str> =
        flow.pipelines.iter().map(|pipeline| pipeline.dead_letters.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let wanted = names.into_iter().filter(|name| topic.is_none_or(|topic| topic == *name));
    wanted.filter_map(|name| crate::survey::partitions(flow, name).ok()).flatten().collect()
}

/// Returns where the spool keeps what Kafka refused: as many partitions as are collected.
fn spool_partitions(flow: &Flow, topic: Option<&str>) -> Vec<TopicPartition> {
    let collected = topic_name(&flow.collected).ok();
    let Some(name) = collected.and_then(|name| role::spool::dead_letters(&name).ok()) else {
        return Vec::new();
    };
    if topic.is_some_and(|topic| topic != name.as_str()) {
        return Vec::new();
    }
    let count = flow.topic(&flow.collected).map_or(0, |topic| topic.partitions);
    (0..count).map(|number| TopicPartition::new(name.clone(), number)).collect()
}

async fn read(cx: &Context, shelves: &[Shelf], limit: usize) -> Result<DeadLetters, ReaderError> {
    let mut all = Newest::new(limit);
    let mut total = 0;
    for Shelf { log, place, partitions } in shelves {
        for partition in partitions {
            let bounds = match log.bounds(cx, partition).await {
                // A journal from before Kafka was the log: its collector never was a spool.
                Err(ReaderError::UnknownPartition(_)) if *place == "spool" => continue,
                bounds => bounds?,
            };
            total += bounds.end.offset.0 - bounds.start.offset.0;
            let mut newest = read_partition(cx, &**log, (partition, bounds), limit).await?;
            let place = |letter: &mut DeadLetterRow| letter.place = (*place).to_owned();
            newest.letters.iter_mut().for_each(place);
            all.merge(newest);
        }
    }
    Ok(DeadLetters { total, cut: all.is_cut, letters: all.letters.into() })
}

/// Reads the newest letters of one partition.
async fn read_partition(
    cx: &Context,
    log: &dyn Log,
    (partition, bounds): (&TopicPartition, Bounds),
    limit: usize,
) -> Result<Newest, ReaderError> {
    let mut newest = Newest::new(limit);
    let end = bounds.end.offset.0;
    let first = bounds.start.offset.0.max(end.saturating_sub(limit as u64));
    let limits = FetchLimits { bytes_max: FETCH_BYTES_MAX, wait_max: Duration::ZERO };
    let mut reader = reader_at(cx, log, (partition, bounds), Offset(first)).await?;
    let mut next = first;
    while next < end {
        let fetched = reader.fetch(cx, limits).await?;
        for batch in &fetched.batches {
            let wanted = batch.iter().filter(|(offset, _)| (first..end).contains(&offset.0));
            wanted.for_each(|(offset, record)| newest.push(row(partition, offset, record)));
        }
        if fetched.next.offset.0 <= next {
            break;
        }
        next = fetched.next.offset.0;
    }
    Ok(newest)
}

impl Newest {
    fn new(limit: usize) -> Self {
        Self { letters: VecDeque::new(), bytes: 0, limit, is_cut: false }
    }

    /// Adds a letter that is newer than all others, and lets the oldest go.
    fn push(&mut self, letter: DeadLetterRow) {
        self.bytes += letter.value.len();
        self.letters.push_back(letter);
        while self.letters.len() > self.limit {
            self.drop_oldest();
        }
        while self.bytes > ANSWER_BYTES_MAX && self.letters.len() > 1 {
            self.is_cut = true;
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let letter = self.letters.pop_front();
        self.bytes -= letter.map_or(0, |letter| letter.value.len());
    }

    /// Adds the newest letters of another partition.
    fn merge(&mut self, other: Self) {
        let mut letters: Vec<_> = self.letters.drain(..).chain(other.letters).collect();
        letters.sort_by_cached_key(|letter| {
            (letter.accepted_ms, letter.topic.clone(), letter.partition, letter.offset)
        });
        self.bytes = 0;
        self.is_cut |= other.is_cut;
        letters.into_iter().for_each(|letter| self.push(letter));
    }
}

fn row(partition: &TopicPartition, offset: Offset, record: Record<'_>) -> DeadLetterRow {
    let value = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
    let base = DeadLetterRow {
        place: String::new(),
        topic: partition.topic.to_string(),
        partition: partition.partition.0,
        offset: offset.0,
        accepted_ms: record.timestamp.as_millis(),
        origin: String::new(),
        pipeline: String::new(),
        step: String::new(),
        field: None,
        reason: String::new(),
        value,
    };
    match DeadLetter::parse(record.headers) {
        Ok(letter) => DeadLetterRow {
            origin: letter.origin.to_string(),
            pipeline: letter.pipeline,
            step: letter.step,
            field: letter.field,
            reason: letter.reason,
            ..base
        },
        Err(error) => DeadLetterRow { reason: format!("unreadable headers: {error}"), ..base },
    }
}

#[cfg(test)]
mod tests;
