//! Reads one partition in order.
//!
//! A reader looks up where the records stand, reads a stretch of the file at once, checks each
//! section's CRC and cuts batches out of what it read without copying. Reading is done inline:
//! records that are being processed are in the page cache, and a task has its thread to itself
//! while it fetches. Waiting for new records is asynchronous.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use millstream_model::{Incarnation, LogPosition, Offset, RecordBatch, TopicId, TopicPartition};
use millstream_runtime::Context;
use tokio::sync::watch;
use tokio::time::Instant;

use super::codec::PartitionKey;
use super::error::{FileError, at_path};
use super::index::Entry;
use super::segment::Segment;
use super::shared::Shared;
use super::topic_table::Span;
use crate::contract::{FetchLimits, Fetched, LogReader};
use crate::error::{FetchError, PositionRefused, ReaderError};
use crate::transaction::OffsetBatch;

/// The most bytes read from a file at once, unless a single section is larger.
const READ_BYTES_MAX: u64 = 4 << 20;

/// Sections of other partitions up to this size are read over instead of read around.
const GAP_BYTES_MAX: u64 = 16 << 10;

/// Reads one partition in order.
#[derive(Debug)]
pub(super) struct JournalReader {
    shared: Arc<Shared>,
    partition: TopicPartition,
    key: PartitionKey,
    topic: TopicId,
    view: watch::Receiver<Span>,
    closed: watch::Receiver<bool>,
    next: Offset,
    /// The incarnation of the record before `next`.
    incarnation: Incarnation,
    place: Option<Place>,
    /// Records from `next` on that were read and checked, but did not fit into a fetch.
    held: Option<OffsetBatch>,
}

/// Where in the files a reader stands.
#[derive(Debug)]
struct Place {
    segment: Arc<Segment>,
    incarnation: Incarnation,
    /// Entries from the reader's place on, in reverse: the next is the last.
    entries: Vec<Entry>,
}

impl JournalReader {
    /// Starts at a position that was checked; `None` when the partition does not exist.
    pub(super) fn new(
        shared: Arc<Shared>,
        partition: TopicPartition,
        key: PartitionKey,
        from: LogPosition,
    ) -> Option<Self> {
        let view = shared.watch(key)?;
        let closed = shared.watch_closed();
        Some(Self {
            shared,
            partition,
            key,
            topic: from.topic,
            view,
            closed,
            next: from.offset,
            incarnation: from.incarnation,
            place: None,
            held: None,
        })
    }

    /// Waits until there is something to read; `None` when the time is over. Cancel-safe.
    async fn wait(&mut self, cx: &Context, until: Instant) -> Result<Option<Span>, FetchError> {
        loop {
            let span = *self.view.borrow_and_update();
            if *self.closed.borrow_and_update() {
                return Err(ReaderError::Closed);
            }
            if span.end > self.next {
                return Ok(Some(span));
            }
            let changed = async {
                tokio::select! {
                    result = self.view.changed() => result,
                    result = self.closed.changed() => result,
                }
            };
            match cx.run(tokio::time::timeout_at(until, changed)).await? {
                Ok(Ok(())) => {}
                Ok(Err(_sender_gone)) => return Err(ReaderError::Closed),
                Err(_time_over) => return Ok(None),
            }
        }
    }

    /// Reads from `next` up to `end`, about `bytes_max` bytes.
    fn read(&mut self, end: Offset, bytes_max: usize) -> Result<Vec<OffsetBatch>, FileError> {
        let mut batches = Vec::new();
        let mut room = bytes_max;
        while self.next < end {
            let batch = match self.next_batch(end, room) {
                Ok(Some(batch)) => batch,
                Ok(None) => break,
                // What was read before it is good; the error comes again with the next fetch.
                Err(_met_again) if !batches.is_empty() => {
                    self.place = None;
                    break;
                }
                Err(error) => return Err(error),
            };
            let (taken, rest) = split(batch, room, batches.is_empty());
            self.held = rest;
            let Some(taken) = taken else { break };
            room = room.saturating_sub(taken.records.as_bytes().len());
            self.next = taken.end();
            // A held batch keeps the place, so the incarnation below is that of its segment.
            if let Some(place) = &self.place {
                self.incarnation = place.incarnation;
            }
            batches.push(taken);
            if self.held.is_some() || room == 0 {
                break;
            }
        }
        Ok(batches)
    }

    /// Returns the batch at `next`: what is held, or the next section of the file.
    fn next_batch(&mut self, end: Offset, room: usize) -> Result<Option<OffsetBatch>, FileError> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        self.find_place()?;
        let Some(place) = &mut self.place else { return Ok(None) };
        let run = take_run(&mut place.entries, end, room as u64);
        let Some(first) = run.first().copied() else { return Ok(None) };
        let batch = read_run(&place.segment, &run)?;
        Ok(Some(skip_to(OffsetBatch { first: first.base, records: batch }, self.next)))
    }

    /// Makes sure that the place has entries from `next` on.
    fn find_place(&mut self) -> Result<(), FileError> {
        if self.place.as_ref().is_some_and(|place| !place.entries.is_empty()) {
            return Ok(());
        }
        let current = self.place.as_ref().map(|place| Arc::clone(&place.segment));
        let segment = match current {
            Some(segment) if holds(&segment, self.key, self.next) => Some(segment),
            Some(segment) => self.shared.segments.find_after(segment.number, self.key)?,
            None => self.shared.segments.find(self.key, self.next)?,
        };
        let Some(segment) = segment else { return Err(self.missing()) };
        let mut entries = segment.entries_from(self.key, self.next)?;
        if entries.first().is_none_or(|entry| entry.base > self.next) {
            return Err(self.missing());
        }
        entries.reverse();
        let incarnation = segment.incarnation();
        self.place = Some(Place { segment, incarnation, entries });
        Ok(())
    }

    fn missing(&self) -> FileError {
        FileError::Corrupt {
            path: self.shared.dir.clone(),
            at: self.next.0,
            reason: "no segment holds the record at this offset",
        }
    }

    fn fetched(&self, batches: Vec<OffsetBatch>, end: Offset) -> Fetched {
        let next = LogPosition {
            log: self.shared.log,
            topic: self.topic,
            incarnation: self.incarnation,
            offset: self.next,
        };
        Fetched { batches, next, end }
    }
}

#[async_trait]
impl LogReader for JournalReader {
    async fn fetch(&mut self, cx: &Context, limits: FetchLimits) -> Result<Fetched, FetchError> {
        cx.check()?;
        let until = Instant::now() + limits.wait_max;
        let Some(span) = self.wait(cx, until).await? else {
            let end = self.next;
            return Ok(self.fetched(Vec::new(), end));
        };
        if self.next < span.start {
            let (partition, offset) = (self.partition.clone(), self.next);
            return Err(
                PositionRefused::BeforeStart { partition, offset, start: span.start }.into()
            );
        }
        let batches = self.read(span.end, limits.bytes_max).or_else(|_looked_up_too_early| {
            // The segment may have moved to the archive since it was looked up: do that again.
            self.place = None;
            self.held = None;
            self.read(span.end, limits.bytes_max)
        })?;
        Ok(self.fetched(batches, span.end))
    }
}

fn holds(segment: &Segment, key: PartitionKey, offset: Offset) -> bool {
    segment.range(key).is_some_and(|(start, end)| start <= offset && offset < end)
}

/// Takes entries that are worth reading at once: near each other, in sum about `room` bytes.
fn take_run(entries: &mut Vec<Entry>, end: Offset, room: u64) -> Vec<Entry> {
    let mut run: Vec<Entry> = Vec::new();
    let mut bytes = 0;
    while let Some(entry) = entries.last().copied() {
        if entry.base >= end {
            break;
        }
        if let (Some(first), Some(last)) = (run.first(), run.last()) {
            let gap = entry.position.saturating_sub(last.position_end());
            let span = entry.position_end().saturating_sub(first.position);
            let joins = entry.base == last.end() && entry.position >= last.position_end();
            if !joins || gap > GAP_BYTES_MAX || span > READ_BYTES_MAX || bytes >= room {
                break;
            }
        }
        bytes += u64::from(entry.bytes);
        run.push(entry);
        entries.pop();
    }
    run
}

/// Reads a run of sections, checks each and joins them into one batch.
fn read_run(segment: &Segment, run: &[Entry]) -> Result<RecordBatch, FileError> {
    let (Some(first), Some(last)) = (run.first(), run.last()) else {
        return Ok(RecordBatch::default());
    };
    let corrupt = |at, reason| FileError::Corrupt { path: segment.path.clone(), at, reason };
    let len = usize::try_from(last.position_end() - first.position).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len];
    let file = segment.file()?;
    file.read_exact_at(&mut bytes, first.position).map_err(at_path(&segment.path))?;
    let mut kept = 0;
    let mut count: u32 = 0;
    for entry in run {
        let from = usize::try_from(entry.position - first.position).unwrap_or(usize::MAX);
        let to = from + entry.bytes as usize;
        if crc32c::crc32c(&bytes[from..to]) != entry.crc {
            return Err(corrupt(entry.position, "records do not match their checksum"));
        }
        // Sections of a run stand near each other: the gaps between are closed in place.
        if from != kept {
            bytes.copy_within(from..to, kept);
        }
        kept += entry.bytes as usize;
        count = count.saturating_add(entry.count);
    }
    bytes.truncate(kept);
    RecordBatch::decode(Bytes::from(bytes), count)
        .ok()
        .ok_or_else(|| corrupt(first.position, "records are malformed"))
}

/// Drops the records before `offset`.
fn skip_to(batch: OffsetBatch, offset: Offset) -> OffsetBatch {
    let skip = u32::try_from(offset.0.saturating_sub(batch.first.0)).unwrap_or(u32::MAX);
    if skip == 0 {
        return batch;
    }
    OffsetBatch { first: offset, records: batch.records.skip(skip) }
}

/// Splits off the records that fit into `room`; at least one if `must_take`.
fn split(
    batch: OffsetBatch,
    room: usize,
    must_take: bool,
) -> (Option<OffsetBatch>, Option<OffsetBatch>) {
    if batch.records.as_bytes().len() <= room {
        return (Some(batch), None);
    }
    let fits = records_within(&batch.records, room).max(u32::from(must_take));
    if fits == 0 {
        return (None, Some(batch));
    }
    let rest =
        OffsetBatch { first: batch.first.plus(u64::from(fits)), records: batch.records.skip(fits) };
    let taken = OffsetBatch { first: batch.first, records: batch.records.take(fits) };
    (Some(taken), (!rest.records.is_empty()).then_some(rest))
}

/// Returns how many whole records lie within the first `room` bytes.
fn records_within(records: &RecordBatch, room: usize) -> u32 {
    let mut rest = &records.as_bytes()[..];
    let (mut used, mut count) = (0, 0);
    // An encoded record begins with the length of what follows.
    while let Some((len, _)) = rest.split_first_chunk::<4>() {
        let len = 4 + u32::from_le_bytes(*len) as usize;
        used += len;
        if used > room {
            break;
        }
        count += 1;
        rest = rest.get(len..).unwrap_or_default();
    }
    count
}
