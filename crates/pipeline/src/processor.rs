//! The processor: one task that reads one partition, cleans it, and commits the outcome.
//!
//! ```text
//!   ┌─▶ open ─▶ fetch ─▶ clean ─▶ transact ─┐
//!   │            ▲                          │ committed: go on
//!   │            └──────────────────────────┤
//!   └───────────────────────────────────────┘ any doubt: drop everything, open again
//! ```
//!
//! One transaction holds the clean records, the dead letters, the consumed position and the
//! counts, so each record is dealt with exactly once. Records leave in the order they came (P1):
//! there is one transaction at a time, and the next batch is fetched after it. Where a step keeps
//! state, its changes are records of the same transaction, and opening rebuilds it from them.
//!
//! Nothing is ever skipped. What fails twice at one position is tried with half as much; a single
//! record that fails for good goes to the dead letters with the reason; everything else waits and
//! shows as *stuck*. A full dead-letter topic therefore stops the pipeline.
//!
//! An owner that is fenced waits before it opens the task again: if the task went to another
//! worker, the assignment says so meanwhile and ends this one, and two workers do not fence each
//! other in turn. If it stayed here (Kafka also fences an owner whose own transaction took too
//! long), the task goes on after the pause. See [`millstream_log::Log::fence_pause`].

mod gather;
mod keeping;
mod restore;
mod session;

use std::sync::Arc;
use std::time::Duration;

use millstream_log::{Log, Owner};
use millstream_model::{ByteSize, TaskId, TopicName, TopicPartition};
use millstream_runtime::{Clock, Context, Rng};
use tokio::sync::watch;

use crate::attempt::{self, Attempts, Portion, Recover};
use crate::cleaner::{self, Cleaner, CleanerError};
use crate::config_error::ConfigError;
use crate::failure::Failure;
use crate::status::{StatusReporter, TaskStatus};

use keeping::LateEvents;

pub use keeping::Keeping;

/// How a processor works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The most bytes of records that are cleaned and committed together.
    pub batch_bytes_max: ByteSize,
    /// The most bytes of records in one transaction; what a batch grows to.
    pub transaction_bytes_max: ByteSize,
    /// How long one transaction may take before its outcome counts as unknown; at most half of
    /// the transaction time-out on Kafka.
    pub transaction_time_max: Duration,
    /// How long the current transaction may still take when the node stops.
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_bytes_max: ByteSize::mib(1),
            transaction_bytes_max: ByteSize::mib(8),
            transaction_time_max: Duration::from_secs(30),
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
        if self.transaction_bytes_max < self.batch_bytes_max {
            return error("transaction_bytes_max", "at least batch_bytes_max");
        }
        if self.transaction_bytes_max > ByteSize::mib(128) {
            return error("transaction_bytes_max", "at most 128 MiB");
        }
        if !(Duration::from_secs(1)..=Duration::from_secs(450)).contains(&self.transaction_time_max)
        {
            return error("transaction_time_max", "from 1 s to 450 s");
        }
        if self.drain_timeout > Duration::from_secs(300) {
            return error("drain_timeout", "at most 300 s");
        }
        Ok(())
    }

    fn transaction_bytes(&self) -> usize {
        to_usize(self.transaction_bytes_max)
    }
}

fn to_usize(size: ByteSize) -> usize {
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
}

/// What a processor works on; set by code.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The task.
    pub task: TaskId,
    /// The name under which its positions stood before it was renamed.
    pub renamed_from: Option<TaskId>,
    /// What it reads.
    pub input: TopicPartition,
    /// Where clean records go: the partition with the input's number if there are as many, else
    /// by key.
    pub output: TopicName,
    /// Where rejected records go.
    pub dead_letters: TopicName,
    /// The number of partitions of that topic; the input's number is taken modulo it.
    pub dead_letter_partitions: u32,
    /// The steps.
    pub cleaner: cleaner::Settings,
    /// Where the state of its steps is kept; there if and only if one of them keeps state.
    pub keeping: Option<Keeping>,
    /// How long records are gathered for one transaction, up to `batch_bytes_max`: zero on a log
    /// whose transactions are cheap, well below `transaction_time_max` on one where they are not.
    pub transaction_interval: Duration,
    /// How it works.
    pub config: Config,
}

/// What a task runs on.
#[derive(Debug)]
pub struct Surroundings {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The wall clock, for what status shows.
    pub clock: Clock,
    /// Randomness, for backing off.
    pub rng: Rng,
}

/// Runs one processor task.
#[derive(Debug)]
pub struct Processor {
    log: Arc<dyn Log>,
    clock: Clock,
    settings: Settings,
    owner: Owner,
    cleaner: Cleaner,
    reporter: StatusReporter,
    attempts: Attempts,
    portion: Portion,
    late: LateEvents,
}

impl Recover for Processor {
    fn attempt(&mut self, cx: &Context) -> impl Future<Output = Result<(), Failure>> + Send {
        self.session(cx)
    }

    fn recovery(&mut self) -> (&StatusReporter, &mut Attempts) {
        (&self.reporter, &mut self.attempts)
    }
}

impl Processor {
    /// Compiles the steps; nothing is opened before [`Processor::run`].
    pub fn new(
        settings: Settings,
        surroundings: Surroundings,
    ) -> Result<(Self, watch::Receiver<TaskStatus>), CleanerError> {
        let Surroundings { log, clock, rng } = surroundings;
        let cleaner = Cleaner::new(&settings.cleaner)?;
        if let (Some(place), None) =
            (cleaner::first_with_state(&settings.cleaner.steps)?, &settings.keeping)
        {
            return Err(CleanerError::NoChangelog { place });
        }
        let (reporter, status) = StatusReporter::new(settings.task.clone(), clock.clone());
        let owner = Owner {
            task: settings.task.clone(),
            inputs: vec![settings.input.clone()],
            renamed_from: settings.renamed_from.clone(),
        };
        let portion = Portion::new(to_usize(settings.config.batch_bytes_max));
        let attempts = Attempts::new(rng);
        let late = LateEvents::default();
        let processor =
            Self { log, clock, settings, owner, cleaner, reporter, attempts, portion, late };
        Ok((processor, status))
    }

    /// Runs until `cx` is cancelled, then finishes the current transaction and returns.
    ///
    /// Returns an error only when stored data contradicts itself: a person must look. Dropping the
    /// future is a kill: whatever was not committed is done again after the next start.
    pub async fn run(mut self, cx: &Context) -> Result<(), Failure> {
        attempt::run(&mut self, cx).await
    }
}

#[cfg(test)]
mod tests;
