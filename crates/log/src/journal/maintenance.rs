//! What the journal's thread does between groups: measure, set aside, retain.

use std::sync::atomic::Ordering;

use tracing::debug;

use super::writer::JournalThread;
use crate::metrics;

impl JournalThread {
    /// Does one round of what is due; bounded work.
    pub(super) fn maintain(&mut self) {
        if self.ensure_writing().is_err() {
            debug!("journal still cannot begin a segment");
        }
        self.restore_reserve();
        self.bytes_sealed = self.bytes_of_files();
        self.free_space.forget();
        let room = self.measure();
        self.roll_if_consumed(room);
        self.retain(room);
        self.bytes_sealed = self.bytes_of_files();
        self.free_space.forget();
        let room = self.measure();
        metrics::room(room.bytes_used, room.disk_free, self.shared.queue.bytes_used());
        metrics::segments(self.shared.segments.len());
    }

    /// Returns the bytes of sealed segments, archives and indexes on disk.
    pub(super) fn bytes_of_files(&self) -> u64 {
        let active = self.active_number();
        let archive = self.shared.dir.join(super::recovery::ARCHIVE);
        let mut bytes = 0;
        for dir in [&self.shared.dir, &archive] {
            // A directory that cannot be listed counts as empty; writing to it will show.
            for entry in self.shared.disk.list(dir).unwrap_or_default() {
                let stem = entry.name.split('.').next().unwrap_or_default();
                let is_segment = stem.len() == 20 && stem.parse::<u64>().is_ok();
                if is_segment && stem.parse() != Ok(active) {
                    bytes += entry.bytes;
                }
            }
        }
        bytes
    }

    /// Remembers how fast records become durable, so that callers can be told how long to wait.
    pub(super) fn note_rate(&self, bytes: u64, took: std::time::Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        let now = bytes.saturating_mul(1_000_000) / micros;
        let rate = &self.shared.gauges.drain_rate;
        let before = rate.load(Ordering::Relaxed);
        let averaged = if before == 0 { now } else { before - before / 8 + now / 8 };
        rate.store(averaged, Ordering::Relaxed);
    }
}
