//! The threads of a worker, and how a task runs on one of them.

use std::convert::Infallible;

use millstream_runtime::{Context, TaskHandle, TaskKind, spawn};
use tokio::sync::{mpsc, oneshot};

use super::{PinnedTask, WorkerError};

/// How many starts may wait for a thread; whoever starts one more waits.
const STARTS_MAX: usize = 64;

/// What starts tasks on one thread.
pub(super) type Starts = mpsc::Sender<Start>;

/// A task to be run on a thread.
#[derive(Debug)]
pub(super) struct Start {
    /// Cancelled when the task should finish what it began and end.
    pub(super) cx: Context,
    /// The task.
    pub(super) task: PinnedTask,
    /// Hears how the task ended; a task that nobody listens to any more is dropped.
    pub(super) ended: oneshot::Sender<Result<(), WorkerError>>,
}

/// One thread with a runtime of its own.
#[derive(Debug)]
pub(super) struct Thread {
    name: String,
    starts: Starts,
    /// Resolves, without a message, when the thread has run everything.
    done: oneshot::Receiver<Infallible>,
    handle: std::thread::JoinHandle<()>,
}

impl Thread {
    /// Starts a thread that runs tasks until nobody can start one any more.
    pub(super) fn start(number: usize) -> Result<Self, WorkerError> {
        let name = format!("ms-task-{number}");
        let (starts, incoming) = mpsc::channel(STARTS_MAX);
        let (tx, done) = oneshot::channel();
        let error = |source| WorkerError::Thread { thread: name.clone(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(error)?;
        let body = move || {
            runtime.block_on(run_tasks(incoming));
            drop(tx);
        };
        let handle = std::thread::Builder::new().name(name.clone()).spawn(body).map_err(error)?;
        Ok(Self { name, starts, done, handle })
    }

    /// Returns what starts tasks here.
    pub(super) fn starts(&self) -> Starts {
        self.starts.clone()
    }

    /// Waits for the end, which comes when every other [`Starts`] is gone.
    pub(super) async fn join(self) -> Result<(), WorkerError> {
        let Self { name, starts, done, handle } = self;
        drop(starts);
        let Err(_ended) = done.await;
        // That was the thread's last act: joining does not block.
        handle.join().map_err(|_panic| WorkerError::Lost { thread: name })
    }
}

async fn run_tasks(mut incoming: mpsc::Receiver<Start>) {
    let mut running: Vec<TaskHandle<()>> = Vec::new();
    while let Some(start) = incoming.recv().await {
        running.retain(|handle| !handle.is_finished());
        let cx = start.cx.clone();
        running.push(spawn(&cx, TaskKind("pinned"), run_task(start)));
    }
    for mut handle in running {
        if let Err(error) = handle.join().await {
            tracing::error!(%error, "a task's keeper ended");
        }
    }
}

/// Runs one task to its end, or drops it when nobody listens any more.
async fn run_task(Start { cx, task, mut ended }: Start) {
    let PinnedTask { name, kind, start, .. } = task;
    let mut handle = spawn(&cx, kind, start(cx.clone()));
    let result = tokio::select! {
        result = handle.join() => result,
        () = ended.closed() => return,
    };
    let result = match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(source)) => Err(WorkerError::Task { task: name, source }),
        Err(source) => {
            tracing::error!(task = name, error = %source, "task ended");
            Err(WorkerError::Ended { task: name, source })
        }
    };
    // Nobody listens only when the task was lost meanwhile.
    drop(ended.send(result));
}
