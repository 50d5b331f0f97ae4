//! Positions: where a reader of the log, or a source outside it, goes on.
//!
//! A position carries the identity of what it points into. An offset alone is not enough: a
//! backup restored under a table, or a topic created anew, has the same offsets and other records.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;
use uuid::Uuid;

use crate::{Offset, TopicId};

/// The identity of a log: one journal directory, or one Kafka cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub Uuid);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Names the stretch of history that wrote a record.
///
/// On the journal each opening draws a random one, so that a restored backup which grew past its
/// old end is told apart; on Kafka it is the leader epoch. [`Incarnation::NONE`] stands before
/// the first record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// Stands for "no record before this position".
    pub const NONE: Self = Self(0);
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The next offset to read, with the identity of the record before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogPosition {
    /// The log.
    pub log: LogId,
    /// The topic.
    pub topic: TopicId,
    /// The incarnation of the frame that holds the record before `offset`.
    pub incarnation: Incarnation,
    /// The next offset to ask for.
    pub offset: Offset,
}

/// The longest source id, in bytes.
pub const SOURCE_ID_BYTES_MAX: usize = 249;

/// The largest opaque position of a source, in bytes.
pub const SOURCE_POSITION_BYTES_MAX: usize = 4096;

/// The name of something outside the log that a task keeps a position of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(Arc<str>);

/// A text that is no source id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a source id; use 1 to 249 bytes without control characters")]
pub struct SourceIdError {
    text: String,
}

impl SourceId {
    /// Checks and takes a source id: 1 to 249 bytes, no control characters.
    pub fn new(id: &str) -> Result<Self, SourceIdError> {
        let fits = (1..=SOURCE_ID_BYTES_MAX).contains(&id.len());
        if fits && !id.chars().any(char::is_control) {
            Ok(Self(Arc::from(id)))
        } else {
            Err(SourceIdError { text: id.chars().take(300).collect() })
        }
    }

    /// Returns the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceId({})", self.0)
    }
}
