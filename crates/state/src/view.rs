//! What a transaction sees: the committed state under its own writes.

use std::cmp::Ordering;
use std::iter::Peekable;

use millstream_model::Timestamp;

use crate::batch::WriteBatch;
use crate::store::{Entries, Entry, FamilyId, Key, KeyRange, Store, StoreError};

/// The committed state and a batch of writes over it; reads see both.
#[derive(Debug)]
pub struct View<'s> {
    store: &'s dyn Store,
    batch: &'s mut WriteBatch,
}

impl<'s> View<'s> {
    /// Lays `batch` over `store`.
    pub fn new(store: &'s dyn Store, batch: &'s mut WriteBatch) -> Self {
        Self { store, batch }
    }

    /// Returns the entry under `key`, as the transaction's own writes leave it.
    pub fn get(&self, family: FamilyId, key: &[u8]) -> Result<Option<Entry>, StoreError> {
        match self.batch.get(family, key) {
            Some(entry) => Ok(entry.cloned()),
            None => self.store.get(family, key),
        }
    }

    /// Writes an entry, for this transaction to see and for the commit to keep.
    pub fn put(&mut self, family: FamilyId, key: Key, entry: Entry) {
        self.batch.put(family, key, entry);
    }

    /// Deletes an entry.
    pub fn delete(&mut self, family: FamilyId, key: Key) {
        self.batch.delete(family, key);
    }

    /// Walks the entries of `keys` in the order of their keys.
    pub fn range(&self, family: FamilyId, keys: &KeyRange) -> Result<Entries<'_>, StoreError> {
        let written = self.batch.range(family, keys);
        let written = written.map(|(key, entry)| (Key::clone(key), entry.cloned()));
        Ok(Box::new(Merged {
            committed: self.store.range(family, keys)?.peekable(),
            written: written.peekable(),
            order: |key, _entry, other, _written| key.cmp(other),
        }))
    }

    /// Walks the entries that are due at `until` or before, by (time, key).
    pub fn due(&self, family: FamilyId, until: Timestamp) -> Result<Entries<'_>, StoreError> {
        let committed = self.store.due(family, until)?;
        // What the batch wrote or deleted has another time now, or none.
        let committed = committed.filter(move |item| match item {
            Ok((key, _)) => self.batch.get(family, key).is_none(),
            Err(_) => true,
        });
        let written = self.batch.due(family, until);
        let written = written.map(|(key, entry)| (Key::clone(key), Some(entry.clone())));
        Ok(Box::new(Merged {
            committed: committed.peekable(),
            written: written.peekable(),
            order: |key, entry, other, written| {
                let due = written.and_then(|written| written.due);
                entry.due.cmp(&due).then_with(|| key.cmp(other))
            },
        }))
    }
}

/// Compares a committed entry with a written one.
type Order = fn(&Key, &Entry, &Key, Option<&Entry>) -> Ordering;

/// Two sorted runs as one; where both have a key, the written one counts.
struct Merged<C: Iterator, W: Iterator> {
    committed: Peekable<C>,
    written: Peekable<W>,
    order: Order,
}

impl<C, W> Iterator for Merged<C, W>
where
    C: Iterator<Item = Result<(Key, Entry), StoreError>>,
    W: Iterator<Item = (Key, Option<Entry>)>,
{
    type Item = Result<(Key, Entry), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let order = match (self.committed.peek(), self.written.peek()) {
                (Some(Ok((key, entry))), Some((other, written))) => {
                    (self.order)(key, entry, other, written.as_ref())
                }
                (Some(_), _) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return None,
            };
            if order == Ordering::Less {
                return self.committed.next();
            }
            if order == Ordering::Equal {
                // Hidden by what was written.
                drop(self.committed.next());
            }
            if let Some((key, Some(entry))) = self.written.next() {
                return Some(Ok((key, entry)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
