//! Turns a group of requests into frames: checks each, gives out offsets, merges small batches.
//!
//! The appends of a group share one frame: they become durable together anyway, a frame costs
//! about a hundred bytes, and readers get one long run of records instead of many short ones.
//! Each transaction has a frame of its own; an append behind it to one of its partitions begins
//! the next frame of appends, because frames hold a partition's records in order of their
//! offsets (L2). Nothing here changes the state: should the group not become durable, it never
//! happened.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use millstream_model::{Offset, OffsetRange};

use super::admission::{Class, Room, class_of};
use super::change::{Change, Commit, Section};
use super::checksum;
use super::codec::PartitionKey;
use super::config::Config;
use super::request::{Admitted, AppendRequest, Piece, TransactRequest, Work};
use super::state::State;
use crate::check;
use crate::error::{EnqueueError, TransactError};
use crate::transaction::{Appended, Landed};

/// A section takes no more small batches beyond this size.
const SECTION_BYTES_MAX: u64 = 1 << 20;

/// What becomes of one request if its group becomes durable.
#[derive(Debug)]
pub(super) enum Outcome {
    Appended(Vec<Appended>),
    AppendRefused(EnqueueError),
    Committed,
    TransactRefused(TransactError),
}

/// One frame to be written: what changes, and the bytes of its records.
#[derive(Debug)]
pub(super) struct StagedFrame {
    pub change: Change,
    pub pieces: Vec<Bytes>,
}

/// A group, ready to be written.
#[derive(Debug, Default)]
pub(super) struct Staged {
    pub frames: Vec<StagedFrame>,
    /// One for each request.
    pub outcomes: Vec<Outcome>,
}

/// Checks requests against a state and turns them into frames.
#[derive(Debug)]
pub(super) struct Stager<'a> {
    state: &'a State,
    config: &'a Config,
    room: Room,
    /// Where partitions end once the group is durable.
    ends: HashMap<PartitionKey, Offset>,
    appends: Option<AppendFrame>,
    staged: Staged,
}

/// The frame that takes appends; it is filled when it is closed.
#[derive(Debug)]
struct AppendFrame {
    /// Its place among the frames of the group.
    at: usize,
    runs: Runs,
    /// Where frames behind it have records: what follows there must not stand before them.
    overtaken: BTreeSet<PartitionKey>,
}

impl<'a> Stager<'a> {
    pub(super) fn new(state: &'a State, config: &'a Config, room: Room) -> Self {
        Self { state, config, room, ends: HashMap::new(), appends: None, staged: Staged::default() }
    }

    /// Stages every request in order.
    pub(super) fn stage(mut self, group: &[Admitted]) -> Staged {
        for admitted in group {
            let outcome = self.stage_work(&admitted.work);
            self.staged.outcomes.push(outcome);
        }
        self.close_append_frame();
        self.staged
    }

    fn stage_work(&mut self, work: &Work) -> Outcome {
        let class = class_of(work, self.state);
        let is_taken = self.room.level(self.config).takes(class);
        let outcome = match work {
            Work::Append(_) if !is_taken => {
                let retry_after = self.config.full_retry_after;
                return Outcome::AppendRefused(EnqueueError::Full { retry_after });
            }
            Work::Transact(_) if !is_taken => {
                return Outcome::TransactRefused(TransactError::Full);
            }
            Work::Append(request) => self.stage_append(request),
            Work::Transact(request) => self.stage_transact(request),
        };
        if class != Class::Positions {
            let bytes: usize = work.pieces().iter().map(|piece| piece.bytes.len()).sum();
            self.room.bytes_used += bytes as u64;
        }
        outcome
    }

    fn stage_append(&mut self, request: &AppendRequest) -> Outcome {
        let is_overtaken = |frame: &AppendFrame| {
            request.pieces.iter().any(|piece| frame.overtaken.contains(&piece.key))
        };
        if self.appends.as_ref().is_some_and(is_overtaken) {
            self.close_append_frame();
        }
        let mut appended = Vec::with_capacity(request.pieces.len());
        for piece in &request.pieces {
            let start = self.give_offsets(piece);
            let offsets = OffsetRange::new(start, start.plus(u64::from(piece.count)));
            let landed = Landed::At(offsets);
            appended.push(Appended { partition: piece.partition.clone(), landed });
            if piece.count > 0 {
                self.append_frame().runs.push(piece, start);
            }
        }
        Outcome::Appended(appended)
    }

    /// Returns the frame that takes appends, a new one if none is open.
    fn append_frame(&mut self) -> &mut AppendFrame {
        let frames = &mut self.staged.frames;
        self.appends.get_or_insert_with(|| {
            let at = frames.len();
            frames.push(StagedFrame { change: Change::Close, pieces: Vec::new() });
            AppendFrame { at, runs: Runs::default(), overtaken: BTreeSet::new() }
        })
    }

    /// Fills the place of the frame that takes appends, if one is open.
    fn close_append_frame(&mut self) {
        let Some(frame) = self.appends.take() else { return };
        let (sections, pieces) = frame.runs.into_sections();
        let change = Change::Commit(Commit { sections, ..Commit::default() });
        self.staged.frames[frame.at] = StagedFrame { change, pieces };
    }

    fn stage_transact(&mut self, request: &TransactRequest) -> Outcome {
        if let Err(refusal) = self.check_transact(request) {
            return Outcome::TransactRefused(refusal);
        }
        let mut runs = Runs::default();
        for piece in &request.pieces {
            let start = self.give_offsets(piece);
            runs.push(piece, start);
        }
        if let Some(frame) = &mut self.appends {
            frame.overtaken.extend(runs.0.keys());
        }
        let (sections, pieces) = runs.into_sections();
        let commit = Commit {
            producer: Some(request.producer),
            sections,
            consumed: request.consumed.clone(),
            positions: request.positions.clone(),
        };
        self.staged.frames.push(StagedFrame { change: Change::Commit(commit), pieces });
        Outcome::Committed
    }

    fn check_transact(&self, request: &TransactRequest) -> Result<(), TransactError> {
        let Ok(task) = self.state.tasks.check(request.producer) else {
            return Err(TransactError::Fenced { task: request.task.clone() });
        };
        for place in &request.consumed {
            let refused = |reason| {
                let name = self.state.topics.name(place.key);
                let name = name.map_or_else(|| "input".to_owned(), |name| name.to_string());
                TransactError::Position { name, reason }
            };
            check::consumed(task.standing(place.key), place.offset).map_err(refused)?;
        }
        Ok(())
    }

    fn give_offsets(&mut self, piece: &Piece) -> Offset {
        let committed = || self.state.topics.span(piece.key).map_or(Offset::ZERO, |span| span.end);
        let end = self.ends.entry(piece.key).or_insert_with(committed);
        let start = *end;
        *end = start.plus(u64::from(piece.count));
        start
    }
}

/// The records of one frame, by partition.
#[derive(Debug, Default)]
struct Runs(BTreeMap<PartitionKey, Run>);

#[derive(Debug)]
struct Run {
    start: Offset,
    end: Offset,
    pieces: Vec<Piece>,
}

impl Runs {
    fn push(&mut self, piece: &Piece, start: Offset) {
        if piece.count > 0 {
            let new = || Run { start, end: start, pieces: Vec::new() };
            let run = self.0.entry(piece.key).or_insert_with(new);
            // Written with a gap, it would be read under other offsets than were told.
            assert!(run.end == start, "L2: a run ends at {}, not at {start}", run.end);
            run.end = start.plus(u64::from(piece.count));
            run.pieces.push(piece.clone());
        }
    }

    /// Merges the pieces of each partition into sections.
    fn into_sections(self) -> (Vec<Section>, Vec<Bytes>) {
        let mut sections: Vec<Section> = Vec::with_capacity(self.0.len());
        let mut pieces = Vec::new();
        for (key, run) in self.0 {
            let mut base = run.start;
            for piece in run.pieces {
                let bytes = fit(piece.bytes.len());
                match sections.last_mut() {
                    Some(last) if last.key == key && takes(last, &piece) => merge(last, &piece),
                    _ => {
                        let crc = piece.crc.unwrap_or_else(|| crc32c::crc32c(&piece.bytes));
                        sections.push(Section { key, base, count: piece.count, bytes, crc });
                    }
                }
                base = base.plus(u64::from(piece.count));
                pieces.push(piece.bytes);
            }
        }
        (sections, pieces)
    }
}

fn takes(section: &Section, piece: &Piece) -> bool {
    u64::from(section.bytes) + piece.bytes.len() as u64 <= SECTION_BYTES_MAX
}

fn merge(section: &mut Section, piece: &Piece) {
    section.crc = match piece.crc {
        Some(crc) => checksum::combine(section.crc, crc, piece.bytes.len()),
        None => crc32c::crc32c_append(section.crc, &piece.bytes),
    };
    section.bytes += fit(piece.bytes.len());
    section.count += piece.count;
}

fn fit(len: usize) -> u32 {
    u32::try_from(len).expect("batches are bounded by segment_bytes_max, at most 1 GiB")
}

#[cfg(test)]
mod tests;
