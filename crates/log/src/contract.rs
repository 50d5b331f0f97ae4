//! The contract of a log, for the embedded journal and for Kafka alike.
//!
//! ```text
//!   collector ── enqueue ──▶ ┌──────────────────────────────┐ ── fetch ──▶ task
//!                            │ topic-0  ▒▒▒▒▒▒▒▒▒▒          │               │
//!   task ────── transact ──▶ │ topic-1  ▒▒▒▒▒▒              │ ◀─ transact ──┘
//!                            │ positions of every task      │
//!                            └──────────────────────────────┘
//!              first readable offset ▲          ▲ end: what a reader may see
//! ```
//!
//! What must hold (the ids are those of `docs/invariants.md`):
//!
//! * **L1** an append resolves only after its records survive a power cut.
//! * **L2** offsets of a partition only grow and are never reused. They may have gaps; a log
//!   without gaps says so with [`LogAdmin::is_gapless`].
//! * **L3** readers see nothing undurable or uncommitted.
//! * **P2** a transaction holds outputs, positions and consumed offsets, or nothing.
//! * **P5** an owner fenced once never commits again.
//!
//! **In doubt, reopen.** After any error of [`Writer::transact`] but a refusal before anything
//! was sent (see [`crate::TransactError`]), the outcome is unknown: drop the writer and all that
//! is in memory, [`Log::open`] again and go on from what is committed.

use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as PollContext, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use millstream_model::{
    Epoch, LogId, LogPosition, Offset, RecordBatch, SourceId, TaskId, Timestamp, TopicName,
    TopicPartition,
};
use millstream_runtime::Context;
use tokio::sync::oneshot;

use crate::error::{AdminError, EnqueueError, FetchError, OpenError, ReaderError, TransactError};
use crate::topic::{Topic, TopicConfig};
use crate::transaction::{Appended, Committed, Consumed, OffsetBatch, Transaction};

/// Who opens a task, and what the task reads.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The task. One task has one owner and one transaction at a time.
    pub task: TaskId,
    /// What the task consumes. Retention keeps everything that a registered task has not read.
    pub inputs: Vec<TopicPartition>,
    /// The name under which the task's positions stood before it was renamed. A log that several
    /// workers share refuses the old name from then on ([`crate::PositionRefused::Renamed`]).
    pub renamed_from: Option<TaskId>,
}

impl Reposition {
    /// Returns who owns the task while it is moved.
    pub fn owner(&self) -> Owner {
        let inputs = self.consumed.iter().map(|consumed| consumed.partition.clone()).collect();
        Owner { task: self.task.clone(), inputs, renamed_from: None }
    }
}

/// A task, opened: the caller is its only owner until somebody else opens it.
#[derive(Debug)]
pub struct Opened {
    /// The fencing number of this ownership.
    pub epoch: Epoch,
    /// What the task committed so far.
    pub committed: Committed,
    /// Commits transactions of this task.
    pub writer: Box<dyn Writer>,
}

/// Where a task is to go on, whatever it committed.
#[derive(Debug, Clone)]
pub struct Reposition {
    /// The task.
    pub task: TaskId,
    /// Every input of the task, and where to read it on.
    pub consumed: Vec<Consumed>,
    /// Positions of sources that change with it; the others stay as they are.
    pub positions: Vec<(SourceId, Bytes)>,
}

/// A partitioned log.
///
/// All calls are finite: they end with an error when `cx` ends. Cancelling `open` or `transact`
/// leaves the outcome unknown; the other calls change nothing when cancelled.
#[async_trait]
pub trait Log: Debug + Send + Sync {
    /// Makes the caller the only owner of a task.
    ///
    /// Fences any earlier owner, waits until that one's last transaction is settled, and returns
    /// the task's committed positions and a writer. Inputs without a committed position are read
    /// from the first readable offset when the task never began, and refused otherwise
    /// ([`OpenError::Position`]).
    async fn open(&self, cx: &Context, owner: &Owner) -> Result<Opened, OpenError>;

    /// Appends records without an owner; all of them, atomically, or none.
    ///
    /// Never waits: a full log answers at once. The returned future resolves when the records
    /// are durable (L1), also if it is dropped; only then may a client be told. A Kafka log has no
    /// atomic append: where it stored a part, it resolves with each record's own outcome
    /// ([`EnqueueError::Records`]), and a batch whose offsets have gaps, of control records or of what
    /// others wrote, is answered as several runs of offsets ([`Appended`]).
    fn enqueue(&self, records: Vec<(TopicPartition, RecordBatch)>) -> Result<Append, EnqueueError>;

    /// Starts reading one partition at `from`.
    ///
    /// Refuses, and never rounds, a position that names another log, topic or incarnation, or
    /// that lies outside [`Log::bounds`] ([`ReaderError::Position`]).
    async fn reader(
        &self,
        cx: &Context,
        partition: &TopicPartition,
        from: LogPosition,
    ) -> Result<Box<dyn LogReader>, ReaderError>;

    /// The same for who only looks and may have many partitions open at once: a log that fetches
    /// ahead fetches little.
    async fn looking_reader(
        &self,
        cx: &Context,
        partition: &TopicPartition,
        from: LogPosition,
    ) -> Result<Box<dyn LogReader>, ReaderError> {
        self.reader(cx, partition, from).await
    }

    /// Returns the first readable position and the end that a reader may see now.
    async fn bounds(&self, cx: &Context, partition: &TopicPartition)
    -> Result<Bounds, ReaderError>;

    /// Returns the first offset whose record was accepted at `since` or later, or the end; `None`
    /// from a log that has no index by time, where whoever asks bisects.
    ///
    /// Times of acceptance need not be in order: what follows may hold earlier ones too.
    async fn offset_at(
        &self,
        _cx: &Context,
        _partition: &TopicPartition,
        _since: Timestamp,
    ) -> Result<Option<Offset>, ReaderError> {
        Ok(None)
    }

    /// Returns what a task committed, without owning it; `None` when it was never opened.
    async fn committed(
        &self,
        cx: &Context,
        task: &TaskId,
    ) -> Result<Option<Committed>, ReaderError>;

    /// Returns how long news of the assignment may be on their way to an owner that is fenced:
    /// an owner waits that long before it opens the task again.
    ///
    /// Zero where the assignment never changes. On Kafka it is the time between two heartbeats
    /// of the group: whoever lost the task in favour of the new owner hears so meanwhile.
    fn fence_pause(&self) -> Duration {
        Duration::ZERO
    }

    /// Returns the log's administration.
    fn admin(&self) -> Arc<dyn LogAdmin>;
}

/// Changes what a log consists of.
#[async_trait]
pub trait LogAdmin: Debug + Send + Sync {
    /// Returns the identity of the log.
    fn log_id(&self) -> LogId;

    /// Tells whether offsets count records: no control records, no compaction.
    fn is_gapless(&self) -> bool;

    /// Creates a topic, or finds it with the same number of partitions and applies the rest of
    /// `config`. Idempotent; a different number of partitions is refused.
    async fn ensure_topic(
        &self,
        cx: &Context,
        name: &TopicName,
        config: &TopicConfig,
    ) -> Result<Topic, AdminError>;

    /// Returns every topic, by name.
    async fn topics(&self, cx: &Context) -> Result<Vec<Topic>, AdminError>;

    /// Returns every task that was ever opened and not released. A log releases a task that left
    /// the configuration long ago: it holds back no records, but what it committed stays. Opened
    /// again it goes on there, or is refused when the records are gone ([`OpenError::Position`]).
    async fn tasks(&self, cx: &Context) -> Result<Vec<TaskId>, AdminError>;

    /// Makes records before `before` unreadable and lets retention take their space.
    ///
    /// Refused when it would pass the end, or a registered task's position (P4).
    async fn trim(
        &self,
        cx: &Context,
        partition: &TopicPartition,
        before: Offset,
    ) -> Result<(), AdminError>;

    /// Lets a task go on elsewhere than it committed: back, or in a topic that was created anew.
    ///
    /// For a person's decision, when [`Log::open`] refuses the committed position. Fences the
    /// task's owner. The positions must fit this log, and are refused otherwise. Afterwards the
    /// task counts as begun, and stands there; all of it is changed or nothing.
    async fn reposition(&self, cx: &Context, to: &Reposition) -> Result<(), OpenError>;
}

/// Commits the transactions of one task.
#[async_trait]
pub trait Writer: Debug + Send {
    /// Commits records, consumed offsets and positions: all of it or nothing (P2, P3).
    ///
    /// Returns when the transaction is decided and durable. The journal shows it to readers before
    /// it returns; on Kafka a reader, `bounds` and `committed` may follow some milliseconds later,
    /// and only a fresh `open` is a barrier. A transaction may hold `consumed` without records
    /// (a fetch can move past control records alone); an empty one is a no-op that proves nothing,
    /// not even ownership.
    ///
    /// Errors whose [`TransactError::is_refusal`] is true changed nothing and the writer may go
    /// on; after any other the writer is dead and the task must be opened again. A fenced writer
    /// does not prove that somebody else owns the task (Kafka fences an owner whose own
    /// transaction timed out): open again only what the assignment still gives.
    async fn transact(
        &mut self,
        cx: &Context,
        transaction: Transaction,
    ) -> Result<(), TransactError>;
}

/// Reads one partition in order.
#[async_trait]
pub trait LogReader: Debug + Send {
    /// Returns committed records from the reader's place on, and moves it.
    ///
    /// Waits up to `limits.wait_max` for the first record, then returns what is there, at least
    /// one record even if it alone exceeds `limits.bytes_max`. An empty answer may still move
    /// `next` past control records. Cancel-safe: a dropped call moved nothing.
    async fn fetch(&mut self, cx: &Context, limits: FetchLimits) -> Result<Fetched, FetchError>;
}

/// How much one fetch may bring, and how long it may wait.
#[derive(Debug, Clone, Copy)]
pub struct FetchLimits {
    /// The most bytes of encoded records, unless a single record is larger.
    pub bytes_max: usize,
    /// How long to wait when there is nothing.
    pub wait_max: Duration,
}

/// What one fetch brought.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// Records in order; offsets are contiguous within a batch and grow between batches.
    pub batches: Vec<OffsetBatch>,
    /// Where to go on: commit this as consumed once the records are dealt with.
    pub next: LogPosition,
    /// The end a reader could see when this answer was made: `end - next` is the lag in offsets.
    pub end: Offset,
}

impl Fetched {
    /// Returns the number of records.
    pub fn len(&self) -> u64 {
        self.batches.iter().map(|batch| u64::from(batch.records.len())).sum()
    }

    /// Returns whether no record came.
    pub fn is_empty(&self) -> bool {
        self.batches.iter().all(|batch| batch.records.is_empty())
    }
}

/// The readable part of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The first readable position.
    pub start: LogPosition,
    /// The position after the last durable and committed record (high watermark, or last stable
    /// offset on Kafka).
    pub end: LogPosition,
}

/// An append on its way; resolves when it is durable, with where each partition put it.
///
/// Dropping it does not take the append back.
#[derive(Debug)]
#[must_use = "tell the client only after this resolved"]
pub struct Append {
    done: oneshot::Receiver<Result<Vec<Appended>, EnqueueError>>,
}

/// Resolves an [`Append`].
pub type AppendDone = oneshot::Sender<Result<Vec<Appended>, EnqueueError>>;

impl Append {
    /// Builds an append and what resolves it; dropping the latter resolves it as unknown.
    pub fn channel() -> (AppendDone, Self) {
        let (tx, rx) = oneshot::channel();
        (tx, Self { done: rx })
    }
}

impl Future for Append {
    type Output = Result<Vec<Appended>, EnqueueError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut PollContext<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.done).poll(cx).map(|result| result.unwrap_or(Err(EnqueueError::Unknown)))
    }
}
