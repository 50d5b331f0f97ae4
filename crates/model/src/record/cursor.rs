//! Walks encoded records: checked once when a batch is built, trusted afterwards.

use super::{DecodeError, Headers, NONE, RECORD_BYTES_MAX, RECORD_OVERHEAD_BYTES, Record};
use crate::Timestamp;

/// The rest of an encoded batch.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    all: usize,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { all: bytes.len(), rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Reads the next record and checks every length in it.
    pub(super) fn next_checked(&mut self, index: u32) -> Result<Record<'a>, DecodeError> {
        let at = self.all - self.rest.len();
        let (length, _) =
            self.rest.split_first_chunk::<4>().ok_or(DecodeError::CutShort { index, at })?;
        let length = u32::from_le_bytes(*length) as usize;
        if length > RECORD_BYTES_MAX {
            return Err(DecodeError::Lengths { index, at });
        }
        let (bytes, rest) =
            self.rest.split_at_checked(4 + length).ok_or(DecodeError::CutShort { index, at })?;
        let record = parse(bytes)
            .filter(|record| record.headers.is_well_formed())
            .ok_or(DecodeError::Lengths { index, at })?;
        self.rest = rest;
        Ok(record)
    }

    /// Reads the next record of a batch that was checked when it was built.
    pub(super) fn next_trusted(&mut self) -> Record<'a> {
        let (length, _) =
            self.rest.split_first_chunk::<4>().expect("the batch was checked when it was built");
        let (bytes, rest) = self.rest.split_at(4 + u32::from_le_bytes(*length) as usize);
        self.rest = rest;
        parse(bytes).expect("the batch was checked when it was built")
    }
}

/// Splits one record, length field included, into its parts; `None` when lengths do not add up.
fn parse(bytes: &[u8]) -> Option<Record<'_>> {
    let (head, body) = bytes.split_first_chunk::<RECORD_OVERHEAD_BYTES>()?;
    let timestamp = i64::from_le_bytes(*head[4..].first_chunk()?);
    let key_len = u32::from_le_bytes(*head[12..].first_chunk()?);
    let value_len = u32::from_le_bytes(*head[16..].first_chunk()?);
    let header_count = u16::from_le_bytes(*head[20..].first_chunk()?);
    if head[22..] != [0, 0] {
        return None;
    }
    let (key, body) = split_optional(body, key_len)?;
    let (value, headers) = split_optional(body, value_len)?;
    Some(Record {
        timestamp: Timestamp::from_millis(timestamp),
        key,
        value,
        headers: Headers::from_encoded(headers, header_count),
    })
}

type Split<'a> = (Option<&'a [u8]>, &'a [u8]);

fn split_optional(bytes: &[u8], len: u32) -> Option<Split<'_>> {
    if len == NONE {
        return Some((None, bytes));
    }
    let (part, rest) = bytes.split_at_checked(len as usize)?;
    Some((Some(part), rest))
}
