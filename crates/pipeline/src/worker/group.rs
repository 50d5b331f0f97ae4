//! One group on a worker: follows its assignment, and starts and ends tasks as it says.

use std::collections::BTreeSet;

use millstream_log::{Assignment, AssignmentEvent};
use millstream_model::TaskId;
use millstream_runtime::Context;
use tokio::sync::{oneshot, watch};
use tracing::{info, warn};

use super::thread::{Start, Starts};
use super::{Group, Grouping, Make, Placement, WorkerError};
use crate::status::TaskStatus;

/// How what is no longer wanted here ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It finishes what it began and commits.
    Drain,
    /// It is dropped as by a kill, and commits nothing more.
    Drop,
}

/// Some tasks of the log that run as one.
struct Unit {
    tasks: BTreeSet<TaskId>,
    cx: Context,
    status: watch::Receiver<TaskStatus>,
    ended: oneshot::Receiver<Result<(), WorkerError>>,
}

/// A group that runs.
pub(super) struct GroupRun {
    name: String,
    assignment: Box<dyn Assignment>,
    grouping: Grouping,
    make: Make,
    starts: Vec<Starts>,
    placement: watch::Sender<Placement>,
    is_placed: bool,
    owned: BTreeSet<TaskId>,
    units: Vec<Unit>,
    errors: Vec<WorkerError>,
}

impl GroupRun {
    pub(super) fn new(
        group: Group,
        starts: Vec<Starts>,
        placement: watch::Sender<Placement>,
    ) -> Self {
        let Group { name, assignment, grouping, make } = group;
        Self {
            name,
            assignment,
            grouping,
            make,
            starts,
            placement,
            is_placed: false,
            owned: BTreeSet::new(),
            units: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Follows the assignment until `cx` is cancelled, then drains what runs.
    pub(super) async fn run(mut self, cx: &Context) -> Vec<WorkerError> {
        while let Ok(event) = self.assignment.next(cx).await {
            let change = self.follow(cx, event).await;
            self.place();
            if let Some(released) = change
                && self.assignment.released(cx, &released).await.is_err()
            {
                break;
            }
        }
        self.owned.clear();
        self.settle(cx, Ending::Drain).await;
        self.place();
        self.errors
    }

    /// Does what the assignment says; returns the tasks that it waits for.
    async fn follow(&mut self, cx: &Context, event: AssignmentEvent) -> Option<Vec<TaskId>> {
        match event {
            AssignmentEvent::Assigned(tasks) => {
                info!(group = self.name, tasks = names(&tasks), "tasks come to this worker");
                self.owned.extend(tasks);
                self.settle(cx, Ending::Drain).await;
                None
            }
            AssignmentEvent::Revoke(tasks) => {
                info!(
                    group = self.name,
                    tasks = names(&tasks),
                    "tasks leave this worker in order, the group places them anew"
                );
                self.disown(&tasks);
                self.settle(cx, Ending::Drain).await;
                Some(tasks)
            }
            AssignmentEvent::Lost(tasks) => {
                warn!(group = self.name, tasks = names(&tasks), "tasks lost to another worker");
                self.disown(&tasks);
                self.settle(cx, Ending::Drop).await;
                None
            }
        }
    }

    fn disown(&mut self, tasks: &[TaskId]) {
        for task in tasks {
            self.owned.remove(task);
        }
    }

    /// Ends what should not run as it does, then starts what should run and does not.
    async fn settle(&mut self, cx: &Context, ending: Ending) {
        let wanted = self.wanted();
        let (stay, go): (Vec<_>, Vec<_>) =
            self.units.drain(..).partition(|unit| wanted.contains(&unit.tasks));
        self.units = stay;
        if ending == Ending::Drain {
            self.drain(go).await;
        }
        if cx.is_cancelled() {
            return;
        }
        for tasks in wanted {
            if !self.units.iter().any(|unit| unit.tasks == tasks) {
                self.start(cx, tasks).await;
            }
        }
    }

    /// Returns which tasks should run as one.
    fn wanted(&self) -> BTreeSet<BTreeSet<TaskId>> {
        match self.grouping {
            Grouping::Each => self.owned.iter().map(|task| [task.clone()].into()).collect(),
            Grouping::Together if self.owned.is_empty() => BTreeSet::new(),
            Grouping::Together => [self.owned.clone()].into(),
        }
    }

    async fn drain(&mut self, units: Vec<Unit>) {
        for unit in &units {
            unit.cx.cancel();
        }
        for unit in units {
            match unit.ended.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.errors.push(error),
                // Its thread died with it, and says so itself.
                Err(_gone) => {}
            }
        }
    }

    async fn start(&mut self, cx: &Context, tasks: BTreeSet<TaskId>) {
        let ids: Vec<TaskId> = tasks.iter().cloned().collect();
        let Some(first) = ids.first() else { return };
        let task = match (self.make)(&ids) {
            Ok(task) => task,
            Err(source) => {
                let task = first.clone();
                tracing::error!(%task, error = %source, "task cannot be made");
                self.errors.push(WorkerError::Make { task, source });
                return;
            }
        };
        let cx = cx.child();
        let (tx, ended) = oneshot::channel();
        let status = task.status.clone();
        let starts = &self.starts[task.pin as usize % self.starts.len()];
        let start = Start { cx: cx.clone(), task, ended: tx };
        if starts.send(start).await.is_err() {
            // The thread is gone: it says so itself when it is joined.
            return;
        }
        self.units.push(Unit { tasks, cx, status, ended });
    }

    /// Publishes what runs.
    fn place(&mut self) {
        let first = !std::mem::replace(&mut self.is_placed, true);
        let ours = self.units.iter().map(|unit| (self.name.clone(), unit.status.clone()));
        self.placement.send_modify(|placement| {
            placement.tasks.retain(|(group, _)| *group != self.name);
            placement.tasks.extend(ours);
            if first {
                placement.unplaced = placement.unplaced.saturating_sub(1);
            }
        });
    }
}

/// Writes tasks as an operator reads them.
fn names(tasks: &[TaskId]) -> String {
    tasks.iter().map(TaskId::as_str).collect::<Vec<_>>().join(", ")
}
