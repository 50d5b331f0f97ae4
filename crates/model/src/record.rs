//! Records and batches of them: opaque bytes with a key, a time and headers.
//!
//! A batch has one encoding from the collector to the disk and back, so that a record is copied,
//! not re-encoded, on its way. `docs/formats/record.md` is the reference; in short, little-endian:
//!
//! ```text
//!  0      4          12        16          20           22        24
//!  +------+----------+---------+-----------+------------+---------+-----+-------+---------+
//!  | len  | time ms  | key len | value len | header cnt | 0 (res) | key | value | headers |
//!  | u32  | i64      | u32     | u32       | u16        | u16     |     |       |         |
//!  +------+----------+---------+-----------+------------+---------+-----+-------+---------+
//!  `len` counts what follows it. A key or value length of u32::MAX means "none".
//!  A header is: name len u16, value len u32, name, value.
//! ```

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use crate::Timestamp;

mod builder;
mod cursor;
mod headers;

pub use builder::RecordBatchBuilder;
pub use headers::{Headers, HeadersBuilder, HeadersIter};

use cursor::Cursor;

/// The bytes of a record before its key.
pub const RECORD_OVERHEAD_BYTES: usize = 24;

/// The largest encoded record, in bytes; far above every configurable limit.
pub const RECORD_BYTES_MAX: usize = 256 << 20;

/// Stands for "no key" or "no value" in a length field.
const NONE: u32 = u32::MAX;

/// One record, borrowed from its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// When the record was accepted.
    pub timestamp: Timestamp,
    /// What routes the record; records with the same key keep their order.
    pub key: Option<&'a [u8]>,
    /// The payload; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Names and values beside the payload.
    pub headers: Headers<'a>,
}

/// Bytes that are no record batch.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes end inside a record.
    #[error("record {index} at byte {at} is cut short")]
    CutShort {
        /// The record's place in the batch.
        index: u32,
        /// Where it begins.
        at: usize,
    },
    /// A record's lengths do not add up.
    #[error("record {index} at byte {at} has lengths that do not add up")]
    Lengths {
        /// The record's place in the batch.
        index: u32,
        /// Where it begins.
        at: usize,
    },
    /// The batch holds another number of records than was claimed.
    #[error("batch holds {found} records, expected {expected}")]
    Count {
        /// How many were claimed.
        expected: u32,
        /// How many there are.
        found: u32,
    },
}

/// An immutable run of encoded records; cloning shares the bytes.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RecordBatch {
    /// Back-to-back encoded records. Invariant: walking them yields exactly `count` records.
    bytes: Bytes,
    count: u32,
}

impl RecordBatch {
    /// Checks that `bytes` are exactly `count` well-formed records, and takes them.
    pub fn decode(bytes: Bytes, count: u32) -> Result<Self, DecodeError> {
        let mut cursor = Cursor::new(&bytes);
        let mut found = 0;
        while !cursor.is_empty() {
            cursor.next_checked(found)?;
            found += 1;
        }
        if found != count {
            return Err(DecodeError::Count { expected: count, found });
        }
        Ok(Self { bytes, count })
    }

    /// Returns the number of records.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Returns whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the encoded records.
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Iterates over the records in order.
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter { cursor: Cursor::new(&self.bytes), remaining: self.count }
    }

    /// Returns the batch without its first `count` records; shares the bytes.
    #[must_use]
    pub fn skip(&self, count: u32) -> Self {
        if count >= self.count {
            return Self::default();
        }
        let at = self.byte_of(count);
        Self { bytes: self.bytes.slice(at..), count: self.count - count }
    }

    /// Returns the first `count` records; shares the bytes.
    #[must_use]
    pub fn take(&self, count: u32) -> Self {
        if count >= self.count {
            return self.clone();
        }
        let at = self.byte_of(count);
        Self { bytes: self.bytes.slice(..at), count }
    }

    /// Returns where record `index` begins.
    fn byte_of(&self, index: u32) -> usize {
        let mut cursor = Cursor::new(&self.bytes);
        for _ in 0..index {
            cursor.next_trusted();
        }
        self.bytes.len() - cursor.remaining()
    }
}

impl fmt::Debug for RecordBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordBatch({} records, {} bytes)", self.count, self.bytes.len())
    }
}

impl<'a> IntoIterator for &'a RecordBatch {
    type Item = Record<'a>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.iter()
    }
}

/// The records of a batch, in order.
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    cursor: Cursor<'a>,
    remaining: u32,
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        self.remaining = self.remaining.checked_sub(1)?;
        Some(self.cursor.next_trusted())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let remaining = self.remaining as usize;
        (remaining, Some(remaining))
    }
}

impl ExactSizeIterator for RecordIter<'_> {}

#[cfg(test)]
mod tests;
