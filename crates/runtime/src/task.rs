//! Named, owned tasks.
//!
//! A task is started only here. Whoever starts it holds its [`TaskHandle`] and awaits it; a task
//! that panics is reported by name, not lost with its join error.

use std::any::Any;

use thiserror::Error;
use tokio::task::JoinHandle;
use tracing::{Instrument, info_span};

use crate::Context;

/// The name of a task: a fixed word that says what it does, shown in logs and profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskKind(pub &'static str);

/// A task ended without its output.
#[derive(Debug, Error)]
pub enum TaskError {
    /// The task panicked: a broken invariant of ours.
    #[error("task {} panicked: {message}", kind.0)]
    Panicked {
        /// Which task.
        kind: TaskKind,
        /// What it said.
        message: String,
    },
    /// The runtime was shut down before the task ended.
    #[error("task {} was aborted", kind.0)]
    Aborted {
        /// Which task.
        kind: TaskKind,
    },
}

/// Owns a task; [`TaskHandle::join`] awaits its end.
///
/// Dropping the handle aborts the task: a task without an owner does not go on.
#[derive(Debug)]
#[must_use = "a task needs an owner that awaits it"]
pub struct TaskHandle<T> {
    kind: TaskKind,
    handle: JoinHandle<T>,
}

impl<T> TaskHandle<T> {
    /// Waits for the task's output. Cancel-safe: awaiting again goes on waiting.
    pub async fn join(&mut self) -> Result<T, TaskError> {
        (&mut self.handle).await.map_err(|error| {
            let kind = self.kind;
            match error.try_into_panic() {
                Ok(payload) => TaskError::Panicked { kind, message: panic_message(&*payload) },
                Err(_aborted) => TaskError::Aborted { kind },
            }
        })
    }

    /// Returns whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// Returns the task's name.
    pub fn kind(&self) -> TaskKind {
        self.kind
    }
}

impl<T> Drop for TaskHandle<T> {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

/// Starts `future` as a task called `kind` on the current runtime.
///
/// The span of the task carries its name and, where there is one, the request id of `cx`.
#[expect(clippy::disallowed_methods, reason = "this is where tasks get their name and owner")]
pub fn spawn<T: Send + 'static>(
    cx: &Context,
    kind: TaskKind,
    future: impl Future<Output = T> + Send + 'static,
) -> TaskHandle<T> {
    let span = match cx.request_id() {
        Some(id) => info_span!("task", kind = kind.0, request_id = %id),
        None => info_span!("task", kind = kind.0),
    };
    TaskHandle { kind, handle: tokio::spawn(future.instrument(span)) }
}

/// Runs `work`, which may block for longer than 0.5 ms, apart from the worker threads.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where blocking work gets its name and owner"
)]
pub fn spawn_blocking<T: Send + 'static>(
    kind: TaskKind,
    work: impl FnOnce() -> T + Send + 'static,
) -> TaskHandle<T> {
    TaskHandle { kind, handle: tokio::task::spawn_blocking(work) }
}

#[cfg(test)]
mod tests;
