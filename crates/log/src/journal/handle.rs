//! The journal as a [`Log`]: checks in the caller's thread, then the queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use millstream_model::{
    LogId, LogPosition, Offset, RecordBatch, TaskId, TopicName, TopicPartition,
};
use millstream_runtime::Context;
use tokio::sync::oneshot;

use super::Journal;
use super::admission::Class;
use super::change::{Place, Producer};
use super::positions;
use super::queue::Refusal;
use super::reader::JournalReader;
use super::request::{
    Admitted, AppendRequest, Control, Moved, Piece, Request, TransactRequest, Work,
};
use super::shared::Shared;
use crate::check;
use crate::contract::{
    Append, Bounds, Log, LogAdmin, LogReader, Opened, Owner, Reposition, Writer,
};
use crate::error::{AdminError, EnqueueError, OpenError, ReaderError, TransactError};
use crate::metrics::{self, Refused};
use crate::topic::{Topic, TopicConfig};
use crate::transaction::{Committed, Consumed, Transaction};

/// Pieces of at least this size get their CRC in the caller's thread; the CRC of smaller ones is
/// computed over all that are written together.
const OWN_CRC_BYTES_MIN: usize = 16 << 10;

#[async_trait]
impl Log for Journal {
    async fn open(&self, cx: &Context, owner: &Owner) -> Result<Opened, OpenError> {
        cx.check()?;
        let (done, answer) = oneshot::channel();
        let request = Control::Open { owner: owner.clone(), done };
        self.ask(request).ok_or(OpenError::Closed)?;
        let Ok(opened) = cx.run(answer).await? else { return Err(OpenError::Closed) };
        let opened = opened?;
        let writer = JournalWriter {
            shared: Arc::clone(&self.inner.shared),
            task: owner.task.clone(),
            producer: Producer { task: opened.number, epoch: opened.epoch, sequence: 1 },
            is_dead: false,
        };
        Ok(Opened { epoch: opened.epoch, committed: opened.committed, writer: Box::new(writer) })
    }

    fn enqueue(&self, records: Vec<(TopicPartition, RecordBatch)>) -> Result<Append, EnqueueError> {
        let shared = &self.inner.shared;
        let bytes = check::append_bytes(&records, limit(shared.config.batch_bytes_max.bytes()))?;
        if !shared.gauges.level().takes(Class::Intake) && !shared.is_closed() {
            metrics::refused(Refused::Full);
            return Err(EnqueueError::Full { retry_after: shared.config.full_retry_after });
        }
        let pieces = pieces(shared, records).map_err(EnqueueError::UnknownPartition)?;
        let refused = |refusal| match refusal {
            Refusal::Closed => EnqueueError::Closed,
            Refusal::Full => {
                metrics::refused(Refused::Queue);
                let max = shared.config.queue_retry_after_max;
                let retry_after = shared.gauges.drain_time(shared.queue.bytes_used(), max);
                EnqueueError::Full { retry_after }
            }
        };
        let share = shared.queue.try_share(bytes).map_err(refused)?;
        let (done, append) = Append::channel();
        let work = Work::Append(AppendRequest { pieces, done });
        shared.queue.push_append(Admitted { work, share }).map_err(refused)?;
        Ok(append)
    }

    async fn reader(
        &self,
        cx: &Context,
        partition: &TopicPartition,
        from: LogPosition,
    ) -> Result<Box<dyn LogReader>, ReaderError> {
        cx.check()?;
        let shared = &self.inner.shared;
        if shared.is_closed() {
            return Err(ReaderError::Closed);
        }
        let key = positions::check(shared, partition, &from)?;
        JournalReader::new(Arc::clone(shared), partition.clone(), key, from)
            .map(|reader| Box::new(reader) as Box<dyn LogReader>)
            .ok_or_else(|| ReaderError::UnknownPartition(partition.clone()))
    }

    async fn bounds(
        &self,
        cx: &Context,
        partition: &TopicPartition,
    ) -> Result<Bounds, ReaderError> {
        cx.check()?;
        let bounds = self.inner.shared.bounds(partition);
        bounds.ok_or_else(|| ReaderError::UnknownPartition(partition.clone()))
    }

    async fn committed(
        &self,
        cx: &Context,
        task: &TaskId,
    ) -> Result<Option<Committed>, ReaderError> {
        cx.check()?;
        let state = self.inner.shared.state();
        Ok(state.tasks.named(task).map(|task| positions::committed_of(task, &state)))
    }

    fn admin(&self) -> Arc<dyn LogAdmin> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl LogAdmin for Journal {
    fn log_id(&self) -> LogId {
        self.inner.shared.log
    }

    fn is_gapless(&self) -> bool {
        true
    }

    async fn ensure_topic(
        &self,
        cx: &Context,
        name: &TopicName,
        config: &TopicConfig,
    ) -> Result<Topic, AdminError> {
        cx.check()?;
        let (done, answer) = oneshot::channel();
        let request = Control::Topic { name: name.clone(), config: config.clone(), done };
        self.ask(request).ok_or(AdminError::Closed)?;
        cx.run(answer).await?.unwrap_or(Err(AdminError::Closed))
    }

    async fn topics(&self, cx: &Context) -> Result<Vec<Topic>, AdminError> {
        cx.check()?;
        let state = self.inner.shared.state();
        let mut topics: Vec<Topic> = state.topics.iter().map(|entry| entry.topic.clone()).collect();
        topics.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(topics)
    }

    async fn tasks(&self, cx: &Context) -> Result<Vec<TaskId>, AdminError> {
        cx.check()?;
        let state = self.inner.shared.state();
        let registered = state.tasks.iter().filter(|task| !task.is_released());
        let mut tasks: Vec<TaskId> = registered.map(|task| task.name.clone()).collect();
        tasks.sort();
        Ok(tasks)
    }

    async fn trim(
        &self,
        cx: &Context,
        partition: &TopicPartition,
        before: Offset,
    ) -> Result<(), AdminError> {
        cx.check()?;
        let shared = &self.inner.shared;
        let unknown = || AdminError::UnknownPartition(partition.clone());
        let (key, bounds) = shared.resolve(partition).ok_or_else(unknown)?;
        check::trim(partition, before, bounds.end.offset, None)?;
        if before <= bounds.start.offset {
            return Ok(());
        }
        let incarnation = positions::incarnation_before(shared, key, before, &bounds)
            .map_err(|error| AdminError::Storage(error.into()))?;
        // Without a segment that holds it, retention moved the start past it in the meantime.
        let Some(incarnation) = incarnation else { return Ok(()) };
        let before = LogPosition { incarnation, offset: before, ..bounds.start };
        let (done, answer) = oneshot::channel();
        let request = Control::Trim { partition: partition.clone(), before, done };
        self.ask(request).ok_or(AdminError::Closed)?;
        cx.run(answer).await?.unwrap_or(Err(AdminError::Closed))
    }

    async fn reposition(&self, cx: &Context, to: &Reposition) -> Result<(), OpenError> {
        cx.check()?;
        let mut consumed = Vec::with_capacity(to.consumed.len());
        for Consumed { partition, next } in &to.consumed {
            let key = positions::check(&self.inner.shared, partition, next)?;
            let (incarnation, offset) = (next.incarnation, next.offset);
            consumed.push(Place { key, incarnation, offset });
        }
        let (done, answer) = oneshot::channel();
        let to = Moved { owner: to.owner(), consumed, positions: to.positions.clone() };
        self.ask(Control::Reposition { to, done }).ok_or(OpenError::Closed)?;
        cx.run(answer).await?.unwrap_or(Err(OpenError::Closed))
    }
}

impl Journal {
    /// Queues a control request; `None` when the journal is closed.
    pub(super) fn ask(&self, control: Control) -> Option<()> {
        self.inner.shared.queue.push_awaited(Request::Control(control)).ok()
    }
}

/// Commits the transactions of one task.
#[derive(Debug)]
struct JournalWriter {
    shared: Arc<Shared>,
    task: TaskId,
    /// What the next transaction carries.
    producer: Producer,
    /// Set while a transaction is on its way: if the call is dropped, the outcome is unknown.
    is_dead: bool,
}

#[async_trait]
impl Writer for JournalWriter {
    async fn transact(
        &mut self,
        cx: &Context,
        transaction: Transaction,
    ) -> Result<(), TransactError> {
        if self.is_dead {
            return Err(TransactError::Fenced { task: self.task.clone() });
        }
        let (done, answer) = oneshot::channel();
        let bytes = transaction.records_bytes();
        let request = self.request(transaction, done)?;
        // Nothing is sent before there is room: giving up here changed nothing, but the contract
        // has one meaning for a cancelled call, and reopening is always right.
        self.is_dead = true;
        let share = cx.run(self.shared.queue.share(bytes)).await?;
        let Ok(share) = share else {
            self.is_dead = false;
            return Err(TransactError::Closed);
        };
        let admitted = Admitted { work: Work::Transact(request), share };
        if self.shared.queue.push_awaited(Request::Work(admitted)).is_err() {
            self.is_dead = false;
            return Err(TransactError::Closed);
        }
        let ended = || {
            let ended = std::io::Error::other("journal ended before the transaction was settled");
            TransactError::Storage(ended)
        };
        let result = cx.run(answer).await?.unwrap_or_else(|_ended| Err(ended()));
        match &result {
            Ok(()) => {
                self.producer.sequence += 1;
                self.is_dead = false;
            }
            Err(error) => self.is_dead = !error.is_refusal(),
        }
        result
    }
}

impl JournalWriter {
    /// Checks all that can be checked in the caller's thread.
    fn request(
        &self,
        transaction: Transaction,
        done: oneshot::Sender<Result<(), TransactError>>,
    ) -> Result<TransactRequest, TransactError> {
        let bytes_max = limit(self.shared.config.transaction_bytes_max.bytes());
        check::transaction_bytes(&transaction, bytes_max)?;
        let Transaction { records, consumed, positions } = transaction;
        let mut places = Vec::with_capacity(consumed.len());
        for consumed in &consumed {
            let position = consumed.next;
            let key = positions::check(&self.shared, &consumed.partition, &position);
            let key = key.map_err(|error| match error {
                ReaderError::UnknownPartition(partition) => {
                    TransactError::UnknownPartition(partition)
                }
                ReaderError::Storage(source) => TransactError::Storage(source),
                error => {
                    let name = consumed.partition.to_string();
                    tracing::error!(%name, %error, "consumed position does not fit the log");
                    TransactError::Position { name, reason: "it does not fit this log" }
                }
            })?;
            let (incarnation, offset) = (position.incarnation, position.offset);
            places.push(Place { key, incarnation, offset });
        }
        let pieces = pieces(&self.shared, records).map_err(TransactError::UnknownPartition)?;
        Ok(TransactRequest {
            task: self.task.clone(),
            producer: self.producer,
            pieces,
            consumed: places,
            positions,
            done,
        })
    }
}

/// Looks partitions up and computes the CRCs of what is large.
fn pieces(
    shared: &Shared,
    records: Vec<(TopicPartition, RecordBatch)>,
) -> Result<Vec<Piece>, TopicPartition> {
    let keys: Vec<_> = {
        let state = shared.state();
        records.iter().map(|(partition, _)| state.topics.key(partition)).collect()
    };
    let mut pieces = Vec::with_capacity(records.len());
    for (key, (partition, batch)) in keys.into_iter().zip(records) {
        let Some(key) = key else { return Err(partition) };
        let (bytes, count) = (batch.as_bytes().clone(), batch.len());
        let crc = (bytes.len() >= OWN_CRC_BYTES_MIN).then(|| crc32c::crc32c(&bytes));
        pieces.push(Piece { key, partition, bytes, count, crc });
    }
    Ok(pieces)
}

fn limit(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Returns whether the journal cannot write at the moment.
pub(super) fn is_broken(shared: &Shared) -> bool {
    shared.gauges.is_broken.load(Ordering::Relaxed)
}
