//! Where tasks stand: in a compacted topic, and as offsets of their groups.
//!
//! ```text
//!   <prefix><app>-positions, partition = murmur2(task):
//!     <task>            opened, began, its inputs with their identity
//!     <task>/<source>   the position of a source outside the log
//!     <task>/           what its last transaction wrote
//!   group <task without its partition>:
//!     input -> next offset, with task, log, topic id and incarnation beside it
//! ```
//!
//! All of it changes in the transaction that moves the task. The offsets show the lag to Kafka's
//! own tools, but they expire and vanish with their topic; the compacted topic does neither, and
//! so it keeps the mark that a task began: an offset that is gone then is an error, not a fresh
//! start. [`table`] says how it is read right.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_model::{Offset, TaskId, TopicId, TopicPartition};
use millstream_runtime::{Context, TaskKind};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::call::{CallError, run};
use crate::client::{Connection, Observer, TroubleKind};
use crate::cluster::Cluster;
use crate::error::KafkaError;
use crate::ffi::partition_list::metadata;
use crate::names::number;

mod attempts;
mod held;
pub(crate) mod identity;
pub(crate) mod manifest;
mod reading;
pub(crate) mod record;
mod table;
mod topic;

pub(crate) use attempts::Attempt;
pub(crate) use held::Missed;
pub(crate) use identity::GroupOffset;
pub(crate) use table::Entry;
use table::Table;
pub(crate) use topic::PositionsTopic;

/// How long to wait before asking a group's coordinator again.
const COORDINATOR_PAUSE: Duration = Duration::from_millis(50);

/// How many reads of positions may be under way: one that waits for a stranger's transaction must
/// not hold up the tasks of other partitions, and a start must not make clients without bound.
const READS_MAX: usize = 4;

/// How many tasks may look at once what became of their last transactions. Apart from the reads: what
/// a task wrote to may be away for long, and positions are asked for all the time.
const LOOKS_MAX: usize = 8;

/// Where the tasks of one cluster stand.
#[derive(Debug)]
pub(crate) struct Positions {
    cluster: Arc<Cluster>,
    /// One permit for each read at a time.
    reads: Arc<Semaphore>,
    /// One permit for each look at the outputs of a task at a time.
    looks: Arc<Semaphore>,
    /// What earlier reads brought, with their clients.
    idle: Mutex<Vec<Table>>,
    /// What held back earlier reads.
    watch: held::Watch,
    /// The topic whose configuration was found right.
    checked: Mutex<Option<TopicId>>,
}

/// A group, as a transaction that commits offsets of it names it.
pub(crate) struct Group {
    /// What Kafka calls it.
    pub(crate) name: String,
    /// Names the group and no member: only the transactional id fences.
    pub(crate) metadata: ConsumerGroupMetadata,
}

/// What is committed in a group for some inputs.
pub(crate) struct GroupOffsets {
    pub(crate) group: Arc<Group>,
    /// What is committed for each of the inputs asked for.
    pub(crate) offsets: BTreeMap<TopicPartition, GroupOffset>,
}

impl Positions {
    /// Builds what reads the positions of a cluster's tasks.
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        let [reads, looks] =
            [READS_MAX, LOOKS_MAX].map(|permits| Arc::new(Semaphore::new(permits)));
        let (idle, watch, checked) = (Mutex::default(), held::Watch::default(), Mutex::default());
        Self { cluster, reads, looks, idle, watch, checked }
    }

    /// Returns how long reading may take: a stranger's transaction may have to time out first.
    pub(crate) fn time_max(&self) -> Duration {
        self.cluster.config.held_time_max()
    }

    /// Reads what is committed of one task, all that was committed before this call included.
    pub(crate) async fn task(
        self: &Arc<Self>,
        cx: &Context,
        topic: PositionsTopic,
        task: &TaskId,
    ) -> Result<Entry, CallError> {
        let (partition, task) = (topic.partition(task), task.clone());
        let found = self
            .read(cx, topic, vec![partition], move |table| table.task(partition, &task).cloned())
            .await?;
        Ok(found.unwrap_or_default())
    }

    /// Reads what is committed of every task.
    pub(crate) async fn tasks(
        self: &Arc<Self>,
        cx: &Context,
    ) -> Result<BTreeMap<TaskId, Entry>, CallError> {
        let Some(topic) = self.topic(cx).await? else { return Ok(BTreeMap::new()) };
        let count = i32::try_from(topic.partitions).unwrap_or(i32::MAX);
        let all: Vec<i32> = (0..count).collect();
        let collect = move |table: &Table| {
            let tasks = (0..count).flat_map(|partition| table.tasks(partition));
            tasks.map(|(task, entry)| (task.clone(), entry.clone())).collect()
        };
        self.read(cx, topic, all, collect).await
    }

    /// Finds the last transaction that a task attempted, whatever became of it. The caller has
    /// fenced the task: nothing comes after it.
    pub(crate) async fn last_attempt(
        self: &Arc<Self>,
        cx: &Context,
        topic: PositionsTopic,
        task: &TaskId,
    ) -> Result<Option<Attempt>, CallError> {
        let (partition, task) = (topic.partition(task), task.clone());
        let look = move |_: &Self, table: &mut Table, deadline| {
            table.last_attempt(topic.id, (partition, &task), deadline)
        };
        self.with_table(cx, look).await
    }

    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        cx: &Context,
        topic: PositionsTopic,
        partitions: Vec<i32>,
        answer: impl FnOnce(&Table) -> T + Send + 'static,
    ) -> Result<T, CallError> {
        let read = move |this: &Self, table: &mut Table, deadline| {
            let began = Instant::now();
            match table.read(topic.id, &partitions, deadline) {
                Ok(()) => Ok(answer(table)),
                Err(error) => Err(this.explain((began, table.missed()), error)),
            }
        };
        self.with_table(cx, read).await
    }

    /// Explains why a read that began at some time missed the ends of some partitions; blocking.
    pub(crate) fn explain(
        &self,
        unread: (Instant, &[Missed]),
        otherwise: KafkaError,
    ) -> KafkaError {
        self.watch.explain(&self.cluster, unread, otherwise)
    }

    /// Does blocking work with the topic in memory, until a deadline.
    async fn with_table<T: Send + 'static>(
        self: &Arc<Self>,
        cx: &Context,
        work: impl FnOnce(&Self, &mut Table, Instant) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, CallError> {
        let this = self.clone();
        let deadline = self.deadline(cx);
        let permit = permit(cx, &self.reads).await?;
        let work = move || {
            // Held by the work itself: it may go on when nobody waits for it any more.
            let _permit = permit;
            let idle = || this.idle.lock().unwrap_or_else(PoisonError::into_inner);
            // Taken out while it is used: a client that failed is destroyed, not used again.
            let taken = idle().pop();
            let mut table = match taken {
                Some(table) => table,
                None => Table::new(&this.cluster)?,
            };
            let answer = work(&this, &mut table, deadline)?;
            let mut idle = idle();
            if idle.len() < READS_MAX {
                idle.push(table);
            }
            Ok(answer)
        };
        run(cx, self.cluster.config.hang_time_max(), TaskKind("kafka_positions"), work).await
    }

    /// Returns when a read gives up: earlier than the caller, so that it hears why.
    pub(crate) fn deadline(&self, cx: &Context) -> Instant {
        let deadline = Instant::now() + self.time_max();
        let theirs = cx.deadline().and_then(|theirs| theirs.checked_sub(held::ASK_TIME_MAX));
        theirs.map_or(deadline, |theirs| theirs.min(deadline))
    }

    /// Lets one more task look at its outputs until the permit is dropped.
    pub(crate) async fn look_permit(
        &self,
        cx: &Context,
    ) -> Result<OwnedSemaphorePermit, CallError> {
        permit(cx, &self.looks).await
    }

    /// Reads what a group committed for some inputs, once no transaction on them is open.
    pub(crate) async fn group(
        &self,
        cx: &Context,
        group: String,
        inputs: Vec<TopicPartition>,
    ) -> Result<GroupOffsets, CallError> {
        let deadline = self.deadline(cx);
        let permit = permit(cx, &self.reads).await?;
        let cluster = self.cluster.clone();
        let work = move || {
            let _permit = permit;
            let connection = Connection::new("offsets");
            let failed = |error| {
                KafkaError::new("read the group's offsets", error, &connection).of_coordinator()
            };
            let config = cluster.clients.member(&group);
            let consumer: BaseConsumer<Observer> =
                config.create_with_context(Observer(connection.clone())).map_err(failed)?;
            let metadata = consumer.group_metadata().expect("its configuration names a group");
            let offsets = match inputs.is_empty() {
                true => Ok(BTreeMap::new()),
                false => committed(&cluster, (&consumer, &*connection), inputs, deadline),
            };
            cluster.reaper.end(consumer);
            let offsets = offsets.map_err(failed)?;
            Ok(GroupOffsets { group: Arc::new(Group { name: group, metadata }), offsets })
        };
        run(cx, self.cluster.config.hang_time_max(), TaskKind("kafka_group_offsets"), work).await
    }
}

async fn permit(cx: &Context, of: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, CallError> {
    let permit = cx.run(Arc::clone(of).acquire_owned()).await?;
    Ok(permit.expect("nobody closes it"))
}

/// Reads the offsets of the consumer's group.
fn committed(
    cluster: &Cluster,
    (consumer, connection): (&BaseConsumer<Observer>, &Connection),
    inputs: Vec<TopicPartition>,
    deadline: Instant,
) -> Result<BTreeMap<TopicPartition, GroupOffset>, ClientError> {
    let name = |input: &TopicPartition| (cluster.names.topic(&input.topic), number(input));
    let mut list = TopicPartitionList::new();
    for input in &inputs {
        let (topic, number) = name(input);
        list.add_partition(&topic, number);
    }
    let found = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let one = left.min(cluster.config.request_time_max).max(COORDINATOR_PAUSE);
        match consumer.committed_offsets(list.clone(), one) {
            // A new group's coordinator takes a moment to be found, or to move; and what it refuses
            // is told in the queue, while the call itself waits.
            Err(error) if is_coordinator_away(&error) && !left.is_zero() => {
                if let Some(Err(said)) = consumer.poll(COORDINATOR_PAUSE) {
                    connection.on_error(&said, &said.to_string());
                }
                let trouble = connection.trouble();
                if trouble.is_some_and(|trouble| trouble.kind == TroubleKind::Group) {
                    return Err(error);
                }
            }
            found => break found?,
        }
    };
    let mut offsets = BTreeMap::new();
    for input in inputs {
        let (topic, number) = name(&input);
        let Some(element) = found.find_partition(&topic, number) else { continue };
        match element.error() {
            Ok(()) => {}
            // A topic that is gone has no offsets.
            Err(error) if error.rdkafka_error_code() == Some(Code::UnknownTopicOrPartition) => {}
            Err(error) => return Err(error),
        }
        let offset = match element.offset() {
            rdkafka::Offset::Offset(offset) => {
                let offset = u64::try_from(offset).expect("what is below zero has other names");
                identity::decode(Offset(offset), metadata(&found, &topic, number))
            }
            _ => GroupOffset::None,
        };
        offsets.insert(input, offset);
    }
    Ok(offsets)
}

fn is_coordinator_away(error: &ClientError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::NotCoordinator
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::WaitingForCoordinator
                | Code::OperationTimedOut
        )
    )
}
