//! Which tasks this worker owns now.
//!
//! An assignment only places work: whether an owner may commit is decided by the fence of
//! [`crate::Log::open`] alone.

use async_trait::async_trait;
use millstream_model::TaskId;
use millstream_runtime::{Cancelled, Context};
use tokio::sync::watch;

/// A change of what this worker owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssignmentEvent {
    /// Open these tasks and run them.
    Assigned(Vec<TaskId>),
    /// Drain these tasks, commit and release them, then call [`Assignment::released`].
    Revoke(Vec<TaskId>),
    /// Somebody else owns these tasks already: drop everything in memory, commit nothing.
    Lost(Vec<TaskId>),
}

/// Tells a worker which tasks it owns.
#[async_trait]
pub trait Assignment: Send {
    /// Waits for the next change. Cancel-safe.
    async fn next(&mut self, cx: &Context) -> Result<AssignmentEvent, Cancelled>;

    /// Ends the revocation of `tasks`: they are drained and committed.
    async fn released(&mut self, cx: &Context, tasks: &[TaskId]) -> Result<(), Cancelled>;

    /// Returns what keeps tasks from being placed here, now and later; `None` while nothing does.
    fn trouble(&self) -> watch::Receiver<Option<String>> {
        watch::Sender::new(None).subscribe()
    }
}

/// Every task, assigned once and never revoked: the embedded journal belongs to one process.
#[derive(Debug)]
pub struct EveryTask {
    pending: Option<Vec<TaskId>>,
}

impl EveryTask {
    /// Assigns `tasks`.
    pub fn new(tasks: Vec<TaskId>) -> Self {
        Self { pending: Some(tasks) }
    }
}

#[async_trait]
impl Assignment for EveryTask {
    async fn next(&mut self, cx: &Context) -> Result<AssignmentEvent, Cancelled> {
        match self.pending.take() {
            Some(tasks) => Ok(AssignmentEvent::Assigned(tasks)),
            None => Err(cx.cancelled().await),
        }
    }

    async fn released(&mut self, _cx: &Context, _tasks: &[TaskId]) -> Result<(), Cancelled> {
        Ok(())
    }
}
