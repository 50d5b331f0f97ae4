//! The spool: forwards the collector's journal to a cluster, each record exactly once.
//!
//! ```text
//!   collector ─▶ journal, partition p ── fetch ──▶ forwarder p ── transact ──▶ topic, partition p
//!                     ▲                              │      records and position, all or nothing
//!                     └───────── register ───────────┘
//!                  the same position, afterwards
//! ```
//!
//! The cluster's position decides, for it stands in the transaction of the records. The journal's
//! follows, so that retention and lag know, and so that a cluster that was taken back and a disk
//! that was copied are noticed ([`Disagreement`]): then the forwarder stops, and a person decides.
//!
//! Records leave in the order they came: one transaction at a time, partition by partition. What
//! the cluster refuses for good (too large, invalid) is found by halving, listed in the position,
//! and then written to a dead-letter topic of the journal; opening finishes that step first.
//! Everything else waits, however long: the journal takes events until it is full.

mod agreement;
mod catch_up;
mod position;
pub mod replay;
mod session;
mod shelf;

use std::sync::Arc;
use std::time::Duration;

use millstream_log::{FetchLimits, Log, ReaderError};
use millstream_model::{
    ByteSize, Classify, ErrorClass, LogId, LogPosition, Offset, TaskId, TopicPartition,
};
use millstream_runtime::{Clock, Context, Rng};
use thiserror::Error;
use tokio::sync::watch;

use crate::attempt::{self, Attempts, Portion, Recover};
use crate::config_error::ConfigError;
use crate::failure::Failure;
use crate::status::{StatusReporter, TaskStatus};
pub use agreement::Disagreement;
use agreement::Known;
pub use position::{Position, PositionError, REFUSALS_MAX, Refusal, SPOOL_SOURCE};
use shelf::Shelf;

/// How much of a topic's name stands in a task's id, which holds at most 249 bytes; what is longer
/// ends with its checksum.
const TOPIC_BYTES_MAX: usize = 150;

/// How a spool works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The most bytes of records that are forwarded together.
    pub batch_bytes_max: ByteSize,
    /// How long the next transaction waits after the last one began, unless a batch is full.
    pub forward_interval: Duration,
    /// How long one transaction may take before its outcome counts as unknown; at most half of
    /// the cluster's transaction time-out.
    pub transaction_time_max: Duration,
    /// How long the journal may not know what was forwarded.
    pub register_interval: Duration,
    /// How many bytes may be forwarded without the journal knowing.
    pub register_bytes_max: ByteSize,
    /// How long the current transaction may still take when the node stops.
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_bytes_max: ByteSize::mib(4),
            forward_interval: Duration::from_millis(20),
            transaction_time_max: Duration::from_secs(30),
            register_interval: Duration::from_secs(1),
            register_bytes_max: ByteSize::mib(64),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Checks the limits.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let error = |key, reason| Err(ConfigError { key, reason });
        if !(ByteSize::kib(1)..=ByteSize::mib(64)).contains(&self.batch_bytes_max) {
            return error("batch_bytes_max", "from 1 KiB to 64 MiB");
        }
        if self.forward_interval > Duration::from_secs(10) {
            return error("forward_interval", "at most 10 s");
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(450)).contains(&self.transaction_time_max)
        {
            return error("transaction_time_max", "from 1 s to 450 s");
        }
        if !(Duration::from_millis(10)..=Duration::from_secs(60)).contains(&self.register_interval)
        {
            return error("register_interval", "from 10 ms to 60 s");
        }
        if !(ByteSize::kib(1)..=ByteSize::gib(1)).contains(&self.register_bytes_max) {
            return error("register_bytes_max", "from 1 KiB to 1 GiB");
        }
        if self.drain_timeout > Duration::from_secs(300) {
            return error("drain_timeout", "at most 300 s");
        }
        Ok(())
    }

    fn batch_bytes(&self) -> usize {
        usize::try_from(self.batch_bytes_max.bytes()).unwrap_or(usize::MAX)
    }
}

/// What a forwarder works on; set by code.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its task in the journal; see [`local_task`].
    pub task: TaskId,
    /// Its task in the cluster; see [`remote_task`].
    pub remote_task: TaskId,
    /// What it reads in the journal.
    pub input: TopicPartition,
    /// Where it writes in the cluster.
    pub output: TopicPartition,
    /// Where the journal keeps what the cluster refuses for good.
    pub dead_letters: TopicPartition,
    /// How it works.
    pub config: Config,
}

/// What a forwarder runs on.
#[derive(Debug)]
pub struct Surroundings {
    /// The journal that it reads.
    pub local: Arc<dyn Log>,
    /// The cluster that it writes to.
    pub remote: Arc<dyn Log>,
    /// The wall clock, for what status shows.
    pub clock: Clock,
    /// Randomness, for backing off.
    pub rng: Rng,
}

/// Returns the id of the task in the journal that forwards `input`. It names the topic: a journal
/// that took events for several topics, one after the other, forwards each of them.
pub fn local_task(app: &str, input: &TopicPartition) -> TaskId {
    task(&format!("{app}.spool"), input)
}

/// Returns the id of a forwarder's task in the cluster: it names the journal, not the host, so
/// that a node that comes back elsewhere with the same disk goes on.
pub fn remote_task(app: &str, journal: LogId, input: &TopicPartition) -> TaskId {
    task(&format!("{app}.spool.{}", journal.0.simple()), input)
}

fn task(stem: &str, TopicPartition { topic, partition }: &TopicPartition) -> TaskId {
    let name = topic.as_str();
    let id = match name.get(..TOPIC_BYTES_MAX) {
        Some(begin) if begin.len() < name.len() => {
            format!("{stem}.{begin}-{:08x}.{partition}", crc32c::crc32c(name.as_bytes()))
        }
        _ => format!("{stem}.{name}.{partition}"),
    };
    TaskId::new(&id).expect("the application's name is checked, the topic's is cut to fit")
}

/// Returns whether a forwarder has anything to do on `input`: what its task in the journal has not
/// registered yet, which may be forwarded already.
pub async fn is_waiting(
    cx: &Context,
    local: &dyn Log,
    task: &TaskId,
    input: &TopicPartition,
) -> Result<bool, LookError> {
    let bounds = local.bounds(cx, input).await?;
    let committed = local.committed(cx, task).await?.unwrap_or_default();
    let next = Position::of_committed(&committed)?.map_or(bounds.start, |position| position.next);
    Ok(next.offset < bounds.end.offset)
}

/// Why it could not be looked up how far a journal is forwarded.
#[derive(Debug, Error)]
pub enum LookError {
    /// The journal gives no answer.
    #[error("read the journal")]
    Read(#[from] ReaderError),
    /// A stored position cannot be read.
    #[error(transparent)]
    Position(#[from] PositionError),
}

impl Classify for LookError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read(error) => error.class(),
            Self::Position(error) => error.class(),
        }
    }
}

/// Forwards one partition.
#[derive(Debug)]
pub struct Forwarder {
    local: Arc<dyn Log>,
    remote: Arc<dyn Log>,
    settings: Settings,
    clock: Clock,
    reporter: StatusReporter,
    attempts: Attempts,
    portion: Portion,
    known: Known,
}

/// On which side something failed: that side is opened again.
#[derive(Debug)]
enum Trouble {
    /// The journal: everything is dropped.
    Local(Failure),
    /// The cluster: what the journal's task owns stays.
    Remote(Failure),
    /// The cluster refused records, and is opened again to be given less.
    Refused,
}

/// What a forwarder waits for, however long.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
enum Obstacle {
    /// The cluster has no such partition.
    #[error(
        "{0} does not exist in the cluster; create the topic, with as many partitions as the \
         configuration gives it"
    )]
    NoTopic(TopicPartition),
    /// The journal says that there is a record, and gives none.
    #[error("the journal gives no record of {0} at offset {1}")]
    NoRecord(TopicPartition, Offset),
}

impl Classify for Obstacle {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoTopic(_) => ErrorClass::Invalid,
            Self::NoRecord(..) => ErrorClass::Transient,
        }
    }
}

impl Recover for Forwarder {
    fn attempt(&mut self, cx: &Context) -> impl Future<Output = Result<(), Failure>> + Send {
        self.own(cx)
    }

    fn recovery(&mut self) -> (&StatusReporter, &mut Attempts) {
        (&self.reporter, &mut self.attempts)
    }
}

impl Forwarder {
    /// Takes both logs; nothing is opened before [`Forwarder::run`].
    pub fn new(
        settings: Settings,
        surroundings: Surroundings,
    ) -> (Self, watch::Receiver<TaskStatus>) {
        let Surroundings { local, remote, clock, rng } = surroundings;
        let (reporter, status) = StatusReporter::new(settings.task.clone(), clock.clone());
        let portion = Portion::new(settings.config.batch_bytes());
        let (attempts, known) = (Attempts::new(rng), Known::default());
        (Self { local, remote, settings, clock, reporter, attempts, portion, known }, status)
    }

    /// Runs until `cx` is cancelled, then finishes and registers the current transaction.
    ///
    /// Returns an error only when journal and cluster disagree ([`Disagreement`]) or stored data
    /// contradicts itself: a person must look. Dropping the future is a kill: whatever was not
    /// committed is forwarded after the next start.
    pub async fn run(mut self, cx: &Context) -> Result<(), Failure> {
        attempt::run(&mut self, cx).await
    }

    /// Owns the journal's task until the forwarder is to stop (`Ok`) or the journal fails. It is
    /// opened first and once: a registered task keeps what is not forwarded, also when the
    /// cluster is away from the first moment on.
    async fn own(&mut self, cx: &Context) -> Result<(), Failure> {
        let Ok(shelf) = cx.run(self.open_shelf(cx)).await else { return Ok(()) };
        let mut shelf = shelf?;
        loop {
            let failure = match self.session(cx, &mut shelf).await {
                Ok(()) => return Ok(()),
                Err(Trouble::Local(failure)) => return Err(failure),
                // At once: each time there is less, down to a single record.
                Err(Trouble::Refused) => continue,
                Err(Trouble::Remote(failure)) if failure.is_fatal() => return Err(failure),
                Err(Trouble::Remote(failure)) => failure,
            };
            self.look_at_backlog(cx, shelf.next()).await;
            if self.attempts.failed(cx, &self.reporter, &failure).await.is_err() {
                return Ok(());
            }
        }
    }

    /// Shows how much waits while the cluster is away. A look that fails changes nothing: whoever
    /// goes on needs the journal too, and says so.
    async fn look_at_backlog(&self, cx: &Context, next: Option<LogPosition>) {
        let input = &self.settings.input;
        let Ok(bounds) = self.local.bounds(cx, input).await else { return };
        let from = next.unwrap_or(bounds.start);
        let Ok(mut reader) = self.local.reader(cx, input, from).await else { return };
        let limits = FetchLimits { bytes_max: 1, wait_max: Duration::ZERO };
        let Ok(fetched) = reader.fetch(cx, limits).await else { return };
        self.reporter.update(|status| {
            status.oldest = session::oldest(&fetched);
            if let Some(input) = status.inputs.first_mut() {
                input.end = bounds.end.offset;
            }
            crate::metrics::lag(status);
            crate::metrics::oldest(status, self.clock.now());
        });
    }
}

#[cfg(test)]
mod tests;
