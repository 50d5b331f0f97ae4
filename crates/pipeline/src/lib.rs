//! Events, cleaning steps, and the runners of processor and sink tasks.
//!
//! ```text
//!                    ┌────────────── processor (one task per partition) ─────────────┐
//!   events ── fetch ─┤ event: parse ─▶ steps ─▶ schema ─▶ one transaction of         ├─▶ events-clean
//!                    │                                    records, dead letters,     ├─▶ events-dead
//!                    │                                    consumed, counts           │
//!                    └───────────────────────────────────────────────────────────────┘
//!   events-clean ──── fetch ─▶ sink worker (one per table) ─▶ Sink::commit ─▶ register in the log
//! ```
//!
//! With Kafka the collector's journal is a spool, and [`spool`] forwards it: journal ─▶ Kafka.
//!
//! Start with [`event`], then [`step`], then [`cleaner`], which joins them and is plain synchronous
//! code without I/O; what steps remember stands in [`keyed_state`]. [`processor`] and [`sink`] are
//! the thin asynchronous shells that carry the guarantees: *in doubt, drop everything and reopen*.
//! [`worker`] runs them where an assignment places them, each on its thread.

mod attempt;
pub mod cleaner;
mod config_error;
pub mod counts;
pub mod datetime;
pub mod dead_letter;
pub mod event;
pub mod failure;
pub mod keyed_state;
pub mod metrics;
pub mod processor;
pub mod schema;
pub mod sink;
pub mod spool;
pub mod status;
pub mod step;
pub mod worker;

pub use cleaner::{Cleaner, CleanerError, Outputs};
pub use config_error::ConfigError;
pub use counts::Counts;
pub use dead_letter::{DeadLetter, Origin};
pub use event::{Event, EventBuffers, Path, RawValue};
pub use failure::Failure;
pub use keyed_state::KeyedState;
pub use processor::Processor;
pub use schema::{Column, ColumnType, RowReader, Schema};
pub use sink::{Sink, SinkWorker};
pub use spool::Forwarder;
pub use status::{InputStatus, Restoring, StateStatus, Stuck, TaskState, TaskStatus};
pub use step::{Step, StepConfig, StepContext, Verdict};
pub use worker::{PinnedTask, Worker};
