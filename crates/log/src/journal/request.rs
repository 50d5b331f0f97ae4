//! What callers ask the journal's thread for.

use bytes::Bytes;
use millstream_model::{Epoch, LogPosition, SourceId, TaskId, TopicName, TopicPartition};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tracing::trace;

use super::change::{Place, Producer};
use super::codec::PartitionKey;
use crate::contract::{AppendDone, Owner};
use crate::error::{AdminError, OpenError, TransactError};
use crate::topic::{Topic, TopicConfig};
use crate::transaction::Committed;

/// The records of one partition, as they came.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub key: PartitionKey,
    pub partition: TopicPartition,
    pub bytes: Bytes,
    pub count: u32,
    /// The CRC32C, computed by the caller's thread; `None` for small pieces, whose CRC is
    /// computed once over all that are written together.
    pub crc: Option<u32>,
}

/// Records and what becomes of them.
#[derive(Debug)]
pub(super) struct AppendRequest {
    pub pieces: Vec<Piece>,
    pub done: AppendDone,
}

/// A transaction and what becomes of it.
#[derive(Debug)]
pub(super) struct TransactRequest {
    pub task: TaskId,
    pub producer: Producer,
    pub pieces: Vec<Piece>,
    pub consumed: Vec<Place>,
    pub positions: Vec<(SourceId, Bytes)>,
    pub done: oneshot::Sender<Result<(), TransactError>>,
}

/// What is committed in groups.
#[derive(Debug)]
pub(super) enum Work {
    Append(AppendRequest),
    Transact(TransactRequest),
}

impl Work {
    /// Returns the records.
    pub(super) fn pieces(&self) -> &[Piece] {
        match self {
            Self::Append(request) => &request.pieces,
            Self::Transact(request) => &request.pieces,
        }
    }
}

/// What [`Control::Open`] answers.
#[derive(Debug)]
pub(super) struct OpenedTask {
    pub number: u64,
    pub epoch: Epoch,
    pub committed: Committed,
}

/// A task that goes on elsewhere; its places were checked by the caller.
#[derive(Debug)]
pub(super) struct Moved {
    pub owner: Owner,
    pub consumed: Vec<Place>,
    pub positions: Vec<(SourceId, Bytes)>,
}

/// What is done alone, between groups.
#[derive(Debug)]
pub(super) enum Control {
    Open {
        owner: Owner,
        done: oneshot::Sender<Result<OpenedTask, OpenError>>,
    },
    Reposition {
        to: Moved,
        done: oneshot::Sender<Result<(), OpenError>>,
    },
    Topic {
        name: TopicName,
        config: TopicConfig,
        done: oneshot::Sender<Result<Topic, AdminError>>,
    },
    Trim {
        partition: TopicPartition,
        before: LogPosition,
        done: oneshot::Sender<Result<(), AdminError>>,
    },
    Maintain {
        done: oneshot::Sender<()>,
    },
}

/// Work with its share of the queue's bytes, given back when it is settled.
#[derive(Debug)]
pub(super) struct Admitted {
    pub work: Work,
    #[expect(dead_code, reason = "held for its share of the queue's bytes")]
    pub share: OwnedSemaphorePermit,
}

/// One item of the queue.
#[derive(Debug)]
pub(super) enum Request {
    Work(Admitted),
    Control(Control),
}

/// Answers a caller. One that gave up has nobody to tell: it reopens and finds what happened.
pub(super) fn answer<T>(done: oneshot::Sender<T>, value: T) {
    if done.send(value).is_err() {
        trace!("nobody waits for this answer any more");
    }
}
