//! Blocking calls into librdkafka, made from async code: bounded, named, and given up with their
//! context.

use millstream_log::{AdminError, OpenError, ReaderError, TransactError};
use millstream_model::{Classify, ErrorClass};
use millstream_runtime::{Cancelled, Context, TaskKind, spawn_blocking};
use thiserror::Error;

use crate::error::{KafkaError, Reason};

/// Why a call brought nothing.
#[derive(Debug, Error)]
pub enum CallError {
    /// Kafka did not do it.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The caller gave up.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Runs blocking work of a bounded time; given up with its context, it ends by itself.
pub(crate) async fn run<T: Send + 'static>(
    cx: &Context,
    kind: TaskKind,
    work: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, CallError> {
    let mut task = spawn_blocking(kind, work);
    match cx.run(task.join()).await? {
        Ok(done) => Ok(done?),
        Err(ended) => {
            let detail = ended.to_string();
            Err(KafkaError::found("make a blocking call", Reason::Other { detail }).into())
        }
    }
}

impl Classify for CallError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Kafka(error) => error.class(),
            Self::Cancelled(error) => error.class(),
        }
    }
}

impl From<CallError> for OpenError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Kafka(error) => Self::Storage(error.into_io()),
            CallError::Cancelled(error) => Self::Cancelled(error),
        }
    }
}

impl From<CallError> for ReaderError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Kafka(error) => Self::Storage(error.into_io()),
            CallError::Cancelled(error) => Self::Cancelled(error),
        }
    }
}

impl From<CallError> for AdminError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Kafka(error) => Self::Storage(error.into_io()),
            CallError::Cancelled(error) => Self::Cancelled(error),
        }
    }
}

impl From<CallError> for TransactError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Kafka(error) => Self::Storage(error.into_io()),
            CallError::Cancelled(error) => Self::Cancelled(error),
        }
    }
}
