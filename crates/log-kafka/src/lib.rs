//! The log on Apache Kafka: the second implementation of `millstream_log`'s contract, and the only
//! crate that knows librdkafka.
//!
//! Read [`kafka_log`] first, then [`cluster`], which all parts share. A task's life is in [`open`]
//! and [`writer`], what it reads in [`reader`], what has no owner in [`enqueue`]. In any doubt a
//! client is destroyed and the task opened again; [`positions`] says where it goes on.

pub mod admin;
pub mod assignment;
mod call;
pub mod client;
pub mod cluster;
pub mod config;
pub mod enqueue;
pub mod error;
mod ffi;
pub mod kafka_log;
mod message;
pub mod metrics;
pub mod names;
mod open;
mod positions;
pub mod reader;
mod reaper;
pub mod topics;
mod writer;

pub use call::CallError;
pub use config::{Config, Settings};
pub use error::{KafkaError, is_away};
pub use kafka_log::KafkaLog;
