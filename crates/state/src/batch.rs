//! A write batch: what one transaction changes, not yet committed.

use std::collections::{BTreeMap, BTreeSet};

use millstream_model::Timestamp;

use crate::store::{Entry, FamilyId, Key, KeyRange};

/// The writes of one transaction; the last one of each key counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteBatch {
    families: BTreeMap<FamilyId, Changes>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Changes {
    /// `None` deletes.
    entries: BTreeMap<Key, Option<Entry>>,
    /// Invariant: the (time, key) of each entry that has a time.
    due: BTreeSet<(Timestamp, Key)>,
}

impl WriteBatch {
    /// Starts without a change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes an entry.
    pub fn put(&mut self, family: FamilyId, key: Key, entry: Entry) {
        self.set(family, key, Some(entry));
    }

    /// Deletes an entry, whether or not it is there.
    pub fn delete(&mut self, family: FamilyId, key: Key) {
        self.set(family, key, None);
    }

    /// Returns what the batch says of a key: nothing, that it is deleted, or its entry.
    pub fn get(&self, family: FamilyId, key: &[u8]) -> Option<Option<&Entry>> {
        let entry = self.families.get(&family)?.entries.get(key)?;
        Some(entry.as_ref())
    }

    /// Returns the number of keys that the batch changes.
    pub fn len(&self) -> usize {
        self.families.values().map(|changes| changes.entries.len()).sum()
    }

    /// Returns whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.families.is_empty()
    }

    /// Drops every change.
    pub fn clear(&mut self) {
        self.families.clear();
    }

    /// Walks the changes by family and key; `None` deletes.
    pub fn iter(&self) -> impl Iterator<Item = (FamilyId, &Key, Option<&Entry>)> {
        self.families.iter().flat_map(|(family, changes)| {
            changes.entries.iter().map(|(key, entry)| (*family, key, entry.as_ref()))
        })
    }

    /// Walks the changes of one family within `keys`.
    pub(crate) fn range<'b>(
        &'b self,
        family: FamilyId,
        keys: &KeyRange,
    ) -> impl Iterator<Item = (&'b Key, Option<&'b Entry>)> + use<'b> {
        let changes = self.families.get(&family);
        let range = changes.map(|changes| changes.entries.range::<[u8], _>(keys.bounds()));
        range.into_iter().flatten().map(|(key, entry)| (key, entry.as_ref()))
    }

    /// Walks what is written and due at `until` or before, by (time, key).
    pub(crate) fn due(
        &self,
        family: FamilyId,
        until: Timestamp,
    ) -> impl Iterator<Item = (&Key, &Entry)> {
        let changes = self.families.get(&family);
        changes.into_iter().flat_map(move |changes| {
            let due = changes.due.iter().take_while(move |(time, _)| *time <= until);
            due.filter_map(|(_, key)| Some((key, changes.entries.get(key)?.as_ref()?)))
        })
    }

    fn set(&mut self, family: FamilyId, key: Key, entry: Option<Entry>) {
        let changes = self.families.entry(family).or_default();
        let due = entry.as_ref().and_then(|entry| entry.due);
        let replaced = changes.entries.insert(Key::clone(&key), entry);
        if let Some(time) = replaced.flatten().and_then(|entry| entry.due) {
            changes.due.remove(&(time, Key::clone(&key)));
        }
        if let Some(time) = due {
            changes.due.insert((time, key));
        }
    }
}
