//! The positions topic in memory, brought up to date before each answer.
//!
//! Other tasks' open transactions hold back the topic's stable end, so a read up to that end may
//! miss what is committed above it. Therefore each read first asks for the high watermark with a
//! client that sees everything, and then reads committed records until it is past it: what was
//! committed before the question is in the answer, whoever else has a transaction open.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_model::{SourceId, TaskId, TopicId};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::time::Instant;

use super::attempts::{self, Attempt, Attempts, Unread};
use super::held::Missed;
use super::reading::{AGE_MAX, POLL, READING};
use super::record::{Key, Malformed, TaskRecord, Told, decode_position};
use crate::client::{Connection, Isolation, Observer};
use crate::cluster::Cluster;
use crate::error::{KafkaError, Reason, is_moving, is_passing, time_left};

/// What the topic says about one task.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The task as a whole; absent when it was never opened under this name, or is not any more.
    pub(crate) record: Option<TaskRecord>,
    /// The name under which it goes on.
    pub(crate) renamed_to: Option<TaskId>,
    /// The position of each source.
    pub(crate) positions: BTreeMap<SourceId, Bytes>,
}

/// One partition of the topic, as far as it was read.
#[derive(Debug)]
struct Part {
    /// The next offset to read.
    next: i64,
    read_at: Instant,
    tasks: BTreeMap<TaskId, Entry>,
}

/// The topic in memory.
pub(crate) struct Table {
    topic: String,
    committed: BaseConsumer<Observer>,
    everything: BaseConsumer<Observer>,
    connection: std::sync::Arc<Connection>,
    id: Option<TopicId>,
    parts: BTreeMap<i32, Part>,
    attempts: Attempts,
    /// What the last read did not reach.
    missed: Vec<Missed>,
}

/// How far a partition must be read, and from where.
struct Stretch {
    partition: i32,
    from: i64,
    high: i64,
}

impl Table {
    /// Makes the clients that read the topic; reads nothing yet.
    pub(crate) fn new(cluster: &Cluster) -> Result<Self, KafkaError> {
        let connection = Connection::new("positions");
        let consumer = |isolation| {
            let mut config = cluster.clients.reader(isolation);
            // Waits for the end of somebody's transaction are short.
            config.set("fetch.wait.max.ms", "50");
            let made = config.create_with_context(Observer(connection.clone()));
            made.map_err(|error| KafkaError::new("make a client", error, &connection))
        };
        Ok(Self {
            topic: cluster.names.positions(),
            committed: consumer(Isolation::Committed)?,
            everything: consumer(Isolation::Uncommitted)?,
            connection: connection.clone(),
            id: None,
            parts: BTreeMap::new(),
            attempts: Attempts::default(),
            missed: Vec::new(),
        })
    }

    /// Brings some partitions of the topic, whose id is `id`, up to what is committed now.
    pub(crate) fn read(
        &mut self,
        id: TopicId,
        partitions: &[i32],
        deadline: Instant,
    ) -> Result<(), KafkaError> {
        self.missed.clear();
        self.forget_other_than(id);
        let mut behind = Vec::new();
        for partition in partitions {
            let stretch = self.stretch(*partition, deadline)?;
            if stretch.from < stretch.high {
                behind.push(stretch);
            }
        }
        if behind.is_empty() {
            return Ok(());
        }
        let read = self.read_on(&behind, deadline);
        let unassigned = self.committed.unassign().map_err(|error| self.error(error));
        if read.is_err() {
            // What was applied in part is read again: in doubt, from the beginning.
            for Stretch { partition, high, .. } in behind {
                self.parts.remove(&partition);
                let topic = self.topic.clone();
                self.missed.push(Missed { topic, partition, high });
            }
        }
        read.and(unassigned)
    }

    /// Returns the last transaction that a task attempted, whatever became of it; `id` is the
    /// topic's.
    pub(crate) fn last_attempt(
        &mut self,
        id: TopicId,
        (partition, task): (i32, &TaskId),
        deadline: Instant,
    ) -> Result<Option<Attempt>, KafkaError> {
        self.forget_other_than(id);
        let bounds = self.watermarks(partition, deadline)?;
        let topic = self.topic.as_str();
        let stretch = attempts::Stretch { topic, partition, bounds, deadline };
        let found = self.attempts.last(&self.everything, &stretch, task);
        found.map_err(|unread| match unread {
            Unread::Kafka(error) => error,
            Unread::Client(error) => self.error(error),
            Unread::Malformed(offset, reason) => self.corrupt(partition, offset, &reason),
        })
    }

    fn forget_other_than(&mut self, id: TopicId) {
        if self.id != Some(id) {
            self.parts.clear();
            self.attempts.clear();
            self.id = Some(id);
        }
    }

    /// Returns what the last read did not reach, after an error.
    pub(crate) fn missed(&self) -> &[Missed] {
        &self.missed
    }

    /// Returns what is known of the tasks of one partition.
    pub(crate) fn tasks(&self, partition: i32) -> impl Iterator<Item = (&TaskId, &Entry)> {
        self.parts.get(&partition).into_iter().flat_map(|part| &part.tasks)
    }

    /// Returns what is known of one task.
    pub(crate) fn task(&self, partition: i32, task: &TaskId) -> Option<&Entry> {
        self.parts.get(&partition)?.tasks.get(task)
    }

    /// Asks how far a partition reaches, and forgets what cannot be gone on from.
    fn stretch(&mut self, partition: i32, deadline: Instant) -> Result<Stretch, KafkaError> {
        let (low, high) = self.watermarks(partition, deadline)?;
        let now = Instant::now();
        let part = self.parts.get(&partition).filter(|part| {
            let is_young = now.duration_since(part.read_at) < AGE_MAX;
            is_young && (low..=high).contains(&part.next)
        });
        let from = part.map_or(low, |part| part.next);
        if part.is_none() {
            let part = Part { next: low, read_at: now, tasks: BTreeMap::new() };
            self.parts.insert(partition, part);
        }
        Ok(Stretch { partition, from, high })
    }

    /// Asks for the first offset of a partition and its end.
    fn watermarks(&self, partition: i32, deadline: Instant) -> Result<(i64, i64), KafkaError> {
        loop {
            match self.everything.fetch_watermarks(
                &self.topic,
                partition,
                time_left(READING, deadline)?,
            ) {
                Ok(found) => return Ok(found),
                // The brokers hear one after the other who leads a topic that was just made.
                Err(error) if error.rdkafka_error_code().is_some_and(is_moving) => {
                    drop(self.everything.poll(POLL));
                }
                Err(error) => return Err(self.error(error)),
            }
        }
    }

    /// Reads each stretch to its end.
    fn read_on(&mut self, behind: &[Stretch], deadline: Instant) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        for stretch in behind {
            let from = rdkafka::Offset::Offset(stretch.from);
            let added = list.add_partition_offset(&self.topic, stretch.partition, from);
            added.map_err(|error| self.error(error))?;
        }
        self.committed.assign(&list).map_err(|error| self.error(error))?;
        loop {
            let arrived = match self.committed.poll(POLL.min(time_left(READING, deadline)?)) {
                None => self.is_past(behind)?,
                Some(Ok(message)) => {
                    let parts = &mut self.parts;
                    if let Err(reason) = apply(parts, &message) {
                        let (partition, offset) = (message.partition(), message.offset());
                        return Err(self.corrupt(partition, offset, &reason));
                    }
                    false
                }
                Some(Err(error)) if is_passing(&error) => false,
                Some(Err(error)) => return Err(self.error(error)),
            };
            if arrived {
                return Ok(());
            }
        }
    }

    /// Tells whether every stretch is read; the client's position also passes control records.
    fn is_past(&mut self, behind: &[Stretch]) -> Result<bool, KafkaError> {
        let positions = self.committed.position().map_err(|error| self.error(error))?;
        let now = Instant::now();
        let mut arrived = true;
        for stretch in behind {
            let element = positions.find_partition(&self.topic, stretch.partition);
            let offset = element.and_then(|element| element.offset().to_raw()).unwrap_or(-1);
            if let Some(part) = self.parts.get_mut(&stretch.partition).filter(|_| offset >= 0) {
                part.next = part.next.max(offset);
                part.read_at = now;
            }
            arrived &= offset >= stretch.high;
        }
        Ok(arrived)
    }

    fn corrupt(&self, partition: i32, offset: i64, reason: &Malformed) -> KafkaError {
        let detail = format!("{}-{partition} at {offset}: {reason}", self.topic);
        KafkaError::found(READING, Reason::Corrupt { detail })
    }

    fn error(&self, source: ClientError) -> KafkaError {
        KafkaError::new(READING, source, &self.connection)
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({}, {} partitions)", self.topic, self.parts.len())
    }
}

/// Takes over one record.
fn apply(
    parts: &mut BTreeMap<i32, Part>,
    message: &rdkafka::message::BorrowedMessage<'_>,
) -> Result<(), Malformed> {
    let Some(part) = parts.get_mut(&message.partition()) else { return Ok(()) };
    let key = Key::decode(message.key().ok_or(Malformed("it has no key"))?)?;
    part.next = message.offset() + 1;
    let entry = part.tasks.entry(key.task().clone()).or_default();
    match (&key, message.payload()) {
        (Key::Task(_), value) => {
            (entry.record, entry.renamed_to) = match value.map(Told::decode).transpose()? {
                Some(Told::Task(record)) => (Some(record), None),
                Some(Told::Renamed(to)) => (None, Some(to)),
                None => (None, None),
            };
        }
        (Key::Source(_, source), Some(value)) => {
            entry.positions.insert(source.clone(), decode_position(value)?);
        }
        (Key::Source(_, source), None) => {
            entry.positions.remove(source);
        }
        // Only whoever fenced the task asks for it, and then also for what was not committed.
        (Key::Manifest(_), _) => {}
    }
    if *entry == Entry::default() {
        part.tasks.remove(key.task());
    }
    Ok(())
}
