//! The log: everything is a partitioned log, with one primitive on it, an atomic transaction of
//! records and positions.
//!
//! Read [`contract`] first: it is written so that a second person could implement it, and
//! [`conformance`] checks what it promises. There are two implementations here, the embedded
//! [`journal`] and the in-memory [`memory`] log for tests; Kafka's lives in a crate of its own.

pub mod assignment;
pub mod check;
#[cfg(feature = "test-support")]
pub mod conformance;
pub mod contract;
pub mod error;
pub mod journal;
#[cfg(feature = "test-support")]
pub mod memory;
pub mod metrics;
pub mod topic;
pub mod transaction;

pub use assignment::{Assignment, AssignmentEvent, EveryTask};
pub use contract::{
    Append, Bounds, FetchLimits, Fetched, Log, LogAdmin, LogReader, Opened, Owner, Reposition,
    Writer,
};
pub use error::{
    AdminError, EnqueueError, FetchError, OpenError, PositionRefused, ReaderError, RecordOutcome,
    TransactError,
};
pub use topic::{Topic, TopicConfig, TopicKind};
pub use transaction::{Appended, Committed, Consumed, Landed, OffsetBatch, Transaction};
