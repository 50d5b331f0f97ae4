//! Turning from one segment to the next: when it is full, and when writing to it failed.
//!
//! Either way the head of the next segment names the exact end of the one before. After a
//! failed write or sync that is the last durable end: the failed file is never synced again, and
//! the bytes behind that end never come back, whatever the disk holds of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use millstream_model::Incarnation;
use millstream_runtime::Rng;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::active::{Active, Birth, is_full};
use super::error::FileError;
use super::group::StagedFrame;
use super::removal::remove_or_warn;
use super::segment::file_name;
use super::shared::Shared;
use super::state::Link;
use super::writer::{CommitError, JournalThread, Place};
use crate::metrics;

impl JournalThread {
    /// Tries again to begin a segment after a failure.
    pub(super) fn ensure_writing(&mut self) -> Result<(), CommitError> {
        let Place::Broken { next, retry_at } = &self.place else { return Ok(()) };
        let (next, retry_at) = (*next, *retry_at);
        if Instant::now() < retry_at {
            let waiting = io::Error::other("an earlier write failed, the next attempt is due soon");
            return Err(CommitError::Storage(waiting));
        }
        self.begin_segment(next)
    }

    /// Begins the next segment when the frames would overfill the active one.
    pub(super) fn roll_if_full(
        &mut self,
        frames: &[StagedFrame],
        bytes: u64,
    ) -> Result<(), CommitError> {
        let Place::Writing(active) = &self.place else { return Ok(()) };
        let sections: usize = frames.iter().map(|frame| frame.change.sections().len()).sum();
        let config = &self.shared.config;
        let too_long = active.end + bytes > config.segment_bytes_max.bytes();
        let too_many = active.segment.memory_entries() + sections > config.segment_entries_max;
        if active.end == active.head_end || !(too_long || too_many) {
            return Ok(());
        }
        match self.roll() {
            // What was allocated ahead may still hold these frames.
            Err(CommitError::Full) => Ok(()),
            result => result,
        }
    }

    /// Seals the active segment and begins the next.
    pub(super) fn roll(&mut self) -> Result<(), CommitError> {
        let Place::Writing(active) = &self.place else { return Ok(()) };
        let next = link_after(active);
        let shared = Arc::clone(&self.shared);
        match create(&shared, next, active.incarnation) {
            Ok(created) => {
                info!(segment = next.number, "journal begins a segment");
                self.switch_to(created);
                Ok(())
            }
            Err(FileError::Storage { source, .. }) if is_full(&source) => Err(CommitError::Full),
            // The next segment may come back after a crash, and with it the end it names.
            Err(failure) => Err(self.break_off(failure.into())),
        }
    }

    /// Puts a created segment in the place of the one before, which is sealed by it.
    fn switch_to(&mut self, created: Active) {
        let shared = Arc::clone(&self.shared);
        shared.segments.insert(Arc::clone(&created.segment));
        let before = std::mem::replace(&mut self.place, Place::Writing(Box::new(created)));
        if let Place::Writing(before) = before {
            self.seal(&before);
        }
        metrics::segments(shared.segments.len());
    }

    /// Writes the index of a segment that has a successor, or removes it when it is empty.
    fn seal(&mut self, before: &Active) {
        if before.has_records {
            before.trim_allocation();
            before.segment.store_index();
            self.bytes_sealed += before.end;
        } else {
            self.shared.segments.remove(before.link.number);
            if let Err(error) = self.shared.disk.remove(&before.segment.path) {
                warn!(segment = before.link.number, %error, "empty segment stays");
            }
        }
    }

    /// Seals the active segment at its last durable end, because writing behind it failed, and
    /// tries to begin the next.
    pub(super) fn break_off(&mut self, source: io::Error) -> CommitError {
        metrics::write_failed();
        error!(error = %source, "journal write failed, the segment is sealed at its last durable end");
        let Place::Writing(active) = &self.place else { return CommitError::Storage(source) };
        let next = link_after(active);
        let has_records = active.has_records;
        let (segment, end) = (Arc::clone(&active.segment), active.end);
        if has_records {
            active.trim_allocation();
            segment.store_index();
            self.bytes_sealed += end;
        } else {
            self.shared.segments.remove(segment.number);
        }
        self.place = Place::Broken { next, retry_at: Instant::now() };
        // The caller learns of the first failure; the next group meets the second, if there is one.
        if self.begin_segment(next).is_err() {
            warn!("journal cannot begin a new segment yet");
        }
        CommitError::Storage(source)
    }

    /// Begins a segment after a failure, under a new incarnation.
    fn begin_segment(&mut self, link: Link) -> Result<(), CommitError> {
        let shared = Arc::clone(&self.shared);
        let incarnation = draw_incarnation(&mut self.rng);
        match create(&shared, link, incarnation) {
            Ok(created) => {
                self.backoff.reset();
                shared.gauges.is_broken.store(false, Ordering::Relaxed);
                info!(segment = link.number, "journal writes again");
                self.switch_to(created);
                let before = link.number - 1;
                if link.predecessor < before {
                    // The one that failed held no records: it is not in the chain.
                    let path = shared.dir.join(file_name(before));
                    remove_or_warn(&*shared.disk, &path);
                }
                Ok(())
            }
            Err(failure) => {
                shared.gauges.is_broken.store(true, Ordering::Relaxed);
                let retry_at = Instant::now() + self.backoff.next_delay();
                self.place = Place::Broken { next: link, retry_at };
                let source = io::Error::from(failure);
                if is_full(&source) {
                    return Err(CommitError::Full);
                }
                Err(CommitError::Storage(source))
            }
        }
    }
}

/// Creates a segment whose head says all that is committed.
fn create(shared: &Shared, link: Link, incarnation: Incarnation) -> Result<Active, FileError> {
    let state = shared.state();
    let birth = Birth {
        link,
        incarnation,
        time: shared.clock.now(),
        state: &state,
        segment_bytes_max: shared.config.segment_bytes_max.bytes(),
    };
    Active::create(&shared.disk, &shared.dir, &birth)
}

/// Returns the link of the segment after `active`. One without records is left out of the chain:
/// all else it says stands in its successor's snapshot.
fn link_after(active: &Active) -> Link {
    let number = active.link.number + 1;
    if active.has_records {
        return Link { number, predecessor: active.link.number, predecessor_end: active.end };
    }
    Link { number, ..active.link }
}

/// Draws an incarnation: any number but the one that stands for none.
pub(super) fn draw_incarnation(rng: &mut Rng) -> Incarnation {
    loop {
        let drawn = Incarnation(rng.next_u64());
        if drawn != Incarnation::NONE {
            return drawn;
        }
    }
}
