//! Which tasks this worker owns, by a consumer group of Kafka.
//!
//! ```text
//!   group ──▶ member's thread (only polls) ── Assigned, Revoke, Lost ──▶ worker
//!                    ▲                                                     │
//!                    └──────────────── released ◀──────────────────────────┘
//! ```
//!
//! The member never fetches: its partitions are paused, so that a slow batch never keeps it from
//! polling, and never makes it leave the group. When partitions are revoked it waits inside the
//! callback until the worker has released them, for a bounded time; after that others get them,
//! and the fence of [`millstream_log::Log::open`] decides. The group only places work.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use millstream_log::{Assignment, AssignmentEvent};
use millstream_model::{TaskId, TopicName, TopicPartition};
use millstream_runtime::{Cancelled, Context, TaskKind, spawn_blocking};
use tokio::sync::{mpsc, watch};

use crate::cluster::Cluster;
use crate::error::{KafkaError, Reason};
use crate::kafka_log::KafkaLog;

mod member;

use member::{Handover, Member};

/// How many changes may wait for the worker; while more do, the member waits, not the group.
const EVENTS_MAX: usize = 64;

/// Which task a partition belongs to; `None` leaves it alone.
pub type TaskOf = dyn Fn(&TopicPartition) -> Option<TaskId> + Send + Sync;

/// What a worker shares with others.
pub struct GroupSettings {
    /// The group: the tasks' ids without their partition.
    pub group: String,
    /// The topics whose partitions are shared. Those with the same number of partitions are
    /// placed alike: partition i of each at the same member.
    pub topics: Vec<TopicName>,
    /// Which task a partition belongs to.
    pub task_of: Box<TaskOf>,
}

impl fmt::Debug for GroupSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupSettings({}, {:?})", self.group, self.topics)
    }
}

/// Tells a worker which tasks it owns, as the group's coordinator places them.
///
/// Dropping it leaves the group in the background; [`GroupAssignment::leave`] waits for that.
#[derive(Debug)]
pub struct GroupAssignment {
    events: mpsc::Receiver<AssignmentEvent>,
    handover: Arc<Handover>,
    trouble: watch::Receiver<Option<String>>,
    thread: Option<JoinHandle<()>>,
}

impl KafkaLog {
    /// Joins a group.
    pub fn join(&self, settings: GroupSettings) -> Result<GroupAssignment, KafkaError> {
        GroupAssignment::start(&self.cluster, settings)
    }
}

impl GroupAssignment {
    fn start(cluster: &Arc<Cluster>, settings: GroupSettings) -> Result<Self, KafkaError> {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let handover = Arc::new(Handover::new(&cluster.config));
        let member = Member::new(cluster.clone(), settings, sender, handover.clone());
        let trouble = member.trouble();
        let thread = thread::Builder::new().name("kafka-member".to_owned());
        let thread = thread.spawn(move || member.run()).map_err(|error| {
            let detail = error.to_string();
            KafkaError::found("start a group member's thread", Reason::Other { detail })
        })?;
        Ok(Self { events, handover, trouble, thread: Some(thread) })
    }

    /// Leaves the group and waits until the coordinator knows, or `cx` ends.
    ///
    /// Release every task first: what is not released goes to others all the same.
    pub async fn leave(mut self, cx: &Context) -> Result<(), Cancelled> {
        self.handover.stop();
        self.events.close();
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let mut joining = spawn_blocking(TaskKind("kafka_leave"), move || thread.join());
        if let Ok(Err(_)) | Err(_) = cx.run(joining.join()).await? {
            tracing::error!("the thread of a group member panicked");
        }
        Ok(())
    }
}

impl Drop for GroupAssignment {
    fn drop(&mut self) {
        self.handover.stop();
    }
}

#[async_trait]
impl Assignment for GroupAssignment {
    async fn next(&mut self, cx: &Context) -> Result<AssignmentEvent, Cancelled> {
        match cx.run(self.events.recv()).await? {
            Some(event) => Ok(event),
            // The thread ends only after a stop, or with a panic: nothing more will come.
            None => Err(cx.cancelled().await),
        }
    }

    async fn released(&mut self, _cx: &Context, tasks: &[TaskId]) -> Result<(), Cancelled> {
        self.handover.release(tasks);
        Ok(())
    }

    fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.clone()
    }
}

/// The partitions of this member, by task.
#[derive(Debug, Default)]
struct Owned {
    tasks: BTreeMap<TaskId, BTreeSet<TopicPartition>>,
}

impl Owned {
    /// Takes partitions; returns the tasks that are new.
    fn take(&mut self, partitions: Vec<(TaskId, TopicPartition)>) -> Vec<TaskId> {
        let mut new = Vec::new();
        for (task, partition) in partitions {
            let owned = self.tasks.entry(task.clone()).or_insert_with(|| {
                new.push(task);
                BTreeSet::new()
            });
            owned.insert(partition);
        }
        new
    }

    /// Gives partitions back; returns the tasks that lose any: a task without one of its
    /// partitions cannot go on.
    fn give(&mut self, partitions: &[(TaskId, TopicPartition)]) -> Vec<TaskId> {
        let tasks: BTreeSet<_> = partitions.iter().map(|(task, _)| task.clone()).collect();
        tasks.into_iter().filter(|task| self.tasks.remove(task).is_some()).collect()
    }
}

#[cfg(test)]
mod tests;
