//! What the steps of one task remember: committed state, and the writes of the transaction at hand.
//!
//! ```text
//!   begin ─▶ get, put … (each event) ─▶ settle ─▶ finish: changelog records into the transaction
//!     ▲                                              │ committed
//!     │ in doubt: what was written is dropped        ▼
//!     └──────────────────────────────────────────  committed: the store takes the batch
//! ```
//!
//! The truth is the changelog. The store in memory may lag behind it, never lead: its position
//! moves only where it is known that nobody else wrote in between (see [`KeyedState::committed`]).

mod books;
mod mark;

use millstream_model::{LogPosition, Offset, RecordBatchBuilder, Timestamp};
use millstream_state::{
    ChangelogError, Entry, FamilyId, Key, MemoryStore, Store as _, StoreError, View, WriteBatch,
    changelog,
};

pub use books::Books;
pub use mark::{MARK_SOURCE, Mark, MarkError};

use crate::status::StateStatus;

/// The family of the books; those of steps follow.
const BOOKS: FamilyId = FamilyId(0);

/// The state of one task.
#[derive(Debug)]
pub struct KeyedState {
    store: MemoryStore,
    /// What the transaction at hand changes.
    batch: WriteBatch,
    /// Where the state begins in the changelog.
    since: Offset,
    /// As the transaction at hand leaves them.
    books: Books,
    /// When the transaction at hand began.
    now: Timestamp,
    /// Events of the transaction at hand that came too late to be judged for sure.
    late: u64,
    /// What kept a step from reading its state; the transaction must not be committed.
    failure: Option<StoreError>,
    /// What the transaction at hand adds to the changelog, in bytes.
    batch_bytes: u64,
    /// What the changelog took since the last snapshot, in bytes.
    unsaved_bytes: u64,
    /// When the store's position was true last.
    as_of: Timestamp,
}

impl Default for KeyedState {
    fn default() -> Self {
        Self::new()
    }
}

impl KeyedState {
    /// Starts without anything to remember. The step that writes it bounds it.
    pub fn new() -> Self {
        Self {
            store: MemoryStore::new(u64::MAX),
            batch: WriteBatch::new(),
            since: Offset::ZERO,
            books: Books::default(),
            now: Timestamp::EPOCH,
            late: 0,
            failure: None,
            batch_bytes: 0,
            unsaved_bytes: 0,
            as_of: Timestamp::EPOCH,
        }
    }

    /// Starts a transaction at `now`; what an earlier one wrote and did not commit is dropped.
    pub fn begin(&mut self, now: Timestamp) {
        self.batch.clear();
        self.failure = None;
        self.late = 0;
        self.now = now;
        self.books = self.committed_books().unwrap_or_default();
        // What is there counts, not what was noted: a bound on something that is gone would make
        // a step forget what it still has.
        self.books.ids = self.entries_of_steps();
    }

    fn entries_of_steps(&self) -> u64 {
        // The store in memory does not fail.
        let has_books = matches!(self.store.get(BOOKS, &[]), Ok(Some(_)));
        self.store.info().entries - u64::from(has_books)
    }

    /// Returns the entry under `key`; what cannot be read fails the transaction and seems absent.
    pub fn get(&mut self, family: FamilyId, key: &[u8]) -> Option<Entry> {
        let found = View::new(&self.store, &mut self.batch).get(family, key);
        found.unwrap_or_else(|error| {
            self.failure = Some(error);
            None
        })
    }

    /// Writes an entry.
    pub fn put(&mut self, family: FamilyId, key: Key, entry: Entry) {
        self.batch.put(family, key, entry);
    }

    /// Deletes an entry.
    pub fn delete(&mut self, family: FamilyId, key: Key) {
        self.batch.delete(family, key);
    }

    /// Returns the entries of a family that have a time, earliest first, as long as `is_wanted`
    /// says so of the time, and at most `count_max` of them.
    pub fn earliest(
        &mut self,
        family: FamilyId,
        count_max: usize,
        mut is_wanted: impl FnMut(Timestamp) -> bool,
    ) -> Vec<Key> {
        let view = View::new(&self.store, &mut self.batch);
        let until = Timestamp::from_millis(i64::MAX);
        let found = view.due(family, until).and_then(|due| {
            let wanted = due.take(count_max).take_while(|item| match item {
                Ok((_, entry)) => entry.due.is_some_and(&mut is_wanted),
                Err(_) => true,
            });
            wanted.map(|item| item.map(|(key, _)| key)).collect()
        });
        found.unwrap_or_else(|error| {
            self.failure = Some(error);
            Vec::new()
        })
    }

    /// Moves the stream's time on to `accepted`, but not beyond our clock: an event from the far
    /// future must not make everything look old. Returns the stream's time.
    pub fn observe(&mut self, accepted: Timestamp) -> Timestamp {
        // Our clock may have been set back: then the stream follows it.
        self.books.time = self.books.time.max(accepted).min(self.now);
        self.books.time
    }

    /// Counts an event that came so late that what it should be compared with may be forgotten.
    pub fn count_late(&mut self) {
        self.late += 1;
    }

    /// Returns how many events came too late since [`KeyedState::begin`].
    pub fn take_late(&mut self) -> u64 {
        std::mem::take(&mut self.late)
    }

    /// The books of the transaction at hand.
    pub fn books_mut(&mut self) -> &mut Books {
        &mut self.books
    }

    /// Ends the transaction's writes: adds them to `records`.
    pub fn finish(&mut self, records: &mut RecordBatchBuilder) {
        self.books.transactions += 1;
        self.batch.put(BOOKS, Key::from([]), Entry::new(&self.books.encode()));
        changelog::encode(&self.batch, self.now, records);
        self.batch_bytes = records.bytes_len() as u64;
    }

    /// Returns what kept a step from reading its state since [`KeyedState::begin`].
    pub fn take_failure(&mut self) -> Option<StoreError> {
        self.failure.take()
    }

    /// Returns what the transaction at hand is to note among the task's positions.
    pub fn mark(&self, partitions: u32) -> Mark {
        Mark { partitions, transactions: self.books.transactions, since: self.since }
    }

    /// Takes over what was committed.
    ///
    /// `position` is the end of the changelog looked up *before* the transaction, if it was: that
    /// the transaction was not fenced proves that nobody else had written up to there.
    pub fn committed(&mut self, position: Option<LogPosition>) -> Result<(), StoreError> {
        self.store.commit(&self.batch, position)?;
        if position.is_some() {
            self.as_of = self.now;
        }
        self.batch.clear();
        self.unsaved_bytes += std::mem::take(&mut self.batch_bytes);
        Ok(())
    }

    /// Takes over records that were read from the changelog, up to `position`, at `now`.
    pub fn restored(
        &mut self,
        batch: &WriteBatch,
        position: LogPosition,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.as_of = now;
        self.store.commit(batch, Some(position))
    }

    /// Returns the books as they are committed.
    pub fn committed_books(&self) -> Result<Books, ChangelogError> {
        // The store in memory does not fail.
        match self.store.get(BOOKS, &[]) {
            Ok(Some(entry)) => Books::decode(&entry.value).ok_or(ChangelogError::Value),
            Ok(None) | Err(_) => Ok(Books::default()),
        }
    }

    /// Sets where the state begins in the changelog.
    pub fn set_since(&mut self, since: Offset) {
        self.since = since;
    }

    /// Replaces the store, as of `now`, by one from a snapshot or an empty one.
    pub fn reset(&mut self, store: MemoryStore, now: Timestamp) {
        self.batch.clear();
        self.store = store;
        self.as_of = now;
        self.unsaved_bytes = 0;
    }

    /// Takes the store away, for a snapshot; give it back with [`KeyedState::give_back`].
    pub fn take_store(&mut self) -> MemoryStore {
        std::mem::replace(&mut self.store, MemoryStore::new(u64::MAX))
    }

    /// Gives the store back.
    pub fn give_back(&mut self, store: MemoryStore) {
        self.store = store;
        self.unsaved_bytes = 0;
    }

    /// Returns what the changelog took since the last snapshot, in bytes.
    pub fn unsaved_bytes(&self) -> u64 {
        self.unsaved_bytes
    }

    /// Returns where reading the changelog goes on, and when that was true.
    pub fn position(&self) -> Option<(LogPosition, Timestamp)> {
        Some((self.store.info().position?, self.as_of))
    }

    /// Returns what is shown of the state.
    pub fn status(&self) -> StateStatus {
        let info = self.store.info();
        let evicted_early = self.committed_books().unwrap_or_default().evicted_early;
        StateStatus { restoring: None, entries: info.entries, bytes: info.bytes, evicted_early }
    }
}

#[cfg(test)]
mod tests;
