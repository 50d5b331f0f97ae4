//! How far a journal is forwarded: what stands in the cluster and, after it, in the journal.
//!
//! Encoding, version 1, little-endian:
//!
//! ```text
//!  0         1     17      33            41     49         53          61        69
//!  +---------+-----+-------+-------------+------+----------+-----------+---------+-------+
//!  | version | log | topic | incarnation | next | checksum | forwarded | refused | count |
//!  | u8 = 1  | 16  | 16    | u64         | u64  | u32      | u64       | u64     | u8    |
//!  +---------+-----+-------+-------------+------+----------+-----------+---------+-------+
//!                                   each record that the last transaction left out:
//!                                   +--------+--------------+--------+
//!                                   | offset | reason bytes | reason |
//!                                   | u64    | u16          | UTF-8  |
//!                                   +--------+--------------+--------+
//! ```
//!
//! No bytes at all stand for "nothing is forwarded", which a replay may set.

use bytes::Bytes;
use millstream_log::Committed;
use millstream_model::{
    Classify, ErrorClass, Incarnation, LogId, LogPosition, Offset, SourceId, TopicId,
};
use thiserror::Error;
use uuid::Uuid;

use crate::counts::Counts;
use crate::dead_letter::REASON_BYTES_MAX;

/// The source id under which a spool's position stands, on both sides.
pub const SPOOL_SOURCE: &str = "spool";

/// How many records one position may list as left out.
pub const REFUSALS_MAX: usize = 3;

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 70;

/// How far one partition of a journal is forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The journal's next position to forward.
    pub next: LogPosition,
    /// CRC32C of the last record before `next`, encoded; zero when there is none.
    pub checksum: u32,
    /// How many records were forwarded since the spool began.
    pub forwarded: u64,
    /// How many records were refused for good since the spool began.
    pub refused: u64,
    /// What the last transaction left out; at most [`REFUSALS_MAX`].
    pub refusals: Vec<Refusal>,
}

/// A record that the cluster never takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Its offset in the journal.
    pub offset: Offset,
    /// Why, for people; at most [`REASON_BYTES_MAX`] bytes.
    pub reason: String,
}

/// Bytes that are no position of a spool.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PositionError {
    /// A newer program wrote them.
    #[error("a spool's position has version {found}, this program knows {VERSION}; upgrade it")]
    Version {
        /// What they say.
        found: u8,
    },
    /// They are cut off or too long.
    #[error("a spool's position is damaged at byte {at}")]
    Damaged {
        /// Where.
        at: usize,
    },
}

impl Classify for PositionError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

impl Refusal {
    /// Notes why a record is refused; a long reason is cut.
    pub fn new(offset: Offset, reason: &str) -> Self {
        let reason = reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].to_owned();
        Self { offset, reason }
    }
}

impl Position {
    /// Returns the source id [`SPOOL_SOURCE`].
    pub fn source_id() -> SourceId {
        SourceId::new(SPOOL_SOURCE).expect("the constant is a source id")
    }

    /// Returns where a spool stands; `None` when it never forwarded anything.
    pub fn of_committed(committed: &Committed) -> Result<Option<Self>, PositionError> {
        match committed.positions.get(&Self::source_id()) {
            Some(bytes) if !bytes.is_empty() => Self::decode(bytes).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns the counts that this position stands for.
    pub fn counts(&self) -> Counts {
        Counts {
            read: self.forwarded + self.refused,
            written: self.forwarded,
            rejected: self.refused,
            ..Counts::default()
        }
    }

    /// Encodes the position as version 1.
    pub fn encode(&self) -> Bytes {
        let LogPosition { log, topic, incarnation, offset } = self.next;
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(log.0.as_bytes());
        bytes.extend_from_slice(topic.0.as_bytes());
        bytes.extend_from_slice(&incarnation.0.to_le_bytes());
        bytes.extend_from_slice(&offset.0.to_le_bytes());
        bytes.extend_from_slice(&self.checksum.to_le_bytes());
        bytes.extend_from_slice(&self.forwarded.to_le_bytes());
        bytes.extend_from_slice(&self.refused.to_le_bytes());
        assert!(self.refusals.len() <= REFUSALS_MAX, "a transaction leaves out few records");
        bytes.push(u8::try_from(self.refusals.len()).expect("checked above"));
        for Refusal { offset, reason } in &self.refusals {
            let len = u16::try_from(reason.len()).expect("a reason has at most 1 KiB");
            bytes.extend_from_slice(&offset.0.to_le_bytes());
            bytes.extend_from_slice(&len.to_le_bytes());
            bytes.extend_from_slice(reason.as_bytes());
        }
        Bytes::from(bytes)
    }

    /// Reads what [`Position::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, PositionError> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&found) => return Err(PositionError::Version { found }),
            None => return Err(PositionError::Damaged { at: 0 }),
        }
        let mut fields = Fields { rest: &bytes[1..] };
        fields.position().ok_or(PositionError::Damaged { at: bytes.len() - fields.rest.len() })
    }
}

/// What is not decoded yet.
struct Fields<'b> {
    rest: &'b [u8],
}

impl Fields<'_> {
    fn position(&mut self) -> Option<Position> {
        let log = LogId(Uuid::from_bytes(*self.take()?));
        let topic = TopicId(Uuid::from_bytes(*self.take()?));
        let incarnation = Incarnation(u64::from_le_bytes(*self.take()?));
        let offset = Offset(u64::from_le_bytes(*self.take()?));
        let next = LogPosition { log, topic, incarnation, offset };
        let checksum = u32::from_le_bytes(*self.take()?);
        let forwarded = u64::from_le_bytes(*self.take()?);
        let refused = u64::from_le_bytes(*self.take()?);
        let [count] = *self.take()?;
        let mut refusals = Vec::new();
        for _ in 0..count {
            refusals.push(self.refusal()?);
        }
        let is_whole = self.rest.is_empty() && refusals.len() <= REFUSALS_MAX;
        is_whole.then_some(Position { next, checksum, forwarded, refused, refusals })
    }

    fn refusal(&mut self) -> Option<Refusal> {
        let offset = Offset(u64::from_le_bytes(*self.take()?));
        let len = u16::from_le_bytes(*self.take()?);
        let (reason, rest) = self.rest.split_at_checked(usize::from(len))?;
        let reason = std::str::from_utf8(reason).ok().filter(|r| r.len() <= REASON_BYTES_MAX)?;
        self.rest = rest;
        Some(Refusal { offset, reason: reason.to_owned() })
    }

    fn take<const N: usize>(&mut self) -> Option<&[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests;
