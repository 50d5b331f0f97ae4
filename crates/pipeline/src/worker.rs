//! Threads for tasks, and the tasks that an assignment places on this worker.
//!
//! ```text
//!   assignment ── assigned, revoke, lost ──▶ group ──▶ thread 0: task, task …
//!   (one for each pipeline and sink)              └──▶ thread 1: task …
//! ```
//!
//! Each thread runs its own current-thread runtime, and a task stays on the thread that its
//! partition picks: processors and sinks are synchronous loops over batches with I/O at the edge,
//! and on a thread of their own they keep their caches warm and need no locks.
//!
//! A task that is revoked finishes its transaction and ends before the assignment hears that it is
//! released; a task that is lost is dropped as by a kill. The assignment only places work: what
//! keeps a second owner from doing harm is the fence of [`millstream_log::Log::open`].

mod group;
mod thread;

use std::fmt;
use std::pin::Pin;

use millstream_log::Assignment;
use millstream_model::{Classify, ErrorClass, TaskId};
use millstream_runtime::task::TaskError;
use millstream_runtime::{Context, TaskHandle, TaskKind, spawn};
use thiserror::Error;
use tokio::sync::watch;

use crate::failure::Failure;
use crate::status::TaskStatus;
use group::GroupRun;
use thread::Thread;

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
    /// What it says about itself.
    pub status: watch::Receiver<TaskStatus>,
    /// Starts it.
    pub start: Box<dyn FnOnce(Context) -> TaskFuture + Send>,
}

impl fmt::Debug for PinnedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, pin, status: _, start: _ } = self;
        f.debug_struct("PinnedTask")
            .field("name", name)
            .field("kind", kind)
            .field("pin", pin)
            .finish()
    }
}

/// Why a task could not be made from its settings.
pub type MakeError = Box<dyn std::error::Error + Send + Sync>;

/// Makes what runs for some tasks of the log, as often as they are assigned.
pub type Make = Box<dyn FnMut(&[TaskId]) -> Result<PinnedTask, MakeError> + Send>;

/// How the tasks of a group run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// Each by itself: a processor reads one partition.
    Each,
    /// All that are here as one, begun anew when one comes or goes: a table has one committer.
    Together,
}

/// The tasks of one pipeline or sink, run where its assignment places them.
pub struct Group {
    /// Its name, for logs.
    pub name: String,
    /// Tells which of the tasks are this worker's.
    pub assignment: Box<dyn Assignment>,
    /// How they run.
    pub grouping: Grouping,
    /// Makes what runs.
    pub make: Make,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, assignment: _, grouping, make: _ } = self;
        f.debug_struct("Group").field("name", name).field("grouping", grouping).finish()
    }
}

/// What runs on a worker now.
#[derive(Debug, Clone, Default)]
pub struct Placement {
    /// The groups that have not heard from their assignment yet.
    pub unplaced: usize,
    /// What keeps the tasks of each group from being placed, by the group's name.
    pub troubles: Vec<(String, watch::Receiver<Option<String>>)>,
    /// What runs, with the name of its group, and what it says, in no special order.
    pub tasks: Vec<(String, watch::Receiver<TaskStatus>)>,
}

impl Placement {
    /// Returns the groups of which nothing runs here because their assignment is in trouble, and
    /// which trouble. One that has tasks may be in trouble too: what that means, the tasks say.
    pub fn kept_away(&self) -> Vec<(String, String)> {
        let has_tasks = |name: &String| self.tasks.iter().any(|(group, _)| group == name);
        let idle = self.troubles.iter().filter(|(name, _)| !has_tasks(name));
        idle.filter_map(|(name, trouble)| Some((name.clone(), trouble.borrow().clone()?))).collect()
    }
}

/// A task that did not end as it was asked to.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// A task could not be made.
    #[error("make task {task}")]
    Make {
        /// Its name.
        task: TaskId,
        /// Why.
        source: MakeError,
    },
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
            Self::Make { .. } => ErrorClass::Invalid,
            Self::Ended { .. } | Self::Lost { .. } => ErrorClass::Bug,
        }
    }
}

/// Runs groups of tasks on threads of their own.
#[derive(Debug)]
pub struct Worker {
    settings: Settings,
    groups: Vec<Group>,
    placement: watch::Sender<Placement>,
}

impl Worker {
    /// Takes groups; nothing starts before [`Worker::run`].
    pub fn new(settings: Settings, groups: Vec<Group>) -> Self {
        let trouble = |group: &Group| (group.name.clone(), group.assignment.trouble());
        let troubles = groups.iter().map(trouble).collect();
        let placement = Placement { unplaced: groups.len(), troubles, tasks: Vec::new() };
        Self { settings, groups, placement: watch::Sender::new(placement) }
    }

    /// Returns what runs, now and later.
    pub fn placement(&self) -> watch::Receiver<Placement> {
        self.placement.subscribe()
    }

    /// Runs what the assignments give until `cx` is cancelled; then every task finishes what it
    /// began, and the assignments are dropped.
    ///
    /// A task that fails does not end the others. Returns what went wrong, in no special order.
    pub async fn run(self, cx: &Context) -> Vec<WorkerError> {
        let Self { settings, groups, placement } = self;
        let (threads, mut errors) = start_threads(settings.threads);
        if threads.is_empty() {
            return errors;
        }
        let starts: Vec<_> = threads.iter().map(Thread::starts).collect();
        let mut running: Vec<(String, TaskHandle<Vec<WorkerError>>)> = Vec::new();
        for group in groups {
            let name = group.name.clone();
            let run = GroupRun::new(group, starts.clone(), placement.clone());
            let cx_of_group = cx.clone();
            let run = async move { run.run(&cx_of_group).await };
            running.push((name, spawn(cx, TaskKind("group"), run)));
        }
        for (task, mut handle) in running {
            match handle.join().await {
                Ok(more) => errors.extend(more),
                Err(source) => errors.push(WorkerError::Ended { task, source }),
            }
        }
        // The last senders: threads end when nothing can be started on them any more.
        drop(starts);
        for thread in threads {
            errors.extend(thread.join().await.err());
        }
        errors
    }
}

fn start_threads(wanted: usize) -> (Vec<Thread>, Vec<WorkerError>) {
    let mut threads = Vec::new();
    let mut errors = Vec::new();
    for number in 0..wanted.max(1) {
        match Thread::start(number) {
            Ok(thread) => threads.push(thread),
            Err(error) => errors.push(error),
        }
    }
    (threads, errors)
}

#[cfg(test)]
mod tests;
