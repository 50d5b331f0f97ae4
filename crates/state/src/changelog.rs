//! How a change of state stands in the changelog: one record for each key, tombstones delete.
//!
//! ```text
//!   key:    | family u16 BE | key of the entry |
//!   value:  | version u8 = 1 | flags u8 | due i64 LE, if flag 1 | value of the entry |
//!           none: a tombstone
//! ```
//!
//! The layout of the key never changes, or compaction would keep the old keys beside the new. The
//! reference is `docs/formats/changelog.md`.

use millstream_model::{Classify, ErrorClass, Headers, Record, RecordBatchBuilder, Timestamp};
use thiserror::Error;

use crate::batch::WriteBatch;
use crate::store::{Entry, FamilyId, Key};

const VERSION: u8 = 1;

/// The entry has a time at which it falls due.
const FLAG_DUE: u8 = 1;

/// One change of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The family.
    pub family: FamilyId,
    /// The key.
    pub key: Key,
    /// What stands there from now on; `None` deletes.
    pub entry: Option<Entry>,
}

/// A record that is no change of state.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChangelogError {
    /// The record has no key, or one without a family.
    #[error("changelog record has no family in its key")]
    Key,
    /// A newer program wrote it.
    #[error("changelog record has version {found}, this program knows {VERSION}")]
    Version {
        /// What it says.
        found: u8,
    },
    /// The value is cut short or has flags that mean nothing.
    #[error("changelog record has a damaged value")]
    Value,
}

impl Classify for ChangelogError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

impl Change {
    /// Reads a record of the changelog.
    pub fn decode(record: Record<'_>) -> Result<Self, ChangelogError> {
        let (family, key) =
            record.key.and_then(<[u8]>::split_first_chunk).ok_or(ChangelogError::Key)?;
        let entry = record.value.map(decode_entry).transpose()?;
        Ok(Self { family: FamilyId(u16::from_be_bytes(*family)), key: key.into(), entry })
    }

    /// Adds the change to a batch of writes.
    pub fn apply_to(self, batch: &mut WriteBatch) {
        let Self { family, key, entry } = self;
        match entry {
            Some(entry) => batch.put(family, key, entry),
            None => batch.delete(family, key),
        }
    }
}

/// Appends the changes of `batch` as records of the changelog, made at `now`.
pub fn encode(batch: &WriteBatch, now: Timestamp, records: &mut RecordBatchBuilder) {
    let mut record_key = Vec::new();
    for (family, key, entry) in batch.iter() {
        record_key.clear();
        record_key.extend_from_slice(&family.0.to_be_bytes());
        record_key.extend_from_slice(key);
        let key = Some(record_key.as_slice());
        match entry {
            Some(entry) => records.push_with(now, key, Headers::EMPTY, |out| {
                encode_entry(entry, out);
            }),
            None => {
                let headers = Headers::EMPTY;
                records.push(Record { timestamp: now, key, value: None, headers });
            }
        }
    }
}

fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    match entry.due {
        Some(due) => {
            out.extend_from_slice(&[VERSION, FLAG_DUE]);
            out.extend_from_slice(&due.as_millis().to_le_bytes());
        }
        None => out.extend_from_slice(&[VERSION, 0]),
    }
    out.extend_from_slice(&entry.value);
}

fn decode_entry(value: &[u8]) -> Result<Entry, ChangelogError> {
    match value {
        [VERSION, 0, rest @ ..] => Ok(Entry::new(rest)),
        [VERSION, FLAG_DUE, rest @ ..] => {
            let (due, rest) = rest.split_first_chunk().ok_or(ChangelogError::Value)?;
            Ok(Entry::due_at(rest, Timestamp::from_millis(i64::from_le_bytes(*due))))
        }
        [VERSION, ..] | [] => Err(ChangelogError::Value),
        [found, ..] => Err(ChangelogError::Version { found: *found }),
    }
}

#[cfg(test)]
mod tests;
