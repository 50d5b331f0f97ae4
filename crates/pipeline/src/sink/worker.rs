//! The sink worker: reads the partitions of one sink and commits them together.
//!
//! Where to read on comes from the sink; the log's own position only follows, so that retention
//! and lag know. What a commit rejected is written to the dead letters afterwards, in a log
//! transaction that names the commit: `open` finishes that step first if a crash came between.

mod gap;
mod identity;
mod intake;
mod placement;
mod register;
mod session;
mod trail;

use std::sync::Arc;
use std::time::Duration;

use millstream_log::{Log, Owner};
use millstream_model::{ByteSize, TaskId, TopicName, TopicPartition};
use millstream_runtime::Context;
use tokio::sync::watch;

use super::Sink;
use crate::attempt::{self, Attempts, Recover};
use crate::config_error::ConfigError;
use crate::failure::Failure;
use crate::processor::Surroundings;
use crate::status::{StatusReporter, TaskStatus};

pub use gap::GAP_SOURCE;
pub use placement::{PlacementError, place};
pub use register::{COMMIT_SOURCE, RegisterError};

/// How a sink worker works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How old staged rows may get before they are committed.
    pub commit_interval: Duration,
    /// How many bytes may be staged before they are committed.
    pub commit_bytes_max: ByteSize,
    /// How many rows may be staged before they are committed.
    pub commit_rows_max: u64,
    /// The most bytes of records that one fetch of one partition brings.
    pub batch_bytes_max: ByteSize,
    /// How long a write or a commit may take before its outcome counts as unknown.
    pub commit_time_max: Duration,
    /// How long the last commit may still take when the node stops.
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            commit_interval: Duration::from_secs(1),
            commit_bytes_max: ByteSize::mib(64),
            commit_rows_max: 1_000_000,
            batch_bytes_max: ByteSize::mib(1),
            commit_time_max: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Checks the limits.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let error = |key, reason| Err(ConfigError { key, reason });
        let interval = Duration::from_millis(10)..=Duration::from_secs(3600);
        if !interval.contains(&self.commit_interval) {
            return error("commit_interval", "from 10 ms to 1 h");
        }
        if !(ByteSize::kib(64)..=ByteSize::gib(1)).contains(&self.commit_bytes_max) {
            return error("commit_bytes_max", "from 64 KiB to 1 GiB");
        }
        if self.commit_rows_max == 0 {
            return error("commit_rows_max", "at least 1");
        }
        if !(ByteSize::kib(1)..=ByteSize::mib(64)).contains(&self.batch_bytes_max) {
            return error("batch_bytes_max", "from 1 KiB to 64 MiB");
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(900)).contains(&self.commit_time_max) {
            return error("commit_time_max", "from 1 s to 900 s");
        }
        if self.drain_timeout > Duration::from_secs(300) {
            return error("drain_timeout", "at most 300 s");
        }
        Ok(())
    }
}

/// What a sink worker works on; set by code.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name that its tasks share, for status and logs: `<app>.<sink>.sink`.
    pub name: TaskId,
    /// The sink's name in the configuration, for its dead letters.
    pub sink: String,
    /// One log task per input partition.
    pub tasks: Vec<SinkTask>,
    /// Where rejected records go.
    pub dead_letters: TopicName,
    /// The number of partitions of that topic; the input's number is taken modulo it.
    pub dead_letter_partitions: u32,
    /// How it works.
    pub config: Config,
}

/// The log task of one input partition of a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkTask {
    /// The task: `<app>.<sink>.sink.<partition>`.
    pub task: TaskId,
    /// The name under which its positions stood before it was renamed.
    pub renamed_from: Option<TaskId>,
    /// What it reads.
    pub input: TopicPartition,
}

impl SinkTask {
    fn owner(&self) -> Owner {
        Owner {
            task: self.task.clone(),
            inputs: vec![self.input.clone()],
            renamed_from: self.renamed_from.clone(),
        }
    }
}

/// Runs one sink with all its partitions.
#[derive(Debug)]
pub struct SinkWorker<S> {
    log: Arc<dyn Log>,
    settings: Settings,
    sink: S,
    reporter: StatusReporter,
    attempts: Attempts,
    /// How large transactions of dead letters may be: less after one was refused.
    letters_bytes_max: usize,
}

impl<S: Sink> Recover for SinkWorker<S> {
    fn attempt(&mut self, cx: &Context) -> impl Future<Output = Result<(), Failure>> + Send {
        self.session(cx)
    }

    fn recovery(&mut self) -> (&StatusReporter, &mut Attempts) {
        (&self.reporter, &mut self.attempts)
    }
}

impl<S: Sink> SinkWorker<S> {
    /// Takes a sink; nothing is opened before [`SinkWorker::run`].
    pub fn new(
        settings: Settings,
        sink: S,
        surroundings: Surroundings,
    ) -> (Self, watch::Receiver<TaskStatus>) {
        let Surroundings { log, clock, rng } = surroundings;
        let (reporter, status) = StatusReporter::new(settings.name.clone(), clock);
        let attempts = Attempts::new(rng);
        let letters_bytes_max = register::DEAD_LETTERS_BYTES_MAX;
        (Self { log, settings, sink, reporter, attempts, letters_bytes_max }, status)
    }

    /// Runs until `cx` is cancelled, then commits what is staged and returns.
    ///
    /// Returns an error only when stored data contradicts itself: a person must look. Dropping the
    /// future is a kill: whatever was not committed is read again after the next start.
    pub async fn run(mut self, cx: &Context) -> Result<(), Failure> {
        attempt::run(&mut self, cx).await
    }
}
