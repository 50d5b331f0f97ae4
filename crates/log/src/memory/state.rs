//! The state of the log and its one queue: everything that appends goes through [`State::settle`].

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use millstream_model::{
    Incarnation, LogId, LogPosition, OffsetRange, RecordBatch, TopicId, TopicName, TopicPartition,
};
use millstream_runtime::{Clock, Rng};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::partition::Partition;
use super::tasks::{Ownership, Tasks};
use super::{Fullness, Gaps, Limits, Outcome};
use crate::check;
use crate::contract::{Append, AppendDone, Bounds};
use crate::error::{EnqueueError, ReaderError};
use crate::topic::Topic;
use crate::transaction::{Appended, Landed, Transaction};

/// How long a full log asks its callers to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Everything the log knows.
pub(super) struct State {
    pub(super) id: LogId,
    pub(super) incarnation: Incarnation,
    pub(super) clock: Clock,
    pub(super) rng: Rng,
    pub(super) limits: Limits,
    pub(super) gaps: Gaps,
    pub(super) fullness: Fullness,
    /// The most bytes of records for one partition in one transaction, by topic.
    pub(super) batch_bytes_max: BTreeMap<TopicName, usize>,
    pub(super) fence_pause: Duration,
    pub(super) failures: VecDeque<Outcome>,
    pub(super) held: bool,
    pub(super) closed: bool,
    pub(super) topics: BTreeMap<TopicName, StoredTopic>,
    pub(super) tasks: Tasks,
    pub(super) queue: VecDeque<Pending>,
}

#[derive(Clone)]
pub(super) struct StoredTopic {
    pub(super) topic: Topic,
    pub(super) partitions: Vec<Partition>,
}

/// What is accepted and not yet durable.
pub(super) enum Pending {
    Append { records: Vec<(TopicPartition, RecordBatch)>, done: AppendDone },
    Transaction(PendingTransaction),
}

pub(super) struct PendingTransaction {
    pub(super) owner: Ownership,
    pub(super) transaction: Transaction,
    pub(super) outcome: Outcome,
    pub(super) done: oneshot::Sender<()>,
}

impl Pending {
    fn bytes(&self) -> usize {
        match self {
            Self::Append { records, .. } => records_bytes(records),
            Self::Transaction(pending) => pending.transaction.records_bytes(),
        }
    }
}

fn records_bytes(records: &[(TopicPartition, RecordBatch)]) -> usize {
    records.iter().map(|(_, batch)| batch.as_bytes().len()).sum()
}

impl State {
    pub(super) fn new(clock: Clock, mut rng: Rng, limits: Limits) -> Self {
        Self {
            id: LogId(Uuid::from_u128(rng.next_u128())),
            incarnation: draw_incarnation(&mut rng),
            clock,
            rng,
            limits,
            gaps: Gaps::default(),
            fullness: Fullness::default(),
            batch_bytes_max: BTreeMap::new(),
            fence_pause: Duration::ZERO,
            failures: VecDeque::new(),
            held: false,
            closed: false,
            topics: BTreeMap::new(),
            tasks: Tasks::default(),
            queue: VecDeque::new(),
        }
    }

    /// Returns the durable part under a new incarnation.
    pub(super) fn reopened(&mut self) -> Self {
        let mut rng = Rng::from_seed(self.rng.next_u64());
        Self {
            id: self.id,
            incarnation: draw_incarnation(&mut rng),
            clock: self.clock.clone(),
            rng,
            limits: self.limits,
            gaps: self.gaps,
            fullness: self.fullness,
            batch_bytes_max: self.batch_bytes_max.clone(),
            fence_pause: self.fence_pause,
            failures: VecDeque::new(),
            held: false,
            closed: false,
            topics: self.topics.clone(),
            tasks: self.tasks.reopened(),
            queue: VecDeque::new(),
        }
    }

    /// Refuses everything from now on; dropping what waits resolves it as unknown.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.queue.clear();
    }

    pub(super) fn check_open(&self) -> Result<(), ReaderError> {
        if self.closed { Err(ReaderError::Closed) } else { Ok(()) }
    }

    pub(super) fn new_topic_id(&mut self) -> TopicId {
        TopicId(Uuid::from_u128(self.rng.next_u128()))
    }

    pub(super) fn partition(&self, name: &TopicPartition) -> Option<&Partition> {
        let topic = self.topics.get(&name.topic)?;
        topic.partitions.get(name.partition.0 as usize)
    }

    pub(super) fn partition_mut(&mut self, name: &TopicPartition) -> Option<&mut Partition> {
        let topic = self.topics.get_mut(&name.topic)?;
        topic.partitions.get_mut(name.partition.0 as usize)
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.queue.iter().map(Pending::bytes).sum()
    }

    pub(super) fn enqueue(
        &mut self,
        records: Vec<(TopicPartition, RecordBatch)>,
    ) -> Result<Append, EnqueueError> {
        if self.closed {
            return Err(EnqueueError::Closed);
        }
        if let Some((unknown, _)) = records.iter().find(|(name, _)| self.partition(name).is_none())
        {
            return Err(EnqueueError::UnknownPartition(unknown.clone()));
        }
        let bytes = check::append_bytes(&records, self.limits.append_bytes_max)?;
        let queue_is_full = self.queued_bytes() + bytes > self.limits.queue_bytes_max;
        if queue_is_full || self.fullness >= Fullness::NoIntake {
            return Err(EnqueueError::Full { retry_after: RETRY_AFTER });
        }
        let (done, append) = Append::channel();
        self.queue.push_back(Pending::Append { records, done });
        self.settle();
        Ok(append)
    }

    /// Makes durable and visible what waits, unless the queue is held.
    pub(super) fn settle(&mut self) {
        while !self.held {
            match self.queue.pop_front() {
                Some(Pending::Append { records, done }) => {
                    let appended = self.append(records);
                    // The caller may have dropped the append: its records stay.
                    let (Ok(()) | Err(_)) = done.send(Ok(appended));
                }
                Some(Pending::Transaction(pending)) => self.settle_transaction(pending),
                None => return,
            }
        }
    }

    fn settle_transaction(&mut self, pending: PendingTransaction) {
        let PendingTransaction { owner, transaction, outcome, done } = pending;
        let Transaction { records, consumed, positions } = transaction;
        let touched: Vec<_> =
            records.iter().map(|(name, batch)| (name.clone(), batch.len())).collect();
        match outcome {
            Outcome::Committed => {
                self.append(records);
                self.tasks.commit(&owner.task, consumed, positions);
            }
            Outcome::Lost => {}
        }
        if self.gaps == Gaps::ControlRecords {
            self.leave_gaps(touched, outcome);
        }
        // The caller may have given up: the transaction stays.
        let (Ok(()) | Err(_)) = done.send(());
    }

    /// A control record stands in each partition that a transaction touched, and the records of
    /// an aborted one keep their offsets.
    fn leave_gaps(&mut self, touched: Vec<(TopicPartition, u32)>, outcome: Outcome) {
        let mut gaps = BTreeMap::new();
        for (name, count) in touched {
            let lost = if outcome == Outcome::Lost { u64::from(count) } else { 0 };
            *gaps.entry(name).or_insert(1) += lost;
        }
        for (name, gap) in gaps {
            self.partition_mut(&name).expect("checked when it was accepted").skip(gap);
        }
    }

    fn append(&mut self, records: Vec<(TopicPartition, RecordBatch)>) -> Vec<Appended> {
        let (incarnation, now) = (self.incarnation, self.clock.now());
        let mut appended = Vec::with_capacity(records.len());
        for (name, batch) in records {
            let count = u64::from(batch.len());
            let partition = self.partition_mut(&name).expect("checked when it was accepted");
            let first = partition.append(batch, incarnation, now);
            let landed = Landed::At(OffsetRange::new(first, first.plus(count)));
            appended.push(Appended { partition: name, landed });
        }
        appended
    }

    /// Makes a position of a partition that exists.
    pub(super) fn position(
        &self,
        name: &TopicPartition,
        offset: millstream_model::Offset,
    ) -> Option<LogPosition> {
        let topic = self.topics.get(&name.topic)?.topic.id;
        let incarnation = self.partition(name)?.incarnation_before(offset);
        Some(LogPosition { log: self.id, topic, incarnation, offset })
    }

    pub(super) fn bounds(&self, name: &TopicPartition) -> Result<Bounds, ReaderError> {
        let unknown = || ReaderError::UnknownPartition(name.clone());
        let partition = self.partition(name).ok_or_else(unknown)?;
        let start = self.position(name, partition.start()).ok_or_else(unknown)?;
        let end = self.position(name, partition.end()).ok_or_else(unknown)?;
        Ok(Bounds { start, end })
    }

    /// Refuses a position that does not fit.
    pub(super) fn check_position(
        &self,
        name: &TopicPartition,
        position: LogPosition,
    ) -> Result<(), ReaderError> {
        let bounds = self.bounds(name)?;
        check::position(name, &position, &bounds)?;
        let found = self.position(name, position.offset);
        check::history(name, &position, found.map_or(Incarnation::NONE, |at| at.incarnation))?;
        Ok(())
    }
}

/// Draws an incarnation that is not [`Incarnation::NONE`].
fn draw_incarnation(rng: &mut Rng) -> Incarnation {
    Incarnation(rng.next_u64().max(1))
}
