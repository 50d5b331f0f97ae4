//! Blocking calls into librdkafka, made from async code: bounded, named, and given up with their
//! context.

use std::time::Duration;

use millstream_log::{AdminError, OpenError, ReaderError, TransactError};
use millstream_model::{Classify, ErrorClass};
use millstream_runtime::{Cancelled, Context, TaskKind, spawn_blocking};
use thiserror::Error;
use tokio::time::timeout;

use crate::error::{KafkaError, Reason};
use crate::metrics;

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

/// What was done when a call as such failed.
const CALLING: &str = "make a blocking call";

/// Runs blocking work of a bounded time; given up with its context, it ends by itself.
///
/// What takes longer than all its own limits together hangs inside librdkafka: it is counted and
/// left to itself.
pub(crate) async fn run<T: Send + 'static>(
    cx: &Context,
    hang_time_max: Duration,
    kind: TaskKind,
    work: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, CallError> {
    let mut task = spawn_blocking(kind, work);
    match cx.run(timeout(hang_time_max, task.join())).await? {
        Ok(Ok(done)) => Ok(done?),
        Ok(Err(ended)) => {
            let detail = ended.to_string();
            Err(KafkaError::found(CALLING, Reason::Other { detail }).into())
        }
        Err(_elapsed) => {
            metrics::call_hung();
            tracing::error!(kind = kind.0, ?hang_time_max, "a call into librdkafka hangs");
            let detail = "it hangs inside librdkafka".to_owned();
            Err(KafkaError::found(CALLING, Reason::TimedOut { detail }).into())
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
