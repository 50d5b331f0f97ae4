//! Making the caller the only owner of a task, and finding out where the task stands.
//!
//! ```text
//!   fence:    init_transactions with the task's own transactional id: earlier owners are fenced,
//!             and their last transaction is settled on every partition
//!   complete: what Kafka committed of that transaction in some partitions only
//!   look:     the task's entries of the positions topic, and its group's offsets
//!   compare:  both with each other, and with the log: refused, never rounded
//!   register: the new owner's number and inputs, in its first transaction
//! ```
//!
//! It is the one recovery path: after any doubt, and at every start.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::try_join_all;
use millstream_log::{Committed, OpenError, Opened, Owner, PositionRefused, ReaderError, check};
use millstream_model::{Epoch, LogPosition, Offset, TaskId, TopicPartition};
use millstream_runtime::Context;
use tokio::time::Instant;

use crate::call::CallError;
use crate::cluster::Cluster;
use crate::error::KafkaError;
use crate::kafka_log::KafkaLog;
use crate::metrics;
use crate::positions::record::TaskRecord;
use crate::positions::{Entry, Group, GroupOffset, Positions, PositionsTopic};
use crate::reader;
use crate::writer::batch::Batch;
use crate::writer::producer::{Failure, Producer};
use crate::writer::{Fate, KafkaWriter};

mod complete;
mod outcome;
mod rename;
mod reposition;

use complete::{Ended, Last, Patience};

/// The tasks of one cluster, as this process opens and looks at them.
#[derive(Debug)]
pub(crate) struct Tasks {
    pub(crate) cluster: Arc<Cluster>,
    positions: Arc<Positions>,
    /// How many live writers each task has: more than one while an older owner is not dropped yet.
    open: Mutex<BTreeMap<TaskId, usize>>,
    closed: AtomicBool,
}

/// One owner of a task; dropping it makes room for another task.
pub(crate) struct Ownership {
    pub(crate) task: TaskId,
    tasks: Arc<Tasks>,
}

impl std::fmt::Debug for Ownership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.task)
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        let mut open = self.tasks.open();
        match open.get_mut(&self.task) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.task)),
        }
    }
}

impl KafkaLog {
    /// Lets go of a task that left the configuration: it holds back no records from now on, but
    /// what it committed stays. Its owner, should it still live, is fenced.
    pub async fn release(&self, cx: &Context, task: &TaskId) -> Result<(), OpenError> {
        self.tasks.release(cx, task).await
    }
}

/// What becomes of a last transaction that is committed in part and cannot be completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Completion {
    /// The task is refused.
    Required,
    /// The task goes on: a person said where, or let it go.
    GivenUp,
}

/// What is committed of one task, and what it takes to commit more.
struct Standing {
    entry: Entry,
    offsets: BTreeMap<TopicPartition, GroupOffset>,
    group: Arc<Group>,
}

impl Standing {
    fn began(&self) -> bool {
        self.entry.record.as_ref().is_some_and(|record| record.began)
    }

    /// Refuses the name of a task that goes on under another one: under this one it would begin
    /// anew, beside its own successor.
    fn check_name(&self, task: &TaskId) -> Result<(), PositionRefused> {
        let Entry { record, renamed_to, .. } = &self.entry;
        // The mark at the offsets also stands alone, where the topic of positions was lost.
        let is_marked = self.offsets.values().any(|offset| *offset == GroupOffset::Renamed);
        if record.is_some() || (renamed_to.is_none() && !is_marked) {
            return Ok(());
        }
        Err(PositionRefused::Renamed { task: task.clone(), to: renamed_to.clone() })
    }

    /// Returns the offsets that a task has committed, whatever they belong to.
    fn committed_offsets(&self) -> BTreeMap<TopicPartition, Offset> {
        let all = self.offsets.iter().filter_map(|(input, offset)| match offset {
            GroupOffset::Ours(_, position) => Some((input.clone(), position.offset)),
            GroupOffset::None | GroupOffset::Renamed | GroupOffset::Foreign(_) => None,
        });
        all.collect()
    }

    fn epoch(&self) -> Epoch {
        self.entry.record.as_ref().map_or(Epoch(0), |record| record.epoch)
    }
}

impl Tasks {
    /// Builds what opens the tasks of a cluster.
    pub(crate) fn new(cluster: Arc<Cluster>) -> Arc<Self> {
        let positions = Arc::new(Positions::new(cluster.clone()));
        let (open, closed) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Self { cluster, positions, open, closed })
    }

    /// Refuses everything from now on; the clients end with the writers that hold them.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Tells whether the log was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Makes the caller the only owner of a task; see [`millstream_log::Log::open`].
    pub(crate) async fn open_task(
        self: &Arc<Self>,
        cx: &Context,
        owner: &Owner,
    ) -> Result<Opened, OpenError> {
        if self.is_closed() {
            return Err(OpenError::Closed);
        }
        let asked = Instant::now();
        self.check_inputs(cx, owner).await?;
        let ownership = self.own(&owner.task)?;
        let topic = self.positions.ensure_topic(cx).await?;
        let producer = self.fence(cx, topic, &owner.task, Completion::Required).await?;
        let standing = self.standing(cx, topic, &owner.task, &owner.inputs).await?;
        let opening = Opening { tasks: self, topic, owner };
        let (standing, renamed) = match (&standing.entry.record, &owner.renamed_from) {
            (None, Some(old)) => opening.look_under(cx, old, &producer).await?,
            _ => (standing, None),
        };
        standing.check_name(&owner.task)?;
        let (record, inputs) = opening.compare(cx, &standing).await?;
        let batch = opening.registration(&standing, &record, &inputs, renamed.as_ref());
        let registrar = renamed.as_ref().map_or(&producer, rename::Renamed::producer);
        let registered = cx.run(registrar.transact(batch)).await?;
        registered.map_err(failed)?;
        let committed = Committed {
            began: record.began,
            consumed: if record.began { inputs.clone() } else { BTreeMap::new() },
            positions: standing.entry.positions,
        };
        metrics::opened(asked.elapsed());
        let epoch = record.epoch;
        let (tasks, group) = (self.clone(), standing.group);
        let fate = Fate::Sound;
        let writer = KafkaWriter { tasks, producer, ownership, topic, group, record, inputs, fate };
        Ok(Opened { epoch, committed, writer: Box::new(writer) })
    }

    /// Returns what a task committed, without owning it.
    pub(crate) async fn committed(
        &self,
        cx: &Context,
        task: &TaskId,
    ) -> Result<Option<Committed>, ReaderError> {
        if self.is_closed() {
            return Err(ReaderError::Closed);
        }
        let Some(topic) = self.positions.topic(cx).await? else { return Ok(None) };
        let entry = self.positions.task(cx, topic, task).await?;
        let Some(record) = entry.record else { return Ok(None) };
        let mut committed =
            Committed { began: record.began, positions: entry.positions, ..Committed::default() };
        if record.began {
            let inputs = record.inputs.into_keys().collect();
            committed.consumed = self.offsets(cx, task, inputs).await?;
        }
        Ok(Some(committed))
    }

    /// Returns every task that was opened and not released.
    pub(crate) async fn registered(&self, cx: &Context) -> Result<Vec<TaskId>, CallError> {
        let tasks = self.positions.tasks(cx).await?;
        let is_registered = |entry: &Entry| entry.record.as_ref().is_some_and(|r| !r.is_released);
        Ok(tasks.into_iter().filter(|(_, entry)| is_registered(entry)).map(|(id, _)| id).collect())
    }

    /// Returns the registered task that has read least of a partition, and where it stands.
    pub(crate) async fn slowest(
        &self,
        cx: &Context,
        partition: &TopicPartition,
    ) -> Result<Option<(TaskId, Offset)>, CallError> {
        let mut slowest: Option<(TaskId, Offset)> = None;
        for (task, entry) in self.positions.tasks(cx).await? {
            let Some(record) = entry.record.filter(|record| !record.is_released) else { continue };
            let Some(start) = record.inputs.get(partition) else { continue };
            let mut position = *start;
            if record.began {
                let offsets = self.offsets(cx, &task, vec![partition.clone()]).await?;
                position = offsets.get(partition).copied().unwrap_or(position);
            }
            if slowest.as_ref().is_none_or(|(_, offset)| position.offset < *offset) {
                slowest = Some((task, position.offset));
            }
        }
        Ok(slowest)
    }

    /// Lets go of a task; see [`KafkaLog::release`].
    pub(crate) async fn release(
        self: &Arc<Self>,
        cx: &Context,
        task: &TaskId,
    ) -> Result<(), OpenError> {
        let Some(topic) = self.positions.topic(cx).await? else { return Ok(()) };
        let producer = self.fence(cx, topic, task, Completion::GivenUp).await?;
        let entry = self.positions.task(cx, topic, task).await?;
        let Some(record) = entry.record.filter(|record| !record.is_released) else { return Ok(()) };
        let mut batch = Batch::new(&self.cluster.names, topic, task);
        if record.began {
            let epoch = Epoch(record.epoch.0 + 1);
            batch.set_task(&TaskRecord { epoch, is_released: true, ..record });
        } else {
            batch.forget(task, entry.positions.keys());
        }
        cx.run(producer.transact(batch)).await?.map_err(failed)
    }

    async fn check_inputs(&self, cx: &Context, owner: &Owner) -> Result<(), OpenError> {
        for input in &owner.inputs {
            let found = self.cluster.describe(cx, &input.topic).await?;
            if found.is_none_or(|found| input.partition.0 >= found.partitions) {
                return Err(OpenError::UnknownPartition(input.clone()));
            }
        }
        Ok(())
    }

    fn own(self: &Arc<Self>, task: &TaskId) -> Result<Ownership, OpenError> {
        let tasks_max = self.cluster.config.tasks_max;
        let mut open = self.open();
        if !open.contains_key(task) {
            check::one_task_more(task, open.len(), tasks_max)?;
        }
        *open.entry(task.clone()).or_default() += 1;
        Ok(Ownership { task: task.clone(), tasks: self.clone() })
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<TaskId, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fences every earlier owner of a task and waits until its last transaction is settled: in all
    /// partitions, or in none.
    async fn fence(
        &self,
        cx: &Context,
        topic: PositionsTopic,
        task: &TaskId,
        completion: Completion,
    ) -> Result<Producer, OpenError> {
        let producer = self.producer(cx, task).await?;
        let of = (topic, task, Patience::Full);
        let Some(error) = self.complete(cx, of, &producer, completion).await? else {
            return Ok(producer);
        };
        tracing::warn!(%task, %error, "the last transaction is asked to end once more");
        let last = Last { tasks: self, topic, task, patience: Patience::Spent };
        last.touch(cx, &producer).await?;
        // A client that aborted is not used again.
        drop(producer);
        let producer = self.producer(cx, task).await?;
        match self.complete(cx, (topic, task, Patience::Spent), &producer, completion).await? {
            None => Ok(producer),
            Some(error) => Err(CallError::from(error).into()),
        }
    }

    /// Completes the last transaction of a task that `producer` has fenced; returns what hides its
    /// end, if something does.
    async fn complete(
        &self,
        cx: &Context,
        (topic, task, patience): (PositionsTopic, &TaskId, Patience),
        producer: &Producer,
        completion: Completion,
    ) -> Result<Option<KafkaError>, OpenError> {
        match (Last { tasks: self, topic, task, patience }).complete(cx, producer).await? {
            Ended::Everywhere => Ok(None),
            Ended::NotYet { error } => Ok(Some(error)),
            Ended::Torn { place } if completion == Completion::GivenUp => {
                tracing::warn!(
                    %task, place, "the last transaction stays committed in part, as a person decided"
                );
                Ok(None)
            }
            Ended::Torn { place } => {
                Err(PositionRefused::Torn { task: task.clone(), place }.into())
            }
        }
    }

    /// Makes the producer of a task, which fences every earlier one.
    async fn producer(&self, cx: &Context, task: &TaskId) -> Result<Producer, OpenError> {
        let id = self.cluster.names.transactional_id(task);
        let producer = Producer::start(&self.cluster, &id).map_err(CallError::from)?;
        let time_max = self.cluster.config.transaction_timeout();
        cx.run(producer.init(time_max)).await?.map_err(failed)?;
        Ok(producer)
    }

    /// Looks up what is committed of a task that nobody can move now.
    async fn standing(
        &self,
        cx: &Context,
        topic: PositionsTopic,
        task: &TaskId,
        inputs: &[TopicPartition],
    ) -> Result<Standing, CallError> {
        let name = self.cluster.names.group(task);
        let entry = self.positions.task(cx, topic, task);
        let group = self.positions.group(cx, name, inputs.to_vec());
        let (entry, group) = futures::try_join!(entry, group)?;
        Ok(Standing { entry, offsets: group.offsets, group: group.group })
    }

    /// Returns the offsets that a task committed for some inputs.
    async fn offsets(
        &self,
        cx: &Context,
        task: &TaskId,
        inputs: Vec<TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, LogPosition>, CallError> {
        let group = self.positions.group(cx, self.cluster.names.group(task), inputs).await?;
        let own = group.offsets.into_iter().filter_map(|(input, offset)| match offset {
            GroupOffset::Ours(whose, position) if whose == *task => Some((input, position)),
            _ => None,
        });
        Ok(own.collect())
    }
}

/// What one call of `open` works with.
struct Opening<'a> {
    tasks: &'a Arc<Tasks>,
    topic: PositionsTopic,
    owner: &'a Owner,
}

impl Opening<'_> {
    /// Compares what is committed with the log, and says what is known of the task from now on
    /// and where it goes on.
    async fn compare(
        &self,
        cx: &Context,
        standing: &Standing,
    ) -> Result<(TaskRecord, BTreeMap<TopicPartition, LogPosition>), OpenError> {
        let start = |input: &TopicPartition| self.start_of(cx, standing, input.clone());
        let starts = try_join_all(self.owner.inputs.iter().map(start)).await?;
        let inputs: BTreeMap<_, _> = self.owner.inputs.iter().cloned().zip(starts).collect();
        let epoch = Epoch(standing.epoch().0 + 1);
        let (began, is_released) = (standing.began(), false);
        let record = TaskRecord { epoch, began, is_released, inputs: inputs.clone() };
        Ok((record, inputs))
    }

    /// Returns where the task goes on in one input, and refuses a position that does not fit.
    async fn start_of(
        &self,
        cx: &Context,
        standing: &Standing,
        input: TopicPartition,
    ) -> Result<LogPosition, OpenError> {
        let cluster = &self.tasks.cluster;
        let task = &self.owner.task;
        let committed = match standing.offsets.get(&input) {
            Some(GroupOffset::Ours(whose, position)) if self.is_own(whose) => Some(*position),
            Some(_) | None => None,
        };
        match (committed, &standing.entry.record) {
            (Some(position), Some(record)) if record.began => {
                let fits = reader::check_position(cluster, cx, &input, position).await;
                fits?;
                Ok(position)
            }
            (Some(_), _) => {
                let (task, partition) = (task.clone(), input);
                Err(PositionRefused::Forgotten { task, partition }.into())
            }
            (None, Some(record)) if record.began => {
                // Kafka deletes a group's offsets together with the topic.
                if let Some(named) = record.inputs.get(&input) {
                    let fits = reader::check_position(cluster, cx, &input, *named).await;
                    if let Err(ReaderError::Position(
                        refused @ PositionRefused::OtherTopic { .. },
                    )) = fits
                    {
                        return Err(refused.into());
                    }
                }
                let (task, partition) = (task.clone(), input);
                Err(PositionRefused::Lost { task, partition }.into())
            }
            (None, _) => Ok(reader::bounds(cluster, cx, &input).await?.start),
        }
    }

    fn is_own(&self, task: &TaskId) -> bool {
        *task == self.owner.task || Some(task) == self.owner.renamed_from.as_ref()
    }

    /// Builds the transaction that makes the new owner known, and with it proves that nobody
    /// fenced it meanwhile.
    fn registration(
        &self,
        standing: &Standing,
        record: &TaskRecord,
        inputs: &BTreeMap<TopicPartition, LogPosition>,
        renamed: Option<&rename::Renamed>,
    ) -> Batch {
        let mut batch = Batch::new(&self.tasks.cluster.names, self.topic, &self.owner.task);
        batch.set_task(record);
        if let Some(renamed) = renamed {
            renamed.take_over(&mut batch, standing, record, inputs);
        }
        batch
    }
}

fn failed(failure: Failure) -> OpenError {
    let (Failure::Aborted(error) | Failure::Fenced(error) | Failure::InDoubt(error)) = failure;
    OpenError::Storage(error.into_io())
}
