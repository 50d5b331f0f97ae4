//! What can go wrong with the collector as a whole; what is wrong with a request is an answer.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use millstream_model::topic::TopicNameError;
use millstream_model::{ByteSize, Classify, ErrorClass};
use millstream_runtime::task::TaskError;
use thiserror::Error;

use crate::json::FieldPathError;

/// A configuration value outside its range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A size.
    #[error("{key}: {value} is not between {min} and {max}")]
    Size {
        /// The key.
        key: &'static str,
        /// Its value.
        value: ByteSize,
        /// The least.
        min: ByteSize,
        /// The most.
        max: ByteSize,
    },
    /// A count.
    #[error("{key}: {value} is not between {min} and {max}")]
    Count {
        /// The key.
        key: &'static str,
        /// Its value.
        value: usize,
        /// The least.
        min: usize,
        /// The most.
        max: usize,
    },
    /// A time.
    #[error("{key}: {value:?} is not between {min:?} and {max:?}")]
    Time {
        /// The key.
        key: &'static str,
        /// Its value.
        value: Duration,
        /// The least.
        min: Duration,
        /// The most.
        max: Duration,
    },
    /// The topic's name.
    #[error("topic")]
    Topic(#[source] TopicNameError),
    /// The path of the routing key.
    #[error("key")]
    Key(#[source] FieldPathError),
}

impl ConfigError {
    /// Returns the key at fault.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Size { key, .. } | Self::Count { key, .. } | Self::Time { key, .. } => key,
            Self::Topic(_) => "topic",
            Self::Key(_) => "key",
        }
    }
}

/// Why the collector could not listen.
#[derive(Debug, Error)]
pub enum BindError {
    /// The configuration is out of range.
    #[error("collector configuration")]
    Config(#[from] ConfigError),
    /// The address is taken, not ours, or not allowed.
    #[error("listen on {listen}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Why the collector stopped serving.
#[derive(Debug, Error)]
pub enum CollectorError {
    /// A worker thread could not be started.
    #[error("start worker {worker}")]
    Start {
        /// Which.
        worker: usize,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The listening socket failed for good.
    #[error("listening socket")]
    Listener(#[source] io::Error),
    /// A worker thread ended by a panic.
    #[error("worker {worker} panicked")]
    Worker {
        /// Which.
        worker: usize,
    },
    /// A task of the collector ended by a panic.
    #[error("collector task")]
    Task(#[from] TaskError),
}

impl Classify for ConfigError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

impl Classify for BindError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Config(error) => error.class(),
            Self::Listen { .. } => ErrorClass::Invalid,
        }
    }
}

impl Classify for CollectorError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Start { .. } | Self::Listener(_) => ErrorClass::Transient,
            Self::Worker { .. } | Self::Task(_) => ErrorClass::Bug,
        }
    }
}
