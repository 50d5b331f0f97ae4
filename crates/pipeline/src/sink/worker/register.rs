//! Registers a commit of the sink in the log: dead letters of what it rejected, the consumed
//! position, the counts, and the commit's id, partition by partition.
//!
//! The rejected records are read again from the log, at start-up and in operation alike: between
//! the registered position and the committed one retention keeps them. They are written in as
//! many transactions as their size needs; the mark [`COMMIT_SOURCE`] says how far that came. What
//! lies before it, or before the registered position, is dealt with, whichever commit rejected it:
//! offsets only grow, and a sink goes on with a partition only when all of it is registered. The
//! commit's id is noted for people.
//!
//! ```text
//!  0         1                     9
//!  +---------+---------------------+-----------+
//!  | version | rejected, before    | commit id |
//!  | u8 = 1  | this offset: u64 LE | UTF-8     |
//!  +---------+---------------------+-----------+
//! ```

use std::time::Duration;

use bytes::Bytes;
use millstream_log::{Committed, Consumed, FetchLimits, Log, TransactError, Transaction, Writer};
use millstream_model::{
    Classify, ErrorClass, LogPosition, Offset, Record, RecordBatchBuilder, SourceId, TopicPartition,
};
use millstream_runtime::Context;
use millstream_runtime::crash_point::crash_point;
use thiserror::Error;

use super::super::{CommitId, SinkPosition, SinkReject};
use super::placement::is_same_place;
use super::{Settings, SinkTask, gap};
use crate::attempt::{Attempts, finish};
use crate::counts::Counts;
use crate::dead_letter::{DeadLetter, Origin};
use crate::failure::Failure;
use crate::status::StatusReporter;

/// The source id under which a sink's task notes the commit whose dead letters are written.
pub const COMMIT_SOURCE: &str = "ms.sink.commit";

/// The step that dead letters of a sink name.
const SINK_STEP: &str = "0:sink";

/// The most bytes of dead letters in one transaction.
pub(super) const DEAD_LETTERS_BYTES_MAX: usize = 4 << 20;

const VERSION: u8 = 1;

/// Why what a sink committed cannot be registered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RegisterError {
    /// A rejected record went before its dead letter was written.
    #[error(
        "the sink rejected record {offset} of {partition}, whose dead letter is not \
         written, and the log begins at offset {start}: the sink was away for longer than the \
         log's `orphan_hold`, and the record was deleted; restore the log, or give the sink another \
         name and table to store everything that is still readable"
    )]
    RecordGone {
        /// The partition.
        partition: TopicPartition,
        /// The rejected record.
        offset: Offset,
        /// The first readable offset.
        start: Offset,
    },
}

impl Classify for RegisterError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// The log task of one partition, owned.
#[derive(Debug)]
pub(super) struct OwnedTask {
    pub(super) task: SinkTask,
    pub(super) writer: Box<dyn Writer>,
    pub(super) committed: Committed,
    /// Where the sink itself stands, all of it registered; `None` before its first commit.
    pub(super) stored: Option<LogPosition>,
}

/// How far a commit stored one partition.
#[derive(Debug)]
pub(super) struct Stored<'c> {
    pub(super) position: &'c SinkPosition,
    pub(super) commit: &'c CommitId,
    /// What was rejected of this partition and may not be a dead letter yet, by offset.
    pub(super) rejected: Vec<&'c SinkReject>,
}

/// What a registration works with.
pub(super) struct Registrar<'r> {
    pub(super) log: &'r dyn Log,
    pub(super) settings: &'r Settings,
    pub(super) reporter: &'r StatusReporter,
    pub(super) attempts: &'r mut Attempts,
    /// The most bytes of dead letters that one transaction may hold now.
    pub(super) letters_bytes_max: &'r mut usize,
}

impl Registrar<'_> {
    /// Registers how far `owned`'s partition is stored, dead letters of `rejected` first.
    ///
    /// Does nothing when the log knows it all.
    pub(super) async fn register(
        &mut self,
        cx: &Context,
        owned: &mut OwnedTask,
        stored: Stored<'_>,
    ) -> Result<(), Failure> {
        let Stored { position: stored, commit, rejected } = stored;
        let partition = owned.task.input.clone();
        let registered = gap::registered(&owned.committed, &partition);
        let mut written_before = Mark::read(&owned.committed);
        // A task that never began has a place, too, and it says nothing of what is written.
        if let Some(registered) = registered.filter(|_| owned.committed.began) {
            written_before = written_before.max(registered.offset);
        }
        // What lies beyond the sink's position is not decided: it is read again.
        let undone = written_before..stored.next.offset;
        let is_undone = |reject: &&&SinkReject| undone.contains(&reject.offset);
        let pending: Vec<_> = rejected.iter().filter(is_undone).copied().collect();
        let is_known = registered.is_some_and(|registered| is_same_place(registered, stored.next));
        if pending.is_empty() && is_known {
            owned.stored = Some(stored.next);
            return Ok(());
        }
        let mut letters = RecordBatchBuilder::new();
        if !pending.is_empty() {
            letters = self.write_letters(cx, owned, commit, &pending).await?;
        }
        let (read, rejected) = (stored.rows + stored.rejected, stored.rejected);
        let counts = Counts { read, written: stored.rows, rejected, ..Counts::default() };
        let transaction = Transaction {
            records: self.letters_of(&partition, letters),
            consumed: vec![Consumed { partition: partition.clone(), next: stored.next }],
            positions: vec![
                (Counts::source_id(), counts.encode()),
                Mark::write(stored.next.offset, commit),
            ],
        };
        self.transact(cx, owned, transaction).await?;
        *self.letters_bytes_max =
            self.letters_bytes_max.saturating_mul(2).min(DEAD_LETTERS_BYTES_MAX);
        owned.stored = Some(stored.next);
        Ok(())
    }

    /// Registers that `owned`'s reader came past control records that follow what is stored.
    ///
    /// Does nothing when there are none.
    pub(super) async fn register_gap(
        &mut self,
        cx: &Context,
        owned: &mut OwnedTask,
        reached: LogPosition,
    ) -> Result<(), Failure> {
        let partition = owned.task.input.clone();
        // What a sink never stored has no position to begin from.
        let Some(stored) = owned.stored else { return Ok(()) };
        let registered = owned.committed.consumed.get(&partition);
        if registered.is_none_or(|registered| registered.offset >= reached.offset) {
            return Ok(());
        }
        self.transact(cx, owned, gap::transaction(&partition, stored, reached)).await
    }

    /// Writes dead letters in transactions of bounded size; returns the last, not yet written.
    async fn write_letters(
        &mut self,
        cx: &Context,
        owned: &mut OwnedTask,
        commit: &CommitId,
        pending: &[&SinkReject],
    ) -> Result<RecordBatchBuilder, Failure> {
        let partition = owned.task.input.clone();
        let registered = owned.committed.consumed.get(&partition).copied();
        let from = self.reread_from(cx, &partition, registered).await?;
        if let Some(gone) = pending.iter().find(|reject| reject.offset < from.offset) {
            let (offset, start) = (gone.offset, from.offset);
            let error = RegisterError::RecordGone { partition, offset, start };
            return Err(Failure::of("register", &error));
        }
        let mut records = Records::start(self.log, cx, &partition, from).await?;
        let mut letters = RecordBatchBuilder::new();
        for reject in pending {
            let batch = records.batch_with(cx, reject.offset).await?;
            let record = batch.iter().find(|(offset, _)| *offset == reject.offset);
            let Some((_, record)) = record else {
                return Err(Failure::missing_record(&partition, reject.offset));
            };
            self.letter(reject, record, &mut letters);
            if letters.bytes_len() >= *self.letters_bytes_max {
                let full = std::mem::take(&mut letters);
                let transaction = Transaction {
                    records: self.letters_of(&partition, full),
                    positions: vec![Mark::write(reject.offset.plus(1), commit)],
                    ..Transaction::default()
                };
                self.transact(cx, owned, transaction).await?;
            }
        }
        Ok(letters)
    }

    /// Returns where the records that a commit rejected are read again: what the log has
    /// registered lies before all of them.
    async fn reread_from(
        &self,
        cx: &Context,
        input: &TopicPartition,
        registered: Option<LogPosition>,
    ) -> Result<LogPosition, Failure> {
        if let Some(position) = registered {
            return Ok(position);
        }
        let bounds = self.log.bounds(cx, input).await;
        Ok(bounds.map_err(|error| Failure::of("register", &error))?.start)
    }

    fn letter(&self, reject: &SinkReject, record: Record<'_>, letters: &mut RecordBatchBuilder) {
        let SinkReject { partition, offset, field, reason } = reject.clone();
        let letter = DeadLetter {
            origin: Origin { partition, offset },
            pipeline: self.settings.sink.clone(),
            step: SINK_STEP.to_owned(),
            field,
            reason,
        };
        letter.push(record, letters);
    }

    fn letters_of(
        &self,
        input: &TopicPartition,
        letters: RecordBatchBuilder,
    ) -> Vec<(TopicPartition, millstream_model::RecordBatch)> {
        if letters.is_empty() {
            return Vec::new();
        }
        let number = input.partition.0 % self.settings.dead_letter_partitions.max(1);
        let topic = self.settings.dead_letters.clone();
        vec![(TopicPartition::new(topic, number), letters.finish())]
    }

    /// Commits to the log; waits as long as it has no room.
    async fn transact(
        &mut self,
        cx: &Context,
        owned: &mut OwnedTask,
        transaction: Transaction,
    ) -> Result<(), Failure> {
        let config = &self.settings.config;
        loop {
            crash_point("sink.before_register");
            let inner = Context::background().with_timeout(config.commit_time_max);
            let work = owned.writer.transact(&inner, transaction.clone());
            match finish(cx, &inner, config.drain_timeout, work).await {
                Ok(()) => break,
                Err(error @ TransactError::Full) => {
                    let failure = Failure::of("register", &error);
                    let waited = self.attempts.failed(cx, self.reporter, &failure).await;
                    // The commit stands in the sink: the next start registers it.
                    waited.map_err(|cancelled| Failure::of("register", &cancelled))?;
                }
                Err(error @ (TransactError::TooLarge { .. } | TransactError::Rejected(_))) => {
                    // A dead letter is never dropped: one that is refused alone stops the sink.
                    let bytes = transaction.records_bytes().min(*self.letters_bytes_max);
                    *self.letters_bytes_max = (bytes / 2).max(1);
                    return Err(Failure::of("register", &error));
                }
                Err(error @ TransactError::Fenced { .. }) => {
                    // The task may be another worker's: its assignment says so meanwhile.
                    let failure = Failure::of("register", &error);
                    return Err(failure.after(self.log.fence_pause()));
                }
                Err(error) => return Err(Failure::of("register", &error)),
            }
        }
        crash_point("sink.after_register");
        for consumed in transaction.consumed {
            owned.committed.consumed.insert(consumed.partition, consumed.next);
        }
        owned.committed.positions.extend(transaction.positions);
        owned.committed.began = true;
        Ok(())
    }
}

/// How far the dead letters of a partition are written.
struct Mark;

impl Mark {
    fn source_id() -> SourceId {
        SourceId::new(COMMIT_SOURCE).expect("the constant is a source id")
    }

    fn write(before: Offset, commit: &CommitId) -> (SourceId, Bytes) {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&before.0.to_le_bytes());
        bytes.extend_from_slice(commit.0.as_bytes());
        (Self::source_id(), Bytes::from(bytes))
    }

    /// Returns the offset before which the dead letters are written.
    fn read(committed: &Committed) -> Offset {
        let bytes = committed.positions.get(&Self::source_id());
        let Some((&VERSION, rest)) = bytes.and_then(|bytes| bytes.split_first()) else {
            return Offset::ZERO;
        };
        let before = rest.split_first_chunk().map(|(before, _commit)| u64::from_le_bytes(*before));
        before.map_or(Offset::ZERO, Offset)
    }
}

/// Reads records again, in order.
struct Records {
    reader: Box<dyn millstream_log::LogReader>,
    partition: TopicPartition,
    batches: std::vec::IntoIter<millstream_log::OffsetBatch>,
    current: Option<millstream_log::OffsetBatch>,
}

impl Records {
    async fn start(
        log: &dyn Log,
        cx: &Context,
        partition: &TopicPartition,
        from: LogPosition,
    ) -> Result<Self, Failure> {
        let reader = log.reader(cx, partition, from).await;
        let reader = reader.map_err(|error| Failure::of("register", &error))?;
        let batches = Vec::new().into_iter();
        Ok(Self { reader, partition: partition.clone(), batches, current: None })
    }

    /// Returns the batch that reaches `offset`; offsets must be asked for in order.
    async fn batch_with(
        &mut self,
        cx: &Context,
        offset: Offset,
    ) -> Result<&millstream_log::OffsetBatch, Failure> {
        while self.current.as_ref().is_none_or(|batch| batch.end() <= offset) {
            let Some(batch) = self.batches.next() else {
                let limits = FetchLimits { bytes_max: 1 << 20, wait_max: Duration::ZERO };
                let fetched = self.reader.fetch(cx, limits).await;
                let fetched = fetched.map_err(|error| Failure::of("register", &error))?;
                if fetched.is_empty() && fetched.next.offset >= fetched.end {
                    return Err(Failure::missing_record(&self.partition, offset));
                }
                self.batches = fetched.batches.into_iter();
                continue;
            };
            self.current = Some(batch);
        }
        Ok(self.current.as_ref().expect("set by the loop above"))
    }
}

#[cfg(test)]
mod tests;
