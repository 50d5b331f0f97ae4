//! Keyed state of tasks: what a step remembers from one event to the next.
//!
//! ```text
//!   step ── get, put, delete, range, due ──▶ View = WriteBatch over Store
//!                                              │ batch as records of the changelog
//!                                              ▼
//!                        one transaction {outputs, changelog, consumed, counts}
//!                                              │ committed            │ in doubt
//!                                              ▼                      ▼
//!                                   Store::commit(batch)      the batch is dropped
//! ```
//!
//! The changelog is the state; a [`Store`] is only the local copy of it that can be asked
//! quickly, and a [`snapshot`] only spares reading the changelog from its start. Start with
//! [`store`], the contract; then [`batch`] and [`view`], which make a transaction's own writes
//! visible to it; [`memory`] is the store in memory, [`changelog`] how a change stands in a record.
//!
//! This crate moves no records: it does not see the log. Whoever owns the task does that.

pub mod store;

pub mod batch;
pub mod changelog;
#[cfg(feature = "test-support")]
pub mod fuzz;
pub mod memory;
pub mod snapshot;
pub mod view;

pub use batch::WriteBatch;
pub use changelog::{Change, ChangelogError};
pub use memory::MemoryStore;
pub use snapshot::{Identity, Loaded, SnapshotDir};
pub use store::{Entry, FamilyId, Key, KeyRange, Label, Store, StoreError, StoreInfo};
pub use view::View;
