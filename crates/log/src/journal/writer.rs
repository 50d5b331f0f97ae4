//! The journal's thread: takes what waits, writes it, syncs once, publishes, answers.
//!
//! ```text
//!   next group ─▶ check, give offsets ─▶ (roll) ─▶ write ─▶ sync ─▶ apply ─▶ publish ─▶ answer
//!                        │ refuse                 │ disk full: nothing happened, refuse
//!                        ▼                        ▼ anything else: seal, new segment, outcome unknown
//! ```
//!
//! Only this thread changes files and state. State changes after the sync alone, so whatever
//! fails before it is undone by forgetting it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use millstream_runtime::crash_point::crash_point;
use millstream_runtime::disk::DiskLock;
use millstream_runtime::{Rng, retry};
use tokio::time::Instant;
use tracing::warn;

use super::active::{Active, is_full};
use super::admission::Room;
use super::change::Change;
use super::commit::{EncodedFrame, encode, finish, frames_bytes};
use super::control::Run;
use super::free_space::FreeSpace;
use super::group::{StagedFrame, Stager};
use super::queue::Next;
use super::request::Admitted;
use super::reserve::Reserve;
use super::settle::{Nothing, Settled, Written};
use super::shared::Shared;
use super::state::Link;
use crate::metrics;

/// Why a group was not committed.
#[derive(Debug)]
pub(super) enum CommitError {
    /// No room; nothing was written.
    Full,
    /// The disk failed; what was written is cut off by the next segment.
    Storage(io::Error),
}

/// The segment that is written, or what is left of it after a failure.
#[derive(Debug)]
pub(super) enum Place {
    Writing(Box<Active>),
    /// Writing failed behind this link; the next segment is tried again after a while.
    Broken {
        next: Link,
        retry_at: Instant,
    },
}

/// The journal's thread.
#[derive(Debug)]
pub(super) struct JournalThread {
    pub(super) shared: Arc<Shared>,
    pub(super) place: Place,
    pub(super) rng: Rng,
    pub(super) backoff: retry::Backoff,
    pub(super) run: Run,
    /// Bytes of sealed segments, archives and the reserve.
    pub(super) bytes_sealed: u64,
    pub(super) reserve: Reserve,
    pub(super) free_space: FreeSpace,
    maintained: Instant,
    #[expect(dead_code, reason = "held until the thread ends")]
    lock: Box<dyn DiskLock>,
}

/// What the thread starts with.
#[derive(Debug)]
pub(super) struct Start {
    pub shared: Arc<Shared>,
    pub active: Active,
    pub rng: Rng,
    pub lock: Box<dyn DiskLock>,
}

impl JournalThread {
    pub(super) fn new(start: Start) -> Self {
        let Start { shared, active, mut rng, lock } = start;
        let settings = retry::Settings {
            initial: Duration::from_millis(100),
            ceiling: Duration::from_secs(5),
        };
        let backoff = retry::Backoff::new(settings, Rng::from_seed(rng.next_u64()));
        let run = Run::new(shared.clock.now());
        let mut thread = Self {
            shared,
            place: Place::Writing(Box::new(active)),
            rng,
            backoff,
            run,
            bytes_sealed: 0,
            reserve: Reserve::default(),
            free_space: FreeSpace::default(),
            maintained: Instant::now(),
            lock,
        };
        thread.bytes_sealed = thread.bytes_of_files();
        thread.restore_reserve();
        thread.measure();
        thread
    }

    /// Works until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let interval = self.shared.config.retention_interval;
        loop {
            match self.shared.queue.next(interval) {
                Next::Group(group) => self.commit_group(group),
                Next::Control(control) => self.control(control),
                Next::Idle => {}
                Next::Closed => break,
            }
            if self.maintained.elapsed() >= interval {
                self.maintained = Instant::now();
                self.maintain();
            }
        }
        self.end();
    }

    /// Commits a group of requests and answers them. A full disk refuses what brings records;
    /// what moves positions is committed into the reserve.
    fn commit_group(&mut self, group: Vec<Admitted>) {
        let retry_after = self.shared.config.full_retry_after;
        let Some(unsettled) = self.commit_unless_full(group) else { return };
        let positions = unsettled.refuse_records(retry_after);
        if positions.is_empty() {
            return;
        }
        self.release_reserve();
        if let Some(unsettled) = self.commit_unless_full(positions) {
            unsettled.refuse_all(retry_after);
        }
    }

    /// Commits requests and answers them; returns those that a full disk left undone.
    fn commit_unless_full(&mut self, group: Vec<Admitted>) -> Option<Settled> {
        let room = self.measure();
        let staged = {
            let state = self.shared.state();
            Stager::new(&state, &self.shared.config, room).stage(&group)
        };
        let mut settled = Settled::new(group, staged.outcomes, self.shared.config.durability);
        match self.commit(&staged.frames, &mut settled) {
            Ok(()) => settled.succeed(),
            Err(CommitError::Full) => return Some(settled),
            Err(CommitError::Storage(source)) => settled.fail(&source),
        }
        None
    }

    /// Commits one change alone, if need be into the reserve.
    pub(super) fn commit_change(&mut self, change: Change) -> Result<(), CommitError> {
        let frames = [StagedFrame { change, pieces: Vec::new() }];
        match self.commit(&frames, &mut Nothing) {
            Err(CommitError::Full) => {
                self.release_reserve();
                self.commit(&frames, &mut Nothing)
            }
            result => result,
        }
    }

    /// Makes frames durable and visible, all or none.
    fn commit(
        &mut self,
        frames: &[StagedFrame],
        written: &mut dyn Written,
    ) -> Result<(), CommitError> {
        if frames.is_empty() {
            return Ok(());
        }
        let bytes = frames_bytes(frames);
        self.ensure_writing()?;
        self.roll_if_full(frames, bytes)?;
        let shared = Arc::clone(&self.shared);
        let Place::Writing(active) = &mut self.place else {
            unreachable!("ensure_writing made it so");
        };
        let time = shared.clock.now();
        let encoded = encode(frames, active, time);
        let total: u64 = encoded.iter().map(EncodedFrame::len).sum();
        match active.make_room(total) {
            Err(source) if is_full(&source) => return Err(CommitError::Full),
            Err(source) => return Err(self.break_off(source)),
            Ok(()) => {}
        }
        crash_point("journal.before_write");
        let parts: Vec<_> = encoded
            .iter()
            .zip(frames)
            .map(|(encoded, frame)| (encoded.head.as_slice(), frame.pieces.as_slice()))
            .collect();
        if let Err(source) = active.write(&parts) {
            if is_full(&source) && active.cut_back().is_ok() {
                return Err(CommitError::Full);
            }
            return Err(self.break_off(source));
        }
        written.written();
        crash_point("journal.before_sync");
        let started = Instant::now();
        if let Err(source) = active.sync() {
            return Err(self.break_off(source));
        }
        let took = started.elapsed();
        crash_point("journal.after_sync");
        finish(&shared, active, &encoded, frames);
        metrics::group_synced(frames.len(), took);
        self.note_rate(total, took);
        Ok(())
    }

    /// Returns the number of the segment that is written.
    pub(super) fn active_number(&self) -> u64 {
        match &self.place {
            Place::Writing(active) => active.link.number,
            Place::Broken { next, .. } => next.number,
        }
    }

    /// Measures how much room there is, and tells callers.
    pub(super) fn measure(&mut self) -> Room {
        let active = match &self.place {
            Place::Writing(active) => active.end,
            Place::Broken { .. } => 0,
        };
        let bytes_used = self.bytes_sealed + self.reserve.bytes() + active;
        let shared = &self.shared;
        // A disk that cannot tell is not thereby full; writing to it will show.
        let ask = || shared.disk.free_bytes(&shared.dir).unwrap_or(u64::MAX);
        let room = Room { bytes_used, disk_free: self.free_space.bytes(bytes_used, ask) };
        let gauges = &self.shared.gauges;
        gauges.bytes_used.store(room.bytes_used, Ordering::Relaxed);
        gauges.disk_free.store(room.disk_free, Ordering::Relaxed);
        let level = room.level(&self.shared.config);
        gauges.level.store(level.to_byte(), Ordering::Relaxed);
        room
    }

    /// Ends the run: what was committed is durable already.
    fn end(mut self) {
        if let Place::Writing(active) = &self.place
            && active.end > active.head_end
            && self.commit_change(Change::Close).is_err()
        {
            // Nothing is lost by it: the next start reads the segment as after a crash.
            warn!("journal closes without its closing frame");
        }
        if let Place::Writing(active) = &self.place {
            active.trim_allocation();
        }
    }
}

impl Drop for JournalThread {
    /// Also when the thread panics: nobody waits for an answer that never comes.
    fn drop(&mut self) {
        self.shared.close();
        self.shared.queue.abandon();
    }
}
