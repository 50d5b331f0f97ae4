//! What can go wrong with a log, split where callers act differently.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use millstream_model::{
    ByteSize, Classify, ErrorClass, Incarnation, LogId, Offset, TaskId, TopicId, TopicName,
    TopicPartition,
};
use millstream_runtime::Cancelled;
use thiserror::Error;

/// What helps where a topic or a partition is missing.
const MISSING: &str = "a node creates the topics of its configuration when it starts; \
                       start it again, or check the topic's name, its partitions and the right to see it";

/// A position that does not fit the log it is used on: refused, never skipped, never rounded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PositionRefused {
    /// The position belongs to another log.
    #[error(
        "position of {partition} belongs to log {named}, this is log {found}; restore the log it \
         belongs to, or choose where to go on with `millstream tasks reset`"
    )]
    OtherLog {
        /// The partition.
        partition: TopicPartition,
        /// The log the position names.
        named: LogId,
        /// The log that is open.
        found: LogId,
    },
    /// The topic was deleted and created anew.
    #[error(
        "position of {partition} belongs to topic id {named}, the topic now has id {found}: it was \
         created anew; choose where to begin in the new one with `millstream tasks reset`"
    )]
    OtherTopic {
        /// The partition.
        partition: TopicPartition,
        /// The topic id the position names.
        named: TopicId,
        /// The topic id that exists.
        found: TopicId,
    },
    /// Another history stands before the offset: a backup was restored and has grown since.
    #[error(
        "position {offset} of {partition} follows incarnation {named}, the log has {found} there: \
         the log was restored from an older state; restore the newer log, or choose where to go on \
         with `millstream tasks reset`"
    )]
    OtherHistory {
        /// The partition.
        partition: TopicPartition,
        /// The offset.
        offset: Offset,
        /// The incarnation the position names.
        named: Incarnation,
        /// The incarnation of the record before the offset.
        found: Incarnation,
    },
    /// The log ends before the offset: records after its end were lost.
    #[error(
        "position {offset} of {partition} lies beyond its end {end}: the log lost records, or was \
         restored from an older state; restore the newer log, or choose where to go on with \
         `millstream tasks reset`"
    )]
    BeyondEnd {
        /// The partition.
        partition: TopicPartition,
        /// The offset.
        offset: Offset,
        /// The end of the partition.
        end: Offset,
    },
    /// The records at the offset are gone.
    #[error(
        "position {offset} of {partition} lies before its first readable offset {start}: the \
         records between were deleted; accept the gap with `millstream tasks reset`"
    )]
    BeforeStart {
        /// The partition.
        partition: TopicPartition,
        /// The offset.
        offset: Offset,
        /// The first readable offset.
        start: Offset,
    },
    /// The task began and its position is gone.
    #[error(
        "task {task} has committed before, but its position of {partition} is gone; choose where to go \
         on with `millstream tasks reset`"
    )]
    Lost {
        /// The task.
        task: TaskId,
        /// The input without a position.
        partition: TopicPartition,
    },
    /// The task's last transaction is committed in part, and nothing can complete it.
    #[error(
        "the last transaction of task {task} was committed in some partitions only, and {place} no \
         longer has the rest of it: compare with `millstream reconcile --deep`, then choose where to \
         go on with `millstream tasks reset`, for a task of the spool with \
         `millstream spool replay --accept-loss`"
    )]
    Torn {
        /// The task.
        task: TaskId,
        /// The partition and offset from which records are gone, as the log names them.
        place: String,
    },
    /// The task has a position, but the log no longer knows that it ever began.
    #[error(
        "task {task} has a position of {partition}, but what else was known of it is gone: the \
         topic of positions was deleted or created anew; restore it, or choose where to go on with \
         `millstream tasks reset`"
    )]
    Forgotten {
        /// The task.
        task: TaskId,
        /// The input with a position.
        partition: TopicPartition,
    },
    /// The task goes on under another name; under this one it would begin anew.
    #[error(
        "task {task} goes on under another name{}: stop this worker, or give it the configuration \
         with the new name",
        to.as_ref().map(|to| format!(", {to}")).unwrap_or_default()
    )]
    Renamed {
        /// The task.
        task: TaskId,
        /// Its new name, if that is known.
        to: Option<TaskId>,
    },
}

/// Why a task could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A committed position does not fit this log.
    #[error(transparent)]
    Position(#[from] PositionRefused),
    /// An input does not exist.
    #[error("{0} does not exist: {MISSING}")]
    UnknownPartition(TopicPartition),
    /// The worker owns as many tasks as it may.
    #[error("task {task} is one too many: a worker owns at most {tasks_max}")]
    TooManyTasks {
        /// The task.
        task: TaskId,
        /// The bound.
        tasks_max: usize,
    },
    /// Nothing more can be written.
    #[error("log is full")]
    Full,
    /// The log is draining or closed.
    #[error("log is closed")]
    Closed,
    /// The disk or the broker failed.
    #[error("log storage")]
    Storage(#[source] io::Error),
    /// The caller gave up.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Why records were not appended.
#[derive(Debug, Error)]
pub enum EnqueueError {
    /// The append queue or the byte budget is full.
    #[error("log is full, try again in {} ms", retry_after.as_millis())]
    Full {
        /// When room is expected, from the bytes that wait and the rate at which they drain.
        retry_after: Duration,
    },
    /// A partition does not exist.
    #[error("{0} does not exist: {MISSING}")]
    UnknownPartition(TopicPartition),
    /// The batch exceeds what one append may hold.
    #[error(
        "append of {} exceeds the limit of {} (append_bytes_max, or record_bytes_max for a single record)",
        size(*bytes),
        size(*bytes_max)
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The log is draining or closed; nothing was appended.
    #[error("log is closed")]
    Closed,
    /// The disk or the broker failed; whether the records are stored is unknown.
    #[error("log storage")]
    Storage(#[source] io::Error),
    /// The log ended before it answered; whether the records are stored is unknown.
    #[error("log ended before the append was settled")]
    Unknown,
    /// Some records were not appended, or may not have been: the outcome is each record's own.
    /// Only of a log whose appends are not atomic.
    #[error(
        "{} of {} records were not appended for sure",
        count(outcomes, false),
        count(outcomes, true)
    )]
    Records {
        /// What became of each record, batch by batch as they were given.
        outcomes: Vec<Vec<RecordOutcome>>,
        /// The first failure.
        #[source]
        source: io::Error,
    },
}

/// What became of one record of an append that is not atomic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordOutcome {
    /// It is durable, at this offset; `None` where the log does not say it
    /// ([`crate::Landed::Somewhere`]).
    Appended(Option<Offset>),
    /// It is not stored and will not be; the class says whether it is worth sending again.
    Refused(ErrorClass),
    /// It may be stored or not, now or later.
    Unknown,
}

/// Returns a size as the configuration writes it.
fn size(bytes: usize) -> ByteSize {
    ByteSize(bytes as u64)
}

/// Counts records, or those that are not known to be appended.
fn count(outcomes: &[Vec<RecordOutcome>], all: bool) -> usize {
    let is_counted =
        |outcome: &&RecordOutcome| all || !matches!(outcome, RecordOutcome::Appended(_));
    outcomes.iter().flatten().filter(is_counted).count()
}

/// Why a transaction did not commit, or may not have.
#[derive(Debug, Error)]
pub enum TransactError {
    /// Somebody else opened the task: this owner is done for good (P5).
    #[error(
        "task {task} is fenced: it has a newer owner, or its transaction took so long that the log \
         ended it (see transaction_time_max); it opens again if it is still this worker's"
    )]
    Fenced {
        /// The task.
        task: TaskId,
    },
    /// The log is too full for this kind of transaction; nothing changed.
    #[error("log is full for this transaction")]
    Full,
    /// The transaction exceeds a limit; nothing changed.
    #[error(
        "transaction of {} exceeds the limit of {} (transaction_bytes_max, or record_bytes_max for a single record)",
        size(*bytes),
        size(*bytes_max)
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A partition does not exist; nothing changed.
    #[error("{0} does not exist: {MISSING}")]
    UnknownPartition(TopicPartition),
    /// A position is too large, names an input the task does not own, or moves backwards;
    /// nothing changed.
    #[error("position of {name}: {reason}")]
    Position {
        /// Which.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The broker rejects a record, and would each time; nothing was committed, but the task must be
    /// opened again.
    #[error("log rejects a record")]
    Rejected(#[source] io::Error),
    /// The log is draining or closed; nothing changed.
    #[error("log is closed")]
    Closed,
    /// The disk or the broker failed; whether the transaction committed is unknown.
    #[error("log storage")]
    Storage(#[source] io::Error),
    /// The call was given up; whether the transaction committed is unknown.
    #[error(
        "transaction given up ({0}); opening the task again shows whether it was committed; if it \
         only took too long, raise transaction_time_max, for a sink commit_time_max"
    )]
    Cancelled(#[from] Cancelled),
}

impl TransactError {
    /// Tells whether the transaction was refused before anything was written, so that the writer
    /// may go on; after any other error the task must be opened again.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Full | Self::TooLarge { .. } | Self::UnknownPartition(_) => true,
            Self::Position { .. } | Self::Closed => true,
            Self::Fenced { .. } | Self::Rejected(_) => false,
            Self::Storage(_) | Self::Cancelled(_) => false,
        }
    }
}

/// Why reading could not start, or a position could not be looked up.
#[derive(Debug, Error)]
pub enum ReaderError {
    /// The position does not fit this log.
    #[error(transparent)]
    Position(#[from] PositionRefused),
    /// The partition does not exist.
    #[error("{0} does not exist: {MISSING}")]
    UnknownPartition(TopicPartition),
    /// The log is closed.
    #[error("log is closed")]
    Closed,
    /// The disk or the broker failed.
    #[error("log storage")]
    Storage(#[source] io::Error),
    /// Stored bytes do not match their checksum or contradict each other.
    #[error("{} at byte {at} is corrupt: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        at: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The caller gave up.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Why a fetch brought nothing: the same reasons as for starting to read.
pub type FetchError = ReaderError;

/// Why administration did not do what was asked.
#[derive(Debug, Error)]
pub enum AdminError {
    /// A topic exists with another number of partitions.
    #[error("topic {topic} has {found} partitions, {wanted} were asked for; the number is fixed")]
    Partitions {
        /// The topic.
        topic: TopicName,
        /// How many it has.
        found: u32,
        /// How many were asked for.
        wanted: u32,
    },
    /// A configuration value lies outside its range.
    #[error("topic {topic}: {reason}")]
    Config {
        /// The topic.
        topic: TopicName,
        /// What is wrong.
        reason: &'static str,
    },
    /// Trimming would pass what a task has not read (P4).
    #[error("trim of {partition} before {before} would pass task {task}, which is at {position}")]
    PassesPosition {
        /// The partition.
        partition: TopicPartition,
        /// Where the trim would end.
        before: Offset,
        /// The task it would pass.
        task: TaskId,
        /// That task's position.
        position: Offset,
    },
    /// The partition does not exist.
    #[error("{0} does not exist: {MISSING}")]
    UnknownPartition(TopicPartition),
    /// Nothing more can be written.
    #[error("log is full")]
    Full,
    /// The log is closed.
    #[error("log is closed")]
    Closed,
    /// The disk or the broker failed.
    #[error("log storage")]
    Storage(#[source] io::Error),
    /// The caller gave up.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl From<ReaderError> for OpenError {
    fn from(error: ReaderError) -> Self {
        match error {
            ReaderError::Position(refused) => Self::Position(refused),
            ReaderError::UnknownPartition(partition) => Self::UnknownPartition(partition),
            ReaderError::Closed => Self::Closed,
            ReaderError::Storage(source) => Self::Storage(source),
            corrupt @ ReaderError::Corrupt { .. } => Self::Storage(io::Error::other(corrupt)),
            ReaderError::Cancelled(cancelled) => Self::Cancelled(cancelled),
        }
    }
}

impl Classify for PositionRefused {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

impl Classify for OpenError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Position(error) => error.class(),
            Self::UnknownPartition(_) | Self::TooManyTasks { .. } => ErrorClass::Invalid,
            Self::Full => ErrorClass::Overloaded,
            Self::Closed | Self::Storage(_) => ErrorClass::Transient,
            Self::Cancelled(error) => error.class(),
        }
    }
}

impl Classify for EnqueueError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Full { .. } => ErrorClass::Overloaded,
            Self::UnknownPartition(_) | Self::TooLarge { .. } => ErrorClass::Invalid,
            Self::Closed | Self::Storage(_) | Self::Unknown => ErrorClass::Transient,
            Self::Records { outcomes, .. } => {
                let is_open = |outcome: &RecordOutcome| match outcome {
                    RecordOutcome::Appended(_) => false,
                    RecordOutcome::Refused(class) => *class != ErrorClass::Invalid,
                    RecordOutcome::Unknown => true,
                };
                let open = outcomes.iter().flatten().any(is_open);
                if open { ErrorClass::Transient } else { ErrorClass::Invalid }
            }
        }
    }
}

impl Classify for TransactError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Full => ErrorClass::Overloaded,
            Self::TooLarge { .. } | Self::UnknownPartition(_) => ErrorClass::Invalid,
            Self::Rejected(_) => ErrorClass::Invalid,
            Self::Position { .. } => ErrorClass::Bug,
            Self::Fenced { .. } | Self::Closed | Self::Storage(_) => ErrorClass::Transient,
            Self::Cancelled(error) => error.class(),
        }
    }
}

impl Classify for ReaderError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Position(error) => error.class(),
            Self::UnknownPartition(_) => ErrorClass::Invalid,
            Self::Closed | Self::Storage(_) => ErrorClass::Transient,
            Self::Corrupt { .. } => ErrorClass::Corrupt,
            Self::Cancelled(error) => error.class(),
        }
    }
}

impl Classify for AdminError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Partitions { .. } | Self::Config { .. } => ErrorClass::Invalid,
            Self::PassesPosition { .. } | Self::UnknownPartition(_) => ErrorClass::Invalid,
            Self::Full => ErrorClass::Overloaded,
            Self::Closed | Self::Storage(_) => ErrorClass::Transient,
            Self::Cancelled(error) => error.class(),
        }
    }
}
