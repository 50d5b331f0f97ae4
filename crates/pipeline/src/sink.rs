//! The contract of a sink, and the worker that runs one.
//!
//! A sink stores rows *and its own positions in one atomic commit* in the system outside. The log
//! only learns of a position afterwards, so that retention and lag can follow: after a crash the
//! positions come from the sink, never from the log.
//!
//! ```text
//!   fetch ──▶ write ──▶ write ──▶ commit ═══▶ register ──▶ fetch …
//!             (staged rows)       │ rows,     │ log transaction: dead letters of what the
//!                                 │ positions,│ commit rejected, consumed, counts, commit id
//!                                 │ rejected  │
//!                    crash here ──┘           └── crash here: registered again at open
//!             nothing of it happened
//! ```

mod worker;

use std::fmt;
use std::fmt::Debug;

use async_trait::async_trait;
use millstream_log::OffsetBatch;
use millstream_model::{Classify, ErrorClass, LogPosition, Offset, TopicPartition};
use millstream_runtime::{Cancelled, Context};
use thiserror::Error;
use tokio::time::Instant;

pub use worker::{
    COMMIT_SOURCE, Config, GAP_SOURCE, PlacementError, RegisterError, Settings, SinkTask,
    SinkWorker, place,
};

/// Stores events in a system outside, exactly once.
///
/// One sink has one committer per worker, for all the partitions given to [`Sink::open`]. What
/// must hold:
///
/// * **Rows and positions are one.** [`Sink::commit`] stores all staged rows together with the
///   next position of every partition, or nothing. It is a compare-and-set: it goes in only if the
///   stored position of each input is still the one that the staged rows begin at, or that `open`
///   or the last commit returned. If not, it fails, and nothing is stored.
/// * **Unknown is not failed.** Before `commit` reports a failure it finds out whether its commit
///   id is stored. If it cannot find out, it returns an error; the caller then drops everything
///   and calls `open`, which reads what is stored.
/// * **A record is never an error.** A record that does not fit is left out of the rows and listed
///   in [`SinkCommit::rejected`], which is stored *in the commit*: whether it was rejected is
///   decided by the commit alone. An error of class `Invalid` means that the sink itself is at
///   fault (a column is gone, the table is another one); nothing is skipped, the task waits.
/// * **Rejected records are kept until the next commit of the committer that has their
///   partition.** A commit keeps those of every partition that is not its input: another worker
///   may have died before it wrote their dead letters. `open` returns all that are kept; the
///   caller knows from the log which of the letters are written, and writes the others before it
///   commits anything.
/// * **Any error, reopen.** After an error of any method the staged rows are void; the caller
///   calls `open` again, on the same value. `open` must work from any state.
///
/// Calls come one at a time. None is cancel-safe: a dropped call leaves the outcome unknown, and
/// the caller reopens. Calls end with an error when `cx` ends.
#[async_trait]
pub trait Sink: Debug + Send + Sync {
    /// Discards what is staged and reads what is stored for `inputs`.
    async fn open(
        &mut self,
        cx: &Context,
        inputs: &[TopicPartition],
    ) -> Result<SinkOpened, SinkError>;

    /// Stages the records of `batch`, which follow what was staged or stored of its partition.
    ///
    /// `next` is the position after the batch; it may lie beyond the last record's offset. A commit
    /// stores the position given last for each partition.
    async fn write(
        &mut self,
        cx: &Context,
        partition: &TopicPartition,
        batch: &OffsetBatch,
        next: LogPosition,
    ) -> Result<(), SinkError>;

    /// Returns what is staged and not yet committed.
    fn staged(&self) -> Staged;

    /// Stores what is staged with the positions after it, atomically, and forgets it.
    ///
    /// Returns when the commit is durable and was read back. Called only when something is staged
    /// (rows, or records that were rejected).
    async fn commit(&mut self, cx: &Context) -> Result<SinkCommit, SinkError>;
}

/// What a sink has stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkOpened {
    /// The position of each input; an input without one was never committed.
    pub positions: Vec<SinkPosition>,
    /// The last commit's id and the rejected records that are kept; `None` before the first.
    pub last_commit: Option<(CommitId, Vec<SinkReject>)>,
}

/// How far one partition is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkPosition {
    /// The partition.
    pub partition: TopicPartition,
    /// The next position to read.
    pub next: LogPosition,
    /// The rows ever stored of this partition.
    pub rows: u64,
    /// The records ever rejected of this partition.
    pub rejected: u64,
}

/// A commit that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkCommit {
    /// Its id, unique for ever.
    pub id: CommitId,
    /// The positions of all inputs after it, also of those it did not move.
    pub positions: Vec<SinkPosition>,
    /// The records it left out.
    pub rejected: Vec<SinkReject>,
}

/// A record that a sink left out because it does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkReject {
    /// The record's partition.
    pub partition: TopicPartition,
    /// The record's offset.
    pub offset: Offset,
    /// The field at fault; `None` when the record as a whole is.
    pub field: Option<String>,
    /// What is wrong, for people.
    pub reason: String,
}

/// The identity of one commit of a sink.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CommitId(pub String);

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What waits for the next commit of a sink.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Staged {
    /// Rows.
    pub rows: u64,
    /// Records left out.
    pub rejected: u64,
    /// Bytes, as the sink will store them; an estimate is enough.
    pub bytes: u64,
    /// When the oldest of it was written.
    pub since: Option<Instant>,
}

impl Staged {
    /// Returns whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.rows == 0 && self.rejected == 0
    }
}

/// Why a sink did not do what was asked; after any of them the caller reopens.
#[derive(Debug, Error)]
#[error("{action}: {source}")]
pub struct SinkError {
    /// What the sink was doing: a fixed lower-case word or two, shown as the stuck step.
    pub action: &'static str,
    /// What the caller does about it.
    pub class: ErrorClass,
    /// What went wrong.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl SinkError {
    /// Builds an error that knows its class.
    pub fn new(
        action: &'static str,
        source: impl std::error::Error + Classify + Send + Sync + 'static,
    ) -> Self {
        Self { action, class: source.class(), source: Box::new(source) }
    }
}

impl Classify for SinkError {
    fn class(&self) -> ErrorClass {
        self.class
    }
}

impl From<Cancelled> for SinkError {
    fn from(cancelled: Cancelled) -> Self {
        Self::new("wait", cancelled)
    }
}
