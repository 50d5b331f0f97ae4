//! The store in memory: sorted maps, with every byte accounted for.
//!
//! It is a cache of the changelog: what a crash takes from it is read again. Its size has a bound
//! that is checked before anything changes; whoever may meet it evicts first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use millstream_model::{LogPosition, Timestamp};
use millstream_runtime::Disk;

use crate::batch::WriteBatch;
use crate::snapshot;
use crate::store::{Entries, Entry, FamilyId, Key, KeyRange, Label, Store, StoreError, StoreInfo};

/// What an entry takes beside the bytes of its key and its value: two pointers and a length each
/// in a node of a B-tree that is two thirds full, the key's reference counts, and what the
/// allocator rounds up.
pub const ENTRY_OVERHEAD_BYTES: u64 = 128;

/// What a timer takes: a place in a second B-tree; the key is shared.
pub const TIMER_OVERHEAD_BYTES: u64 = 64;

/// A store in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryStore {
    families: BTreeMap<FamilyId, Family>,
    /// Invariant: what [`bytes_of`] says of all entries together.
    bytes: u64,
    bytes_max: u64,
    position: Option<LogPosition>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Family {
    entries: BTreeMap<Key, Entry>,
    /// Invariant: the (time, key) of each entry that has a time.
    due: BTreeSet<(Timestamp, Key)>,
}

/// Returns the memory that an entry takes, in bytes.
pub fn bytes_of(key: &[u8], entry: &Entry) -> u64 {
    let timer = if entry.due.is_some() { TIMER_OVERHEAD_BYTES } else { 0 };
    (key.len() + entry.value.len()) as u64 + ENTRY_OVERHEAD_BYTES + timer
}

impl MemoryStore {
    /// Builds an empty store that takes at most `bytes_max`.
    pub fn new(bytes_max: u64) -> Self {
        Self { families: BTreeMap::new(), bytes: 0, bytes_max, position: None }
    }

    /// Returns how many bytes the store would take after `batch`.
    pub fn bytes_after(&self, batch: &WriteBatch) -> u64 {
        let mut bytes = self.bytes;
        for (family, key, entry) in batch.iter() {
            bytes += entry.map_or(0, |entry| bytes_of(key, entry));
            let family = self.families.get(&family);
            let replaced = family.and_then(|family| family.entries.get(key));
            bytes -= replaced.map_or(0, |entry| bytes_of(key, entry));
        }
        bytes
    }

    /// Walks every entry by family and key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (FamilyId, &Key, &Entry)> {
        self.families.iter().flat_map(|(family, entries)| {
            entries.entries.iter().map(|(key, entry)| (*family, key, entry))
        })
    }

    fn set(&mut self, family: FamilyId, key: &Key, entry: Option<&Entry>) {
        let family = self.families.entry(family).or_default();
        let replaced = match entry {
            Some(entry) => {
                if let Some(time) = entry.due {
                    family.due.insert((time, Key::clone(key)));
                }
                self.bytes += bytes_of(key, entry);
                family.entries.insert(Key::clone(key), entry.clone())
            }
            None => family.entries.remove(key),
        };
        let Some(replaced) = replaced else { return };
        self.bytes -= bytes_of(key, &replaced);
        let new_due = entry.and_then(|entry| entry.due);
        if let Some(time) = replaced.due.filter(|time| Some(*time) != new_due) {
            family.due.remove(&(time, Key::clone(key)));
        }
    }
}

impl Store for MemoryStore {
    fn get(&self, family: FamilyId, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        let family = self.families.get(&family);
        Ok(family.and_then(|family| family.entries.get(key)).cloned())
    }

    fn range(&self, family: FamilyId, keys: &KeyRange) -> Result<Entries<'_>, StoreError> {
        let family = self.families.get(&family);
        let entries = family.map(|family| family.entries.range::<[u8], _>(keys.bounds()));
        let entries = entries.into_iter().flatten();
        Ok(Box::new(entries.map(|(key, entry)| Ok((Key::clone(key), entry.clone())))))
    }

    fn due(&self, family: FamilyId, until: Timestamp) -> Result<Entries<'_>, StoreError> {
        let Some(family) = self.families.get(&family) else {
            return Ok(Box::new(std::iter::empty()));
        };
        let due = family.due.iter().take_while(move |(time, _)| *time <= until);
        Ok(Box::new(due.map(|(_, key)| {
            let entry = family.entries.get(key).expect("a timer never outlives its entry");
            Ok((Key::clone(key), entry.clone()))
        })))
    }

    fn commit(
        &mut self,
        batch: &WriteBatch,
        position: Option<LogPosition>,
    ) -> Result<(), StoreError> {
        let (bytes, bytes_max) = (self.bytes_after(batch), self.bytes_max);
        // A batch that makes the store smaller is taken whatever the bound says.
        if bytes > bytes_max && bytes > self.bytes {
            return Err(StoreError::Full { bytes, bytes_max });
        }
        for (family, key, entry) in batch.iter() {
            self.set(family, key, entry);
        }
        assert!(self.bytes == bytes, "accounted for {bytes} bytes, found {}", self.bytes);
        if position.is_some() {
            self.position = position;
        }
        Ok(())
    }

    fn checkpoint(&self, disk: &dyn Disk, path: &Path, label: &Label) -> Result<(), StoreError> {
        snapshot::write(self, disk, path, label)
    }

    fn info(&self) -> StoreInfo {
        let entries = self.families.values().map(|family| family.entries.len() as u64).sum();
        StoreInfo { position: self.position, entries, bytes: self.bytes }
    }
}

#[cfg(test)]
mod tests;
