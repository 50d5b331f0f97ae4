//! What a task tells about itself: its state, its lag, its counts.

use millstream_model::{Classify as _, ErrorClass, Offset, TaskId, Timestamp, TopicPartition};
use millstream_runtime::Clock;
use tokio::sync::watch;

use crate::counts::Counts;

/// What a task does now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// It becomes the owner and reads what is committed.
    Opening,
    /// It has work.
    Running,
    /// It waits for records.
    Idle,
    /// It retries one thing until that succeeds; nothing is skipped.
    Stuck(Stuck),
    /// It finishes what it began, then stops.
    Draining,
    /// It ended as it was asked to.
    Stopped,
    /// It ended because going on would not be safe; a person must look.
    Failed(Stuck),
}

impl TaskState {
    /// Returns the lower-case name used in metrics and on the console.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Running => "running",
            Self::Idle => "idle",
            Self::Stuck(_) => "stuck",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Failed(_) => "failed",
        }
    }

    /// Returns whether the task does, or waits for, its ordinary work.
    pub fn is_healthy(&self) -> bool {
        !matches!(self, Self::Stuck(_) | Self::Failed(_))
    }
}

/// What holds a task up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// What it was doing: `open`, `fetch`, `transact`, or a sink's action.
    pub step: String,
    /// Why it does not succeed, with the remedy where there is one.
    pub reason: String,
    /// The class of the error.
    pub class: ErrorClass,
    /// When it first failed.
    pub since: Timestamp,
}

/// A task as admin shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskStatus {
    /// The task; a sink worker gives the name that its tasks share.
    pub task: TaskId,
    /// What it does now.
    pub state: TaskState,
    /// How far each input is read and committed.
    pub inputs: Vec<InputStatus>,
    /// The committed cumulative counts of all inputs together.
    pub counts: Counts,
    /// When the oldest record that waits was accepted, if any does and the task knows.
    pub oldest: Option<Timestamp>,
    /// What its steps remember; `None` where none of them does.
    pub keyed: Option<StateStatus>,
}

/// What a task remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateStatus {
    /// While the state is rebuilt: how far.
    pub restoring: Option<Restoring>,
    /// The number of entries.
    pub entries: u64,
    /// The memory that they take, in bytes.
    pub bytes: u64,
    /// Entries that were forgotten before their time, because there were too many, ever.
    pub evicted_early: u64,
}

/// How far a state is rebuilt from its changelog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restoring {
    /// Offsets read.
    pub read: u64,
    /// Offsets to read in all.
    pub total: u64,
}

/// How far one input is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputStatus {
    /// The input.
    pub partition: TopicPartition,
    /// The committed next offset.
    pub next: Offset,
    /// The end of the input when it was last looked at.
    pub end: Offset,
}

impl InputStatus {
    /// Returns how many offsets are not yet dealt with.
    pub fn lag(&self) -> u64 {
        self.end.0.saturating_sub(self.next.0)
    }
}

impl TaskStatus {
    /// Builds the status of a task that has not begun to open.
    pub fn new(task: TaskId) -> Self {
        Self {
            task,
            state: TaskState::Opening,
            inputs: Vec::new(),
            counts: Counts::default(),
            oldest: None,
            keyed: None,
        }
    }

    /// Returns how many offsets are not yet dealt with, all inputs together.
    pub fn lag(&self) -> u64 {
        self.inputs.iter().map(InputStatus::lag).sum()
    }
}

/// Publishes the status of one task.
#[derive(Debug)]
pub(crate) struct StatusReporter {
    sender: watch::Sender<TaskStatus>,
    clock: Clock,
}

impl StatusReporter {
    pub(crate) fn new(task: TaskId, clock: Clock) -> (Self, watch::Receiver<TaskStatus>) {
        let (sender, receiver) = watch::channel(TaskStatus::new(task));
        (Self { sender, clock }, receiver)
    }

    /// Returns the time.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Sets the state; tells nobody when it is the one already published.
    pub(crate) fn set(&self, state: TaskState) {
        self.sender.send_if_modified(|status| {
            let changed = status.state != state;
            if changed {
                tracing::debug!(task = %status.task, state = state.as_str(), "task state");
                status.state = state;
            }
            changed
        });
    }

    /// Sets the state unless it already shows something worse.
    pub(crate) fn set_unless(&self, state: TaskState, is_failing: bool) {
        if !is_failing {
            self.set(state);
        }
    }

    /// Reports what holds the task up; keeps the time of the first failure at the same step.
    pub(crate) fn stuck(&self, failure: &crate::failure::Failure) {
        let now = self.clock.now();
        self.sender.send_modify(|status| {
            let since = match &status.state {
                TaskState::Stuck(stuck) if stuck.step == failure.step => stuck.since,
                _ => now,
            };
            if since == now {
                tracing::warn!(task = %status.task, step = %failure.step, class = %failure.class(),
                    reason = %failure.reason, "task is stuck");
            }
            status.state = TaskState::Stuck(failure.to_stuck(since));
        });
    }

    /// Reports that the task gives up.
    pub(crate) fn failed(&self, failure: &crate::failure::Failure) {
        let now = self.clock.now();
        self.sender.send_modify(|status| {
            tracing::error!(task = %status.task, step = %failure.step, class = %failure.class(),
                reason = %failure.reason, "task failed");
            status.state = TaskState::Failed(failure.to_stuck(now));
        });
    }

    /// Changes the numbers of the status.
    pub(crate) fn update(&self, change: impl FnOnce(&mut TaskStatus)) {
        self.sender.send_modify(change);
    }
}
