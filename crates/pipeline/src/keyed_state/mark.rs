//! The mark of a state among its task's positions: how much of a changelog there must be.
//!
//! It stands in the same transactions as the changelog's records. A state that was rebuilt and
//! counts fewer transactions has not seen all of them; so a changelog that was lost, created anew
//! or not yet wholly readable is told apart from one that is complete.
//!
//! ```text
//!  0         1            5              13      21
//!  +---------+------------+--------------+-------+
//!  | version | partitions | transactions | since |
//!  | u8 = 1  | u32        | u64          | u64   |
//!  +---------+------------+--------------+-------+
//! ```

use bytes::Bytes;
use millstream_log::Committed;
use millstream_model::{Classify, ErrorClass, Offset, SourceId};
use thiserror::Error;

/// The source id under which a task notes how much it wrote to its changelog.
pub const MARK_SOURCE: &str = "ms.state";

const VERSION: u8 = 1;
const ENCODED_BYTES: usize = 21;

/// How much of a state there must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The partitions of the input when the state was written: with another number keys go
    /// elsewhere, away from what is remembered of them.
    pub partitions: u32,
    /// The transactions that wrote to the changelog, ever; zero lets go of the state.
    pub transactions: u64,
    /// Where the state begins in the changelog: what is trimmed behind it was not needed.
    pub since: Offset,
}

/// Bytes that are no mark.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MarkError {
    /// A newer program wrote them.
    #[error("the mark of a state has version {found}, this program knows {VERSION}")]
    Version {
        /// What they say.
        found: u8,
    },
    /// There are too few or too many bytes.
    #[error("the mark of a state takes {ENCODED_BYTES} bytes, found {found}")]
    Length {
        /// How many there are.
        found: usize,
    },
}

impl Classify for MarkError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

impl Mark {
    /// Returns the source id [`MARK_SOURCE`].
    pub fn source_id() -> SourceId {
        SourceId::new(MARK_SOURCE).expect("the constant is a source id")
    }

    /// Returns what a task committed; `None` when it never kept state, or let go of it.
    pub fn of_committed(committed: &Committed) -> Result<Option<Self>, MarkError> {
        let Some(bytes) = committed.positions.get(&Self::source_id()) else { return Ok(None) };
        let mark = Self::decode(bytes)?;
        Ok(Some(mark).filter(|mark| mark.transactions > 0))
    }

    /// Encodes the mark as version 1.
    pub fn encode(&self) -> Bytes {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.partitions.to_le_bytes());
        bytes.extend_from_slice(&self.transactions.to_le_bytes());
        bytes.extend_from_slice(&self.since.0.to_le_bytes());
        Bytes::from(bytes)
    }

    /// Reads what [`Mark::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, MarkError> {
        let length = MarkError::Length { found: bytes.len() };
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&found) => return Err(MarkError::Version { found }),
            None => return Err(length),
        }
        let fields = || {
            let (partitions, rest) = bytes.get(1..)?.split_first_chunk()?;
            let (&[transactions, since], []) = rest.as_chunks() else { return None };
            Some(Self {
                partitions: u32::from_le_bytes(*partitions),
                transactions: u64::from_le_bytes(transactions),
                since: Offset(u64::from_le_bytes(since)),
            })
        };
        fields().ok_or(length)
    }
}
