//! Cumulative counts of a task, committed with its positions.
//!
//! Because they stand in the same transaction as the records they count, they are exact after any
//! crash: `reconcile` adds them up. They count since the task began; where that was, says
//! [`Beginning`]. Encoding, version 1, little-endian:
//!
//! ```text
//!  0         1      9         17         25         33             41        49         57
//!  +---------+------+---------+----------+----------+--------------+---------+----------+
//!  | version | read | written | rejected | filtered | deduplicated | created | replayed |
//!  | u8 = 1  | u64  | u64     | u64      | u64      | u64          | u64     | u64      |
//!  +---------+------+---------+----------+----------+--------------+---------+----------+
//! ```

mod beginning;

use bytes::Bytes;
use millstream_log::Committed;
use millstream_model::{Classify, ErrorClass, SourceId};
use thiserror::Error;

pub use beginning::{BEGINNING_SOURCE, Beginning, BeginningError, records_before};

/// The source id under which a task's counts stand among its positions.
pub const COUNTS_SOURCE: &str = "ms.counts";

const VERSION: u8 = 1;
const ENCODED_BYTES: usize = 1 + 7 * 8;

/// What became of everything that a task ever read.
///
/// For a processor: `read + created + replayed = written + rejected + filtered + deduplicated`,
/// where `created` are records that a step made out of nothing and `replayed` dead letters that
/// came back. For a sink `written` are rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Records read.
    pub read: u64,
    /// Records or rows written.
    pub written: u64,
    /// Records sent to the dead letters.
    pub rejected: u64,
    /// Records that a step dropped on purpose.
    pub filtered: u64,
    /// Records that were seen before.
    pub deduplicated: u64,
    /// Records made by a step, beyond those read.
    pub created: u64,
    /// Dead letters read again.
    pub replayed: u64,
}

/// Bytes that are no counts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CountsError {
    /// A newer program wrote them.
    #[error("counts have version {found}, this program knows {VERSION}")]
    Version {
        /// What they say.
        found: u8,
    },
    /// There are too few or too many bytes.
    #[error("counts take {ENCODED_BYTES} bytes, found {found}")]
    Length {
        /// How many there are.
        found: usize,
    },
}

impl Classify for CountsError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

impl Counts {
    /// Returns the source id [`COUNTS_SOURCE`].
    pub fn source_id() -> SourceId {
        SourceId::new(COUNTS_SOURCE).expect("the constant is a source id")
    }

    /// Returns what a task committed; zero when it never did.
    pub fn of_committed(committed: &Committed) -> Result<Self, CountsError> {
        match committed.positions.get(&Self::source_id()) {
            Some(bytes) => Self::decode(bytes),
            None => Ok(Self::default()),
        }
    }

    /// Encodes the counts as version 1.
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(ENCODED_BYTES);
        bytes.push(VERSION);
        for count in self.as_array() {
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        Bytes::from(bytes)
    }

    /// Reads what [`Counts::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, CountsError> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&found) => return Err(CountsError::Version { found }),
            None => return Err(CountsError::Length { found: 0 }),
        }
        let (words, rest) = bytes[1..].as_chunks::<8>();
        let (Ok(words), []) = (<&[[u8; 8]; 7]>::try_from(words), rest) else {
            return Err(CountsError::Length { found: bytes.len() });
        };
        let [read, written, rejected, filtered, deduplicated, created, replayed] =
            words.map(u64::from_le_bytes);
        Ok(Self { read, written, rejected, filtered, deduplicated, created, replayed })
    }

    /// Adds `other` to these counts.
    pub fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.written += other.written;
        self.rejected += other.rejected;
        self.filtered += other.filtered;
        self.deduplicated += other.deduplicated;
        self.created += other.created;
        self.replayed += other.replayed;
    }

    /// Returns whether everything that came in is accounted for.
    pub fn is_balanced(&self) -> bool {
        let came = self.read + self.created + self.replayed;
        came == self.written + self.rejected + self.filtered + self.deduplicated
    }

    fn as_array(&self) -> [u64; 7] {
        let Self { read, written, rejected, filtered, deduplicated, created, replayed } = *self;
        [read, written, rejected, filtered, deduplicated, created, replayed]
    }
}

#[cfg(test)]
mod tests;
