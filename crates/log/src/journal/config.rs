//! How a journal is set up, and the limits of each value.

use std::time::Duration;

use millstream_model::ByteSize;
use thiserror::Error;

/// When an append of the collector resolves. Readers see synced records only, whatever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// After the records survive a power cut.
    #[default]
    Fsync,
    /// After the records are handed to the operating system: they survive the end of the process.
    Buffered,
}

/// How a journal is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// When an append of the collector resolves.
    pub durability: Durability,
    /// The most bytes of the journal's files, archives included.
    pub bytes_max: ByteSize,
    /// Intake stops when the disk has fewer free bytes.
    pub disk_free_min: ByteSize,
    /// A segment is sealed before it exceeds this.
    pub segment_bytes_max: ByteSize,
    /// A segment is sealed when its index, which is kept in memory, has this many entries of 32
    /// bytes each.
    pub segment_entries_max: usize,
    /// How long records are kept at least, if space allows.
    pub retention: Duration,
    /// How long dead letters are kept at least, unless their topic says otherwise.
    pub dead_letters_retention: Duration,
    /// How long a run of the journal lasts before tasks that nobody opened in it are forgotten and
    /// hold back retention no more.
    pub orphan_hold: Duration,
    /// The most bytes that wait to be written.
    pub queue_bytes_max: ByteSize,
    /// The most requests that wait to be written.
    pub queue_items_max: usize,
    /// The most bytes of records that are synced together.
    pub group_bytes_max: ByteSize,
    /// The most bytes of records in one append of the collector.
    pub batch_bytes_max: ByteSize,
    /// The most bytes of records in one transaction.
    pub transaction_bytes_max: ByteSize,
    /// The most tasks opened in one run.
    pub tasks_max: usize,
    /// Set aside on disk, so that positions can be committed when it is full.
    pub reserve_bytes: ByteSize,
    /// What a client is told to wait when the disk or the byte budget is full.
    pub full_retry_after: Duration,
    /// The most a client is told to wait when the queue is full.
    pub queue_retry_after_max: Duration,
    /// How often retention looks for segments to delete.
    pub retention_interval: Duration,
}

impl Default for Config {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            durability: Durability::Fsync,
            bytes_max: ByteSize::gib(8),
            disk_free_min: ByteSize::mib(256),
            segment_bytes_max: ByteSize::mib(128),
            segment_entries_max: 256 << 10,
            retention: DAY,
            dead_letters_retention: 30 * DAY,
            orphan_hold: 7 * DAY,
            queue_bytes_max: ByteSize::mib(64),
            queue_items_max: 65_536,
            group_bytes_max: ByteSize::mib(8),
            batch_bytes_max: ByteSize::mib(16),
            transaction_bytes_max: ByteSize::mib(64),
            tasks_max: 256,
            reserve_bytes: ByteSize::mib(16),
            full_retry_after: Duration::from_secs(5),
            queue_retry_after_max: Duration::from_secs(10),
            retention_interval: Duration::from_secs(1),
        }
    }
}

/// A configuration value outside its range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key} is {value}, it must be {allowed}")]
pub struct ConfigError {
    /// The key, as it stands under `log:`.
    pub key: &'static str,
    /// The value.
    pub value: String,
    /// The values that are allowed.
    pub allowed: String,
}

impl Config {
    /// Checks every value against its range and against the others.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let size = |key, value: ByteSize, min: ByteSize, max: ByteSize| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            Err(ConfigError { key, value: value.to_string(), allowed: format!("{min} to {max}") })
        };
        let largest = ByteSize::gib(1);
        size("bytes_max", self.bytes_max, ByteSize::kib(256), ByteSize(1 << 50))?;
        size("segment_bytes_max", self.segment_bytes_max, ByteSize::kib(16), largest)?;
        let eighth = ByteSize(self.bytes_max.bytes() / 8);
        size("segment_bytes_max", self.segment_bytes_max, ByteSize(1), eighth)?;
        size("group_bytes_max", self.group_bytes_max, ByteSize::kib(4), self.segment_bytes_max)?;
        size("batch_bytes_max", self.batch_bytes_max, ByteSize::kib(1), self.segment_bytes_max)?;
        let transaction = self.transaction_bytes_max;
        size("transaction_bytes_max", transaction, ByteSize::kib(1), self.segment_bytes_max)?;
        let queue_min = self.batch_bytes_max.max(self.transaction_bytes_max);
        size("queue_bytes_max", self.queue_bytes_max, queue_min, ByteSize::gib(4))?;
        size("reserve_bytes", self.reserve_bytes, ByteSize(0), eighth)?;
        let count = |key, value: usize, min: usize, max: usize| {
            if (min..=max).contains(&value) {
                return Ok(());
            }
            Err(ConfigError { key, value: value.to_string(), allowed: format!("{min} to {max}") })
        };
        count("segment_entries_max", self.segment_entries_max, 16, 16 << 20)?;
        count("queue_items_max", self.queue_items_max, 16, 1 << 20)?;
        count("tasks_max", self.tasks_max, 1, 4096)
    }
}

#[cfg(test)]
mod tests;
