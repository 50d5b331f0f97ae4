//! Threads for tasks: each thread runs its own current-thread runtime, and a task stays on the
//! thread that its partition picks.
//!
//! Processors and sinks are synchronous loops over batches with I/O at the edge: on a thread of
//! their own they keep their caches warm and need no locks.

use std::fmt;
use std::pin::Pin;

use millstream_model::{Classify, ErrorClass};
use millstream_runtime::task::TaskError;
use millstream_runtime::{Context, TaskHandle, TaskKind, spawn};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::failure::Failure;

/// How many threads run the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The number of threads; at least one is started.
    pub threads: usize,
}

/// The future of a task, made on the thread that runs it.
pub type TaskFuture = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// A task and the thread it belongs to.
pub struct PinnedTask {
    /// Its name, for logs and errors.
    pub name: String,
    /// What kind of task it is.
    pub kind: TaskKind,
    /// Tasks with the same number, modulo the threads, share a thread: the partition's number.
    pub pin: u32,
    /// Starts it.
    pub start: Box<dyn FnOnce(Context) -> TaskFuture + Send>,
}

impl fmt::Debug for PinnedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, pin, start: _ } = self;
        f.debug_struct("PinnedTask")
            .field("name", name)
            .field("kind", kind)
            .field("pin", pin)
            .finish()
    }
}

/// A task that did not end as it was asked to.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// A task gave up.
    #[error("task {task}")]
    Task {
        /// Its name.
        task: String,
        /// Why.
        source: Failure,
    },
    /// A task panicked.
    #[error("task {task}")]
    Ended {
        /// Its name.
        task: String,
        /// What it said.
        source: TaskError,
    },
    /// A thread could not be started.
    #[error("thread {thread}")]
    Thread {
        /// Its name.
        thread: String,
        /// Why.
        source: std::io::Error,
    },
    /// A thread ended without a word.
    #[error("thread {thread} ended before its tasks")]
    Lost {
        /// Its name.
        thread: String,
    },
}

impl Classify for WorkerError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Task { source, .. } => source.class(),
            Self::Thread { .. } => ErrorClass::Transient,
            Self::Ended { .. } | Self::Lost { .. } => ErrorClass::Bug,
        }
    }
}

/// Runs tasks on threads of their own.
#[derive(Debug)]
pub struct Worker {
    settings: Settings,
    tasks: Vec<PinnedTask>,
}

impl Worker {
    /// Takes tasks; nothing starts before [`Worker::run`].
    pub fn new(settings: Settings, tasks: Vec<PinnedTask>) -> Self {
        Self { settings, tasks }
    }

    /// Runs the tasks until all have ended, which they do after `cx` is cancelled.
    ///
    /// A task that fails does not end the others. Returns what went wrong, in no special order.
    pub async fn run(self, cx: &Context) -> Vec<WorkerError> {
        let threads = self.settings.threads.clamp(1, self.tasks.len().max(1));
        let mut shares: Vec<Vec<PinnedTask>> = (0..threads).map(|_| Vec::new()).collect();
        for task in self.tasks {
            shares[task.pin as usize % threads].push(task);
        }
        let mut errors = Vec::new();
        let mut running = Vec::new();
        for (number, share) in shares.into_iter().enumerate().filter(|(_, share)| !share.is_empty())
        {
            match Thread::start(cx, number, share) {
                Ok(thread) => running.push(thread),
                Err(error) => errors.push(error),
            }
        }
        for thread in running {
            errors.extend(thread.join().await);
        }
        errors
    }
}

/// One thread and the word of its end.
struct Thread {
    name: String,
    done: oneshot::Receiver<Vec<WorkerError>>,
    handle: std::thread::JoinHandle<()>,
}

impl Thread {
    fn start(cx: &Context, number: usize, share: Vec<PinnedTask>) -> Result<Self, WorkerError> {
        let name = format!("ms-task-{number}");
        let (tx, done) = oneshot::channel();
        let error = |source| WorkerError::Thread { thread: name.clone(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(error)?;
        let cx = cx.child();
        let body = move || {
            let errors = runtime.block_on(run_share(&cx, share));
            // Nobody listens only when the worker itself was dropped: then nobody wants to know.
            drop(tx.send(errors));
        };
        let handle = std::thread::Builder::new().name(name.clone()).spawn(body).map_err(error)?;
        Ok(Self { name, done, handle })
    }

    async fn join(self) -> Vec<WorkerError> {
        // A thread that panicked sent nothing: its end below says so.
        let mut errors = self.done.await.unwrap_or_default();
        // The word is the thread's last act: joining does not block.
        if self.handle.join().is_err() {
            errors.push(WorkerError::Lost { thread: self.name });
        }
        errors
    }
}

async fn run_share(cx: &Context, share: Vec<PinnedTask>) -> Vec<WorkerError> {
    let mut running: Vec<(String, TaskHandle<Result<(), Failure>>)> = Vec::new();
    for PinnedTask { name, kind, start, .. } in share {
        running.push((name, spawn(cx, kind, start(cx.clone()))));
    }
    let mut errors = Vec::new();
    for (task, mut handle) in running {
        match handle.join().await {
            Ok(Ok(())) => {}
            Ok(Err(source)) => errors.push(WorkerError::Task { task, source }),
            Err(source) => {
                tracing::error!(task, error = %source, "task ended");
                errors.push(WorkerError::Ended { task, source });
            }
        }
    }
    errors
}

#[cfg(test)]
mod tests;
