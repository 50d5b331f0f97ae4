//! A log in memory, for tests of the crates above: the full contract, and hooks to make it fail.
//!
//! "Durable" means here "survives [`MemoryLog::restart`]". Appends and transactions go through
//! one queue in order; [`MemoryLog::hold`] stops that queue, as a slow disk does, so that a test
//! can look at what is accepted but not yet durable. With [`Gaps::ControlRecords`] offsets have
//! the gaps that Kafka's transactions leave.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use millstream_model::{LogPosition, RecordBatch, Timestamp, TopicName, TopicPartition};
use millstream_runtime::{Clock, Context, Rng};
use tokio::sync::watch;

use crate::contract::{Append, Bounds, Log, LogAdmin, LogReader, Opened, Owner};
use crate::error::{EnqueueError, OpenError, ReaderError};
use crate::transaction::Committed;

mod admin;
mod partition;
mod reader;
mod state;
mod tasks;
mod writer;

use admin::MemoryAdmin;
use reader::MemoryReader;
use state::State;
use writer::MemoryWriter;

/// A log in memory; cloning shares it.
#[derive(Clone)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

/// What the log takes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most record bytes of one append.
    pub append_bytes_max: usize,
    /// The most record bytes of one transaction.
    pub transaction_bytes_max: usize,
    /// The most record bytes that are accepted and not yet durable.
    pub queue_bytes_max: usize,
    /// The most tasks that are open.
    pub tasks_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            append_bytes_max: 16 << 20,
            transaction_bytes_max: 16 << 20,
            queue_bytes_max: 64 << 20,
            tasks_max: 1024,
        }
    }
}

/// What the log still takes; each step includes those before it (`CONTRACT.md`, full).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Fullness {
    /// Everything.
    #[default]
    Room,
    /// No append without an owner.
    NoIntake,
    /// No transaction with records for a topic of events.
    NoEvents,
    /// No transaction with records at all: only positions move.
    NoRecords,
}

/// Whether offsets have gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gaps {
    /// Offsets count records.
    #[default]
    None,
    /// A committed transaction leaves one unused offset after its records in each partition, and
    /// a lost one leaves as many as it had records, and one: as on Kafka.
    ControlRecords,
}

/// What happens to a transaction whose answer is an error of unknown outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is not there after reopening.
    Lost,
    /// It is there after reopening.
    Committed,
}

struct Shared {
    state: Mutex<State>,
    /// Goes up with every change that somebody may wait for.
    changes: watch::Sender<u64>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the state")
    }

    /// Changes the state and wakes whoever waits.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let output = change(&mut self.state());
        self.changes.send_modify(|count| *count += 1);
        output
    }
}

impl MemoryLog {
    /// Builds an empty log without gaps.
    pub fn new(clock: Clock, rng: Rng) -> Self {
        Self::with_limits(clock, rng, Limits::default())
    }

    /// Builds an empty log with these limits.
    pub fn with_limits(clock: Clock, rng: Rng, limits: Limits) -> Self {
        Self::from_state(State::new(clock, rng, limits))
    }

    fn from_state(state: State) -> Self {
        let changes = watch::Sender::new(0);
        Self { shared: Arc::new(Shared { state: Mutex::new(state), changes }) }
    }

    /// Sets whether what is committed from now on leaves gaps.
    pub fn set_gaps(&self, gaps: Gaps) {
        self.shared.state().gaps = gaps;
    }

    /// Sets what the log still takes.
    pub fn set_fullness(&self, fullness: Fullness) {
        self.shared.change(|state| state.fullness = fullness);
    }

    /// Makes the next transaction answer with an error of unknown outcome; called again, the one
    /// after it too.
    pub fn fail_next_transact(&self, outcome: Outcome) {
        self.shared.state().failures.push_back(outcome);
    }

    /// Rejects what a topic's broker would: a transaction with more than `bytes_max` bytes of
    /// records for one partition of `topic` commits nothing and ends its writer.
    pub fn set_batch_bytes_max(&self, topic: &TopicName, bytes_max: usize) {
        self.shared.state().batch_bytes_max.insert(topic.clone(), bytes_max);
    }

    /// Sets how long news of an assignment may be on their way; see [`Log::fence_pause`].
    pub fn set_fence_pause(&self, pause: Duration) {
        self.shared.state().fence_pause = pause;
    }

    /// Stops making things durable: appends and transactions are accepted and wait.
    pub fn hold(&self) {
        self.shared.state().held = true;
    }

    /// Makes durable what waits, and everything after it at once.
    pub fn release(&self) {
        self.shared.change(|state| {
            state.held = false;
            state.settle();
        });
    }

    /// Makes unreadable what is older than its topic's retention and not needed by any task.
    pub fn maintain(&self) {
        self.shared.change(State::maintain);
    }

    /// Removes a topic with all its records, as somebody with Kafka's own tools may.
    pub fn delete_topic(&self, topic: &TopicName) {
        self.shared.change(|state| state.topics.remove(topic));
    }

    /// Lets go of a task that left the configuration, as a journal does after `orphan_hold`: it
    /// holds back no records, and what it committed is there should it come back.
    pub fn release_task(&self, task: &millstream_model::TaskId) {
        self.shared.change(|state| state.tasks.release(task));
    }

    /// Lets a task's last transaction count as committed in part, with the rest of it gone, as it
    /// may happen to a log whose coordinator was killed.
    pub fn tear(&self, task: &millstream_model::TaskId) {
        self.shared.change(|state| state.tasks.tear(task));
    }

    /// Returns a copy of what is durable as a log opened anew, under a new incarnation; this one
    /// goes on as if nothing happened. Opened later, the copy is a restored backup.
    pub fn backup(&self) -> Self {
        Self::from_state(self.shared.state().reopened())
    }

    /// Ends this log as a power cut does and returns it opened anew, under a new incarnation.
    ///
    /// What was not durable is gone; every writer and reader of this log answers with an error.
    pub fn restart(&self) -> Self {
        let reopened = self.shared.change(|state| {
            state.close();
            state.reopened()
        });
        Self::from_state(reopened)
    }

    /// Makes durable what waits, then refuses everything.
    pub fn close(&self) {
        self.shared.change(|state| {
            state.held = false;
            state.settle();
            state.close();
        });
    }

    /// Returns every record of a partition that a reader may see, whatever was trimmed.
    pub fn records(&self, partition: &TopicPartition) -> Vec<crate::OffsetBatch> {
        self.shared.state().partition(partition).map_or_else(Vec::new, partition::Partition::all)
    }

    /// Returns what the log's clock says.
    pub fn now(&self) -> Timestamp {
        self.shared.state().clock.now()
    }
}

impl fmt::Debug for MemoryLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryLog({})", self.shared.state().id)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({})", self.state().id)
    }
}

#[async_trait]
impl Log for MemoryLog {
    async fn open(&self, cx: &Context, owner: &Owner) -> Result<Opened, OpenError> {
        cx.check()?;
        let mut changes = self.shared.changes.subscribe();
        let epoch = self.shared.change(|state| state.fence(owner))?;
        loop {
            if let Some(committed) = self.shared.state().settled(owner)? {
                let writer = MemoryWriter::new(self.shared.clone(), owner.task.clone(), epoch);
                return Ok(Opened { epoch, committed, writer: Box::new(writer) });
            }
            // The sender lives as long as this log: an error cannot come.
            let (Ok(()) | Err(_)) = cx.run(changes.changed()).await?;
        }
    }

    fn enqueue(&self, records: Vec<(TopicPartition, RecordBatch)>) -> Result<Append, EnqueueError> {
        self.shared.change(|state| state.enqueue(records))
    }

    async fn reader(
        &self,
        cx: &Context,
        partition: &TopicPartition,
        from: LogPosition,
    ) -> Result<Box<dyn LogReader>, ReaderError> {
        cx.check()?;
        let state = self.shared.state();
        state.check_open()?;
        state.check_position(partition, from)?;
        Ok(Box::new(MemoryReader::new(self.shared.clone(), partition.clone(), from)))
    }

    async fn bounds(
        &self,
        cx: &Context,
        partition: &TopicPartition,
    ) -> Result<Bounds, ReaderError> {
        cx.check()?;
        let state = self.shared.state();
        state.check_open()?;
        state.bounds(partition)
    }

    async fn committed(
        &self,
        cx: &Context,
        task: &millstream_model::TaskId,
    ) -> Result<Option<Committed>, ReaderError> {
        cx.check()?;
        let state = self.shared.state();
        state.check_open()?;
        Ok(state.committed(task))
    }

    fn fence_pause(&self) -> Duration {
        self.shared.state().fence_pause
    }

    fn admin(&self) -> Arc<dyn LogAdmin> {
        Arc::new(MemoryAdmin::new(self.shared.clone()))
    }
}

#[cfg(test)]
mod tests;
