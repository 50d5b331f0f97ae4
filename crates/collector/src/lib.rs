//! HTTP intake: admission, validation, acknowledgement after the group commit.
//!
//! ```text
//!             ┌ acceptor ┐   ┌──────────────── worker thread ────────────────┐
//!  clients ──▶│ cap, back│──▶│ connection ▶ body ▶ validate ┐               │
//!             │ off      │   │ connection ▶ body ▶ validate ┴▶ combiner ─────┼─▶ Log::enqueue
//!             └──────────┘   └───────▲───────────────────────────── durable ─┘
//!                                    └ budget: bytes in flight, over all workers
//! ```
//!
//! Read [`collector`] for the life of the process's intake, `track` for the life of one request,
//! and `json` for what an event must be. Two ideas carry the crate: memory is admitted by bytes
//! *before* it is used, so that overload is a cheap 503 and never a growing heap; and requests
//! that are ready in the same turn of a worker share one append, so that thousands of one-event
//! requests cost the log a handful of calls.

mod acceptor;
mod answer;
mod body;
mod budget;
pub mod collector;
mod combiner;
pub mod config;
mod connection;
mod cors;
pub mod error;
pub mod json;
pub mod metrics;
mod outcome;
mod paced;
pub mod readiness;
mod request_context;
mod routes;
mod track;
mod worker;

pub use collector::{Bound, Collector, Settings, Topic};
pub use config::Config;
pub use error::{BindError, CollectorError, ConfigError};
pub use readiness::{AlwaysReady, Readiness, Verdict};
