//! The contract of a store: the local copy of a task's keyed state.
//!
//! It is made so that an embedded database with column families, iterators, write batches and
//! checkpoints can stand behind it: keys and values are bytes, a family is a column family, and
//! nothing is borrowed from the store but iterators.
//!
//! **Timers.** An entry may carry the time at which it falls due. [`Store::due`] walks the entries
//! of a family by (time, key); writing an entry again moves its timer, deleting it ends it. A
//! timer thereby needs no record of its own in the changelog and can never outlive its entry.
//! Whoever needs several timers for one key gives each a family or a longer key.

use std::fmt::Debug;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_model::{ByteSize, Classify, ErrorClass, LogPosition, Timestamp};
use millstream_runtime::Disk;
use thiserror::Error;

use crate::batch::WriteBatch;

/// Names one table of a task's state; a step has the families it asks for.
///
/// It is stored: a number, once used for something, is never used for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FamilyId(pub u16);

/// The key of an entry; cloning shares the bytes.
pub type Key = Arc<[u8]>;

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// The value; may be empty.
    pub value: Box<[u8]>,
    /// When the entry falls due, if ever.
    pub due: Option<Timestamp>,
}

/// A run of keys, in the order of their bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// Inclusive.
    start: Vec<u8>,
    /// Exclusive; `None` is the end of the family. Invariant: not before `start`.
    end: Option<Vec<u8>>,
}

/// What a checkpoint says about itself, beside the position that the store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The partition of the changelog's topic.
    pub partition: u32,
    /// When the checkpoint was made.
    pub written: Timestamp,
    /// What the state means: another step, or another version of it, has another one.
    pub fingerprint: String,
}

/// Facts about a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreInfo {
    /// Everything in the changelog before this position is in the store; what comes after it may
    /// be. `None` when nothing is known: the store is empty.
    pub position: Option<LogPosition>,
    /// The number of entries.
    pub entries: u64,
    /// The memory or disk that the entries take, in bytes.
    pub bytes: u64,
}

/// Why a store did not do what was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The batch would make the store larger than it may be; nothing changed.
    #[error("state of {} exceeds the limit of {}", ByteSize(*bytes), ByteSize(*bytes_max))]
    Full {
        /// How large it would be.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// The disk failed.
    #[error("state file {}", path.display())]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// A stored file is not what was written.
    #[error("state file {} is damaged at byte {at}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        at: u64,
        /// What is wrong.
        reason: &'static str,
    },
}

impl Classify for StoreError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Full { .. } => ErrorClass::Overloaded,
            Self::Disk { .. } => ErrorClass::Transient,
            Self::Damaged { .. } => ErrorClass::Corrupt,
        }
    }
}

/// Entries in order; an error ends them.
pub type Entries<'s> = Box<dyn Iterator<Item = Result<(Key, Entry), StoreError>> + 's>;

/// The local copy of a task's state.
///
/// It holds what is committed and nothing else: writes of a transaction on its way stand in a
/// [`WriteBatch`], and [`crate::View`] shows both together. Calls may block on a local disk.
pub trait Store: Debug + Send {
    /// Returns the committed entry under `key`.
    fn get(&self, family: FamilyId, key: &[u8]) -> Result<Option<Entry>, StoreError>;

    /// Walks the committed entries of `keys` in the order of their keys.
    fn range(&self, family: FamilyId, keys: &KeyRange) -> Result<Entries<'_>, StoreError>;

    /// Walks the committed entries that are due at `until` or before, by (time, key).
    fn due(&self, family: FamilyId, until: Timestamp) -> Result<Entries<'_>, StoreError>;

    /// Applies the batch, and the position if one is given, in one step: after a crash both are
    /// there or neither. Applying a batch a second time changes nothing, so a position may lag
    /// behind what is applied, never lead.
    fn commit(
        &mut self,
        batch: &WriteBatch,
        position: Option<LogPosition>,
    ) -> Result<(), StoreError>;

    /// Makes a durable copy of everything at `path`, which must not exist.
    fn checkpoint(&self, disk: &dyn Disk, path: &Path, label: &Label) -> Result<(), StoreError>;

    /// Returns how far the store is and what it takes.
    fn info(&self) -> StoreInfo;
}

impl Entry {
    /// Builds an entry that never falls due.
    pub fn new(value: &[u8]) -> Self {
        Self { value: value.into(), due: None }
    }

    /// Builds an entry that falls due at `due`.
    pub fn due_at(value: &[u8], due: Timestamp) -> Self {
        Self { value: value.into(), due: Some(due) }
    }
}

impl KeyRange {
    /// Every key.
    pub fn all() -> Self {
        Self { start: Vec::new(), end: None }
    }

    /// The keys from `start` up to, without, `end`; none when `end` is not behind `start`.
    pub fn between(start: &[u8], end: &[u8]) -> Self {
        Self { start: start.to_vec(), end: Some(end.max(start).to_vec()) }
    }

    /// The keys that begin with `prefix`.
    pub fn prefix(prefix: &[u8]) -> Self {
        // The first key behind them: the prefix with its last byte that can be raised, raised.
        let mut end = prefix.to_vec();
        while end.last() == Some(&u8::MAX) {
            end.pop();
        }
        let end = end.pop().map(|last| {
            end.push(last + 1);
            end
        });
        Self { start: prefix.to_vec(), end }
    }

    /// Returns whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.start.as_slice() <= key && self.end.as_deref().is_none_or(|end| key < end)
    }

    /// Returns the bounds, as sorted maps take them.
    pub(crate) fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let end = self.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        (Bound::Included(self.start.as_slice()), end)
    }
}

#[cfg(test)]
mod tests;
