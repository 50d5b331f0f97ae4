//! Reads the partitions of a topic side by side, the oldest record first.
//!
//! Of what every partition has ready the record that was accepted first goes out. Before any
//! partition is waited for, everything that is ready has gone out: order never delays a record.

use std::collections::VecDeque;
use std::time::Duration;

use futures::future::select_all;
use millstream_log::{
    FetchLimits, Fetched, Log, LogReader, OffsetBatch, PositionRefused, ReaderError,
};
use millstream_model::{Offset, Timestamp, TopicPartition};
use millstream_runtime::{Clock, Context};
use thiserror::Error;

use super::Chunks;
use super::line::{Deleted, Line, Looked, Place, Row};
use super::request::{Request, Until};
use crate::reading::{each, reader_near};

/// The most bytes of records that a tap holds, all partitions together. Beside it each reader of Kafka
/// has what it fetched ahead, which is little ([`Log::looking_reader`]), or one batch.
const HELD_BYTES_MAX: usize = 8 << 20;

/// The least that one fetch of a partition may bring.
const FETCH_BYTES_MIN: usize = 16 << 10;

/// How long a tap waits at once: only how often it wakes up.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// How long a tap looks before it says that it does, as long as it has not been at the end.
const LOOK_TIME: Duration = Duration::from_secs(10);

/// Why a tap ended before it was done.
#[derive(Debug, Error)]
pub(crate) enum Stopped {
    /// Whoever asked is gone, or takes nothing any more.
    #[error("nobody listens")]
    NobodyListens,
    /// The log cannot be read.
    #[error("read the log")]
    Log(#[from] ReaderError),
}

/// The partitions of a tap.
#[derive(Debug)]
pub(super) struct Merge<'l> {
    log: &'l dyn Log,
    sources: Vec<Source>,
    since: Option<Timestamp>,
    left: u64,
    fetch_bytes_max: usize,
    progress: Progress,
}

/// What was said of how far the tap has come.
#[derive(Debug)]
struct Progress {
    clock: Clock,
    looked: u64,
    said_at: Timestamp,
    was_at_end: bool,
}

/// One partition.
#[derive(Debug)]
struct Source {
    partition: TopicPartition,
    reader: Box<dyn LogReader>,
    /// The next offset that the reader brings.
    next: Offset,
    /// Where the partition ended when the tap began.
    known_end: Offset,
    /// Where to end; `None`: nowhere.
    end: Option<Offset>,
    held: VecDeque<OffsetBatch>,
}

impl<'l> Merge<'l> {
    /// Finds where to begin in each partition.
    pub(super) async fn open(
        cx: &Context,
        log: &'l dyn Log,
        request: &Request,
        clock: &Clock,
    ) -> Result<Self, Stopped> {
        let now = clock.now();
        let open = async |partition: TopicPartition| {
            let known_end = log.bounds(cx, &partition).await?.end.offset;
            let end = match request.until {
                Until::Forever => None,
                Until::End => Some(known_end),
            };
            let from = request.from.locate(cx, log, &partition, now).await?;
            let (next, reader) = reader_near(cx, log, &partition, from).await?;
            let held = VecDeque::new();
            Ok::<_, ReaderError>(Source { partition, reader, next, known_end, end, held })
        };
        let sources = each(request.partitions.iter().cloned(), open).await?;
        let fetch_bytes_max = (HELD_BYTES_MAX / sources.len().max(1)).max(FETCH_BYTES_MIN);
        let since = request.from.since(now);
        let (clock, left) = (clock.clone(), request.limit);
        let progress = Progress { clock, looked: 0, said_at: now, was_at_end: false };
        Ok(Self { log, sources, since, left, fetch_bytes_max, progress })
    }

    /// Writes lines until the end, the limit, or until nobody takes them.
    pub(super) async fn run(
        mut self,
        cx: &Context,
        request: &Request,
        out: &mut Chunks,
    ) -> Result<(), Stopped> {
        while self.left > 0 {
            self.refill(cx, out).await?;
            if self.sources.iter().all(|source| source.held.is_empty()) {
                self.say_at_end(request, out);
                out.flush().await?;
                if self.sources.iter().all(Source::is_done) {
                    return Ok(());
                }
                self.wait(cx).await?;
                continue;
            }
            self.show(request, out).await?;
            self.say_under_way(request, out);
            // A filter may let nothing through for long: this is where it is seen who has gone.
            out.flush().await?;
        }
        out.flush().await
    }

    /// Says once how much was looked at where the topic ended when the tap began, if what was shown
    /// does not tell.
    fn say_at_end(&mut self, request: &Request, out: &mut Chunks) {
        let is_there = self.sources.iter().all(|source| source.next >= source.known_end);
        if !is_there || std::mem::replace(&mut self.progress.was_at_end, true) {
            return;
        }
        let is_empty = request.until == Until::End && self.left == request.limit;
        if request.filter.is_some() || is_empty {
            let place = match request.until {
                Until::End => Place::End,
                Until::Forever => Place::Following,
            };
            self.say(place, request, out);
        }
    }

    /// Says how much was looked at when the end is still far.
    fn say_under_way(&mut self, request: &Request, out: &mut Chunks) {
        let now = self.progress.clock.now();
        let is_due = now.saturating_since(self.progress.said_at) >= LOOK_TIME;
        if is_due && request.filter.is_some() && !self.progress.was_at_end {
            self.progress.said_at = now;
            self.say(Place::UnderWay, request, out);
        }
    }

    fn say(&self, place: Place, request: &Request, out: &mut Chunks) {
        let (records, shown) = (self.progress.looked, request.limit - self.left);
        out.push(&Line::Looked(Looked { records, shown, place }));
    }

    /// Fetches what is there of each partition of which nothing is held.
    async fn refill(&mut self, cx: &Context, out: &mut Chunks) -> Result<(), Stopped> {
        let limits = FetchLimits { bytes_max: self.fetch_bytes_max, wait_max: Duration::ZERO };
        for source in &mut self.sources {
            if !source.held.is_empty() || source.is_done() {
                continue;
            }
            match source.reader.fetch(cx, limits).await {
                Ok(fetched) => source.take(fetched),
                Err(ReaderError::Position(PositionRefused::BeforeStart { start, .. })) => {
                    let (next, reader) =
                        reader_near(cx, self.log, &source.partition, start).await?;
                    out.push(&Line::Deleted(source.deleted(next)));
                    (source.next, source.reader) = (next, reader);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits until a partition has something, or for a while. What goes wrong comes again with the
    /// next fetch.
    async fn wait(&mut self, cx: &Context) -> Result<(), Stopped> {
        cx.check().map_err(ReaderError::from)?;
        let limits = FetchLimits { bytes_max: self.fetch_bytes_max, wait_max: WAIT_MAX };
        let waiting = self.sources.iter_mut().filter(|source| !source.is_done());
        let fetches = waiting.map(|source| {
            Box::pin(async move {
                let fetched = source.reader.fetch(cx, limits).await;
                (source, fetched)
            })
        });
        // The others are dropped when the first ends: they moved nothing.
        let ((source, fetched), ..) = select_all(fetches).await;
        match fetched {
            Ok(fetched) => source.take(fetched),
            Err(ReaderError::Position(PositionRefused::BeforeStart { .. })) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Shows what is held, the oldest first, until a partition must be fetched again.
    async fn show(&mut self, request: &Request, out: &mut Chunks) -> Result<(), Stopped> {
        while self.left > 0 {
            let oldest =
                self.sources.iter_mut().filter_map(|source| Some((source.accepted()?, source)));
            let Some((accepted, source)) = oldest.min_by_key(|(accepted, _)| *accepted) else {
                return Ok(());
            };
            let is_wanted = self.since.is_none_or(|since| accepted >= since);
            self.progress.looked += u64::from(is_wanted);
            if let Some(row) = source.pop(|record| {
                is_wanted && request.filter.as_ref().is_none_or(|filter| filter.matches(record))
            }) {
                out.push(&Line::Record(Box::new(row)));
                self.left -= 1;
            }
            if out.is_full() {
                out.flush().await?;
            }
            if source.held.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Source {
    fn is_done(&self) -> bool {
        self.end.is_some_and(|end| self.next >= end)
    }

    /// Holds what was fetched, up to where to end.
    fn take(&mut self, fetched: Fetched) {
        for batch in fetched.batches {
            let first = batch.first;
            let wanted = self.end.map_or(u64::MAX, |end| end.0.saturating_sub(first.0));
            let records = batch.records.take(u32::try_from(wanted).unwrap_or(u32::MAX));
            if !records.is_empty() {
                self.held.push_back(OffsetBatch { first, records });
            }
        }
        self.next = fetched.next.offset;
    }

    /// Returns when the next record was accepted.
    fn accepted(&self) -> Option<Timestamp> {
        let record = self.held.front()?.records.iter().next()?;
        Some(record.timestamp)
    }

    /// Takes the next record off, and shows it if it is wanted.
    fn pop(&mut self, is_wanted: impl FnOnce(millstream_model::Record<'_>) -> bool) -> Option<Row> {
        let batch = self.held.pop_front()?;
        let (offset, record) = batch.iter().next()?;
        let row = is_wanted(record).then(|| Row::new(&self.partition, offset, record));
        if batch.records.len() > 1 {
            let rest = batch.records.skip(1);
            self.held.push_front(OffsetBatch { first: offset.plus(1), records: rest });
        }
        row
    }

    fn deleted(&self, end: Offset) -> Deleted {
        Deleted {
            topic: self.partition.topic.to_string(),
            partition: self.partition.partition.0,
            start: self.next.0,
            end: end.0,
        }
    }
}
