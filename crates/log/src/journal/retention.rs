//! Retention: whole segments, oldest first, never past what a registered task has not read.
//!
//! ```text
//!  judge the oldest ─▶ copy what lives longer to the archive ─▶ trim frame ─▶ remove the files
//!     │ somebody needs it       (synced before the next step)      (durable before the next step)
//!     ▼
//!   stop: segments go in order, so that what is readable has no holes
//! ```
//!
//! A crash between the steps leaves a copy too many or a file whose records all lie before the
//! first readable offset; the next round meets both and goes on.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use millstream_model::{Offset, Timestamp};
use tracing::{info, warn};

use super::admission::Room;
use super::archive::archive_segment;
use super::change::{Change, Place};
use super::codec::PartitionKey;
use super::config::Config;
use super::error::{FileError, at_path};
use super::removal::{remove_if_there, remove_or_warn};
use super::segment::{Home, Segment};
use super::state::State;
use super::task_table::Task;
use super::topic_table::TopicEntry;
use super::writer::JournalThread;
use crate::topic::TopicKind;

/// The most segments that one round deletes: bounds how long a group waits.
const SEGMENTS_PER_ROUND: usize = 16;

/// The share of `bytes_max`, in percent, above which what everybody has read goes at once, dead
/// letters excepted.
const PRESSURE_PERCENT: u64 = 80;

/// What is to be done with a segment.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    /// It goes: these partitions are copied, those begin later.
    Delete {
        archive: Vec<PartitionKey>,
        trims: Vec<Place>,
    },
}

/// What retention looks at.
#[derive(Debug)]
struct Judge<'a> {
    state: &'a State,
    config: &'a Config,
    now: Timestamp,
    /// Whether room is short.
    is_pressed: bool,
}

impl JournalThread {
    /// Does one round; stops at the first thing that cannot be done.
    pub(super) fn retain(&mut self, room: Room) {
        self.release_orphans();
        if let Err(error) = self.retain_segments(room) {
            warn!(%error, "retention stops until the next round");
        }
    }

    fn retain_segments(&mut self, room: Room) -> Result<(), FileError> {
        let shared = Arc::clone(&self.shared);
        let active = self.active_number();
        let mut trims: BTreeMap<PartitionKey, Place> = BTreeMap::new();
        let mut deleted: Vec<(Arc<Segment>, Option<Arc<Segment>>)> = Vec::new();
        let mut homes = [Home::Journal, Home::Archive].into_iter().flat_map(|home| {
            shared.segments.all().into_iter().filter(move |segment| segment.home == home)
        });
        let mut stopped = None;
        while deleted.len() < SEGMENTS_PER_ROUND
            && let Some(segment) = homes.next()
        {
            if stopped == Some(segment.home) || segment.number >= active {
                continue;
            }
            shared.segments.load(&segment)?;
            let verdict = {
                let state = shared.state();
                let now = shared.clock.now();
                let is_pressed = is_pressed(&shared.config, room);
                Judge { state: &state, config: &shared.config, now, is_pressed }.judge(&segment)
            };
            match verdict {
                Verdict::Keep => stopped = Some(segment.home),
                Verdict::Delete { archive, trims: places } => {
                    let copy = match archive.as_slice() {
                        [] => None,
                        keys => Some(archive_segment(&shared, &segment, keys)?),
                    };
                    places.into_iter().for_each(|place| keep_later(&mut trims, place));
                    deleted.push((segment, copy));
                }
            }
        }
        drop(homes);
        self.delete(trims.into_values().collect(), &deleted)
    }

    /// Moves the starts, durably, and then removes the files.
    fn delete(
        &mut self,
        trims: Vec<Place>,
        deleted: &[(Arc<Segment>, Option<Arc<Segment>>)],
    ) -> Result<(), FileError> {
        let shared = Arc::clone(&self.shared);
        if !trims.is_empty() {
            let keys: Vec<PartitionKey> = trims.iter().map(|place| place.key).collect();
            let failed = |error| FileError::Storage {
                path: shared.dir.clone(),
                source: io::Error::from(error),
            };
            self.commit_change(Change::Trim(trims)).map_err(failed)?;
            shared.publish(keys.into_iter());
        }
        for (segment, copy) in deleted {
            // Readers that found it before go on in the open file.
            segment.file()?;
            remove_if_there(&*shared.disk, &segment.path).map_err(at_path(&segment.path))?;
            match copy {
                Some(copy) => shared.segments.insert(Arc::clone(copy)),
                None => shared.segments.remove(segment.number),
            }
            // One after the other: should a crash bring a name back, its successor, which names
            // its end, is there as well.
            let dir = segment.path.parent().unwrap_or(&shared.dir);
            shared.disk.sync_dir(dir).map_err(at_path(dir))?;
            remove_or_warn(&*shared.disk, &segment.index_path());
            info!(segment = segment.number, archived = copy.is_some(), "segment is deleted");
        }
        Ok(())
    }

    /// Lets go of tasks that nobody asked for in all of a long run: their configuration is gone.
    /// How long they were quiet before the run says nothing, they may be opened in a moment.
    fn release_orphans(&mut self) {
        let now = self.shared.clock.now();
        let hold = self.shared.config.orphan_hold;
        let run = &self.run;
        let orphans: Vec<(u64, String)> = {
            let state = self.shared.state();
            let is_orphan = |task: &&Task| {
                let quiet = now.saturating_since(task.active.max(run.start));
                !run.wanted.contains(&task.number) && quiet >= hold
            };
            let tasks = state.tasks.iter().filter(|task| task.is_releasable()).filter(is_orphan);
            tasks.map(|task| (task.number, task.name.to_string())).collect()
        };
        for (number, task) in orphans {
            match self.commit_change(Change::Release(number)) {
                Ok(()) => info!(task, "task was not opened for long, it holds records no more"),
                Err(_met_again) => return,
            }
        }
    }

    /// Seals the active segment when room is short and everybody has read all of it: only sealed
    /// segments can be deleted.
    pub(super) fn roll_if_consumed(&mut self, room: Room) {
        let super::writer::Place::Writing(active) = &self.place else { return };
        if !active.has_records || !is_pressed(&self.shared.config, room) {
            return;
        }
        let is_consumed = {
            let state = self.shared.state();
            let ranges = active.segment.ranges();
            ranges.iter().all(|(key, _, end)| is_consumed_by_all(&state, *key, *end))
        };
        if is_consumed && self.roll().is_err() {
            warn!("journal cannot begin a segment to make room");
        }
    }
}

/// Notes where a partition is to begin. The archive is looked at last and holds what comes first:
/// its places must not replace the journal's.
fn keep_later(trims: &mut BTreeMap<PartitionKey, Place>, place: Place) {
    let kept = trims.entry(place.key).or_insert(place);
    if kept.offset < place.offset {
        *kept = place;
    }
}

fn is_pressed(config: &Config, room: Room) -> bool {
    let above = room.bytes_used > config.bytes_max.bytes() / 100 * PRESSURE_PERCENT;
    above || room.disk_free < config.disk_free_min.bytes().saturating_mul(2)
}

/// Tells whether every registered task that reads a partition has read it up to `end` (P4).
fn is_consumed_by_all(state: &State, key: PartitionKey, end: Offset) -> bool {
    let mut readers = state.tasks.iter().filter(|task| task.inputs.contains(&key));
    readers.all(|task| task.consumed.get(&key).is_some_and(|(_, offset)| *offset >= end))
}

impl Judge<'_> {
    fn judge(&self, segment: &Segment) -> Verdict {
        let summary = segment.summary();
        let age = self.now.saturating_since(summary.time_last);
        let ranges = segment.ranges();
        let lives = |key: &PartitionKey, end: &Offset| {
            self.state.topics.span(*key).is_some_and(|span| span.start < *end)
        };
        let is_dead = !ranges.iter().any(|(key, _, end)| lives(key, end));
        let is_due = is_dead
            || self.is_pressed
            || age >= self.config.retention
            || segment.home == Home::Archive;
        if !is_due {
            return Verdict::Keep;
        }
        let (mut archive, mut trims) = (Vec::new(), Vec::new());
        for (key, _, end) in ranges.into_iter().filter(|(key, _, end)| lives(key, end)) {
            let Some(entry) = self.state.topics.numbered(key.topic) else { continue };
            let keep = self.keep_for(entry);
            // Nobody can make dead letters again: short room does not shorten their time.
            let is_dead_letters = entry.topic.config.kind == TopicKind::DeadLetters;
            let outlives = is_dead_letters || keep > self.config.retention;
            let is_read = is_consumed_by_all(self.state, key, end);
            let has_aged = age >= keep || (self.is_pressed && !outlives);
            if is_read && has_aged {
                trims.push(Place { key, incarnation: summary.incarnation, offset: end });
            } else if outlives && segment.home == Home::Journal {
                archive.push(key);
            } else {
                return Verdict::Keep;
            }
        }
        Verdict::Delete { archive, trims }
    }

    /// Returns how long records of a topic are kept at least.
    fn keep_for(&self, entry: &TopicEntry) -> Duration {
        let config = &entry.topic.config;
        match (config.retention, config.kind) {
            (Some(retention), _) => retention,
            (None, TopicKind::Events) => self.config.retention,
            (None, TopicKind::DeadLetters) => self.config.dead_letters_retention,
            // A changelog goes when its owner trims it, behind a snapshot; never by age.
            (None, TopicKind::Changelog) => Duration::MAX,
        }
    }
}
