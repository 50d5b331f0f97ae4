//! What a node does, one file for each role: built from the configuration, then run as a task.

pub(crate) mod clean;
pub(crate) mod collector;
pub(crate) mod sink;

use millstream_pipeline::{TaskStatus, Worker};
use tokio::sync::watch;

/// Tasks that are built and do not run yet.
#[derive(Debug)]
pub(crate) struct Built {
    /// Runs them.
    pub(crate) worker: Worker,
    /// What they will say.
    pub(crate) statuses: Vec<watch::Receiver<TaskStatus>>,
}
