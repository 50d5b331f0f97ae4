//! One ownership of the task: from `open` to the first doubt, or to the drain.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use millstream_log::{Consumed, Fetched, LogReader, TransactError, Transaction, Writer};
use millstream_model::{
    ByteSize, ErrorClass, LogPosition, RecordBatchBuilder, SourceId, TopicPartition,
};
use millstream_runtime::crash_point::crash_point;
use millstream_runtime::{Cancelled, Context};
use tokio::time::Instant;

use super::Processor;
use crate::attempt::{Fetch, GAP_INTERVAL, finish};
use crate::cleaner::Outputs;
use crate::counts::{Beginning, Counts};
use crate::dead_letter::Origin;
use crate::failure::Failure;
use crate::keyed_state::Mark;
use crate::status::{InputStatus, TaskState};

/// What an owner holds; all of it is dropped at the first doubt.
#[derive(Debug)]
pub(super) struct Session {
    writer: Box<dyn Writer>,
    pub(super) reader: Box<dyn LogReader>,
    /// Where the next transaction begins.
    position: LogPosition,
    /// The committed counts.
    counts: Counts,
    /// What the first transaction of the session notes beside its own positions.
    notes: Vec<(SourceId, Bytes)>,
    /// When control records alone were committed last.
    gap_committed: Option<Instant>,
}

/// What became of a batch.
enum Outcome {
    Committed,
    /// The outputs are too large for one transaction: read less.
    TooLarge,
    /// The task is to stop; nothing was committed.
    Cancelled,
}

impl Processor {
    /// Owns the task until it is to stop (`Ok`) or in doubt.
    pub(super) async fn session(&mut self, cx: &Context) -> Result<(), Failure> {
        if !self.attempts.is_failing() {
            self.reporter.set(TaskState::Opening);
        }
        let Ok(session) = cx.run(self.open(cx)).await else { return Ok(()) };
        let mut session = session?;
        if session.notes.iter().any(|(source, _)| *source == Mark::source_id()) {
            // The state is let go of without waiting for events: they may be long in coming.
            let consumed = vec![self.consumed(session.position)];
            let transaction = Transaction { consumed, ..Transaction::default() };
            if self.transact(cx, &mut session, &transaction).await?.is_err() {
                return Ok(());
            }
        }
        // Opened, and nothing to do yet: the first fetch may wait.
        self.reporter.set_unless(TaskState::Idle, self.attempts.is_failing());
        while !cx.is_cancelled() {
            let Some(fetched) = self.gather(cx, &mut session).await? else { break };
            if fetched.is_empty() {
                self.idle(cx, &mut session, &fetched).await?;
                continue;
            }
            self.reporter.set_unless(TaskState::Running, self.attempts.is_failing());
            match self.process(cx, &mut session, &fetched).await {
                Ok(Outcome::Committed) => {}
                Ok(Outcome::Cancelled) => break,
                Ok(Outcome::TooLarge) => {
                    self.portion.halve(Fetch::of(&fetched));
                    session.reader = self.reader_at(cx, session.position).await?;
                }
                Err(failure) => {
                    let at = session.position.offset;
                    self.portion.failed(at, Fetch::of(&fetched), &failure);
                    return Err(failure);
                }
            }
        }
        self.reporter.set(TaskState::Draining);
        Ok(())
    }

    async fn open(&mut self, cx: &Context) -> Result<Session, Failure> {
        let opened = self.log.open(cx, &self.owner).await;
        let opened = opened.map_err(|error| Failure::of("open", &error))?;
        let counts = Counts::of_committed(&opened.committed);
        let counts = counts.map_err(|error| Failure::of("open", &error))?;
        self.restore(cx, &opened.committed).await?;
        let input = &self.settings.input;
        let bounds = self.log.bounds(cx, input).await;
        let bounds = bounds.map_err(|error| Failure::of("open", &error))?;
        let committed = opened.committed.consumed.get(input).copied();
        let position = committed.unwrap_or(bounds.start);
        let reader = self.reader_at(cx, position).await?;
        let mut notes = self.letting_go(&opened.committed)?;
        if !opened.committed.began {
            let beginning = Beginning::at(input.clone(), position.offset);
            notes.push((Beginning::source_id(), beginning.encode()));
        }
        self.reporter.update(|status| {
            let (next, end) = (position.offset, bounds.end.offset);
            status.inputs = vec![InputStatus { partition: input.clone(), next, end }];
            status.counts = counts;
        });
        let writer = opened.writer;
        Ok(Session { writer, reader, position, counts, notes, gap_committed: None })
    }

    async fn reader_at(
        &self,
        cx: &Context,
        position: LogPosition,
    ) -> Result<Box<dyn LogReader>, Failure> {
        let reader = self.log.reader(cx, &self.settings.input, position).await;
        reader.map_err(|error| Failure::of("fetch", &error))
    }

    /// Cleans what was fetched and commits the outcome.
    async fn process(
        &mut self,
        cx: &Context,
        session: &mut Session,
        fetched: &Fetched,
    ) -> Result<Outcome, Failure> {
        let size = Fetch::of(fetched);
        let outputs = self.outputs_of(session.position, fetched, size)?;
        let bytes_max = self.settings.config.transaction_bytes();
        let bytes = outputs.bytes_len();
        // A log that never gives fewer records would make this a loop: then it is a failure.
        if bytes > bytes_max && size.records > 1 && self.portion.bytes() > 1 {
            return Ok(Outcome::TooLarge);
        }
        let dead_alone = outputs.counts.written == 0;
        if bytes > bytes_max && !dead_alone {
            let [bytes, bytes_max] = [bytes, bytes_max].map(|bytes| ByteSize(bytes as u64));
            let reason = format!("outputs of {bytes} exceed transaction_bytes_max, {bytes_max}");
            return Err(Failure::of_record("transact", ErrorClass::Invalid, reason));
        }
        let mut counts = session.counts;
        counts.add(&outputs.counts);
        debug_assert!(counts.is_balanced(), "every record has one outcome");
        let counted = outputs.counts;
        let transaction = self.transaction(outputs, fetched.next, &counts);
        let standing = self.standing_if_due(cx).await?;
        let began = Instant::now();
        if self.transact(cx, session, &transaction).await?.is_err() {
            return Ok(Outcome::Cancelled);
        }
        self.keep(standing).await?;
        session.position = fetched.next;
        session.counts = counts;
        self.committed(session, fetched);
        let pipeline = &self.settings.cleaner.pipeline;
        crate::metrics::committed(pipeline, &counted, size.bytes, began.elapsed());
        Ok(Outcome::Committed)
    }

    /// Runs the steps; a record known to fail for good goes to the dead letters unseen.
    fn outputs_of(
        &mut self,
        position: LogPosition,
        fetched: &Fetched,
        size: Fetch,
    ) -> Result<Outputs, Failure> {
        let mut outputs = self.cleaner.outputs(size.bytes);
        self.cleaner.begin(self.clock.now());
        let input = &self.settings.input;
        let poison = self.portion.poison_at(position.offset).filter(|_| size.records == 1);
        if let Some(failure) = poison {
            for (offset, record) in fetched.batches.iter().flat_map(|batch| batch.iter()) {
                let origin = Origin { partition: input.clone(), offset };
                self.cleaner.reject(origin, record, failure, &mut outputs);
            }
            self.cleaner.finish(&mut outputs);
            return Ok(outputs);
        }
        let cleaner = &mut self.cleaner;
        // After a panic the outputs are dropped, and the cleaner's buffers are cleared by the
        // next event.
        let cleaned = catch_unwind(AssertUnwindSafe(|| {
            for batch in &fetched.batches {
                cleaner.clean(input, batch, &mut outputs);
            }
            cleaner.finish(&mut outputs);
        }));
        match cleaned {
            Ok(()) => self.readable_state().map(|()| outputs),
            Err(panic) => {
                let reason = format!("panicked: {}", crate::cleaner::panic_message(&*panic));
                Err(Failure::of_record("clean", ErrorClass::Bug, reason))
            }
        }
    }

    fn transaction(&self, outputs: Outputs, next: LogPosition, counts: &Counts) -> Transaction {
        let mut positions = vec![(Counts::source_id(), counts.encode())];
        positions.extend(self.mark());
        let settings = &self.settings;
        let number = settings.input.partition.0;
        let keeps_partition = self.cleaner.keeps_partition();
        let mut records = Vec::new();
        let mut push =
            |topic: &millstream_model::TopicName, partition, batch: RecordBatchBuilder| {
                if !batch.is_empty() {
                    records.push((TopicPartition::new(topic.clone(), partition), batch.finish()));
                }
            };
        for (partition, batch) in (0..).zip(outputs.clean) {
            let partition = if keeps_partition { number } else { partition };
            push(&settings.output, partition, batch);
        }
        push(&settings.dead_letters, number % settings.dead_letter_partitions.max(1), outputs.dead);
        if let Some(keeping) = &settings.keeping {
            push(&keeping.changelog, number, outputs.changelog);
        }
        Transaction { records, consumed: vec![self.consumed(next)], positions }
    }

    fn consumed(&self, next: LogPosition) -> Consumed {
        Consumed { partition: self.settings.input.clone(), next }
    }

    /// Commits; waits as long as the log has no room. The inner result is cancelled only when
    /// nothing was committed.
    async fn transact(
        &mut self,
        cx: &Context,
        session: &mut Session,
        transaction: &Transaction,
    ) -> Result<Result<(), Cancelled>, Failure> {
        let config = &self.settings.config;
        let mut transaction = transaction.clone();
        transaction.positions.extend(session.notes.iter().cloned());
        loop {
            crash_point("processor.before_transact");
            let inner = Context::background().with_timeout(config.transaction_time_max);
            let work = session.writer.transact(&inner, transaction.clone());
            match finish(cx, &inner, config.drain_timeout, work).await {
                Ok(()) => {
                    crash_point("processor.after_transact");
                    session.notes.clear();
                    return Ok(Ok(()));
                }
                Err(error @ TransactError::Full) => {
                    // Nothing was written and the writer is good: the same transaction waits.
                    let failure = Failure::of("transact", &error);
                    let waited = self.attempts.failed(cx, &self.reporter, &failure).await;
                    if let Err(cancelled) = waited {
                        return Ok(Err(cancelled));
                    }
                }
                Err(error @ (TransactError::TooLarge { .. } | TransactError::Rejected(_))) => {
                    return Err(Failure::of_refusal("transact", &error));
                }
                Err(error @ TransactError::Fenced { .. }) => {
                    // The task may be another worker's: its assignment says so meanwhile.
                    let failure = Failure::of("transact", &error);
                    return Err(failure.after(self.log.fence_pause()));
                }
                Err(error) => return Err(Failure::of("transact", &error)),
            }
        }
    }

    fn committed(&mut self, session: &Session, fetched: &Fetched) {
        self.attempts.progress();
        self.portion.progress();
        self.reporter.update(|status| {
            status.state = TaskState::Running;
            status.counts = session.counts;
            if let Some(state) = &status.keyed {
                crate::metrics::state(&status.task, state);
            }
            if let Some(input) = status.inputs.first_mut() {
                input.next = session.position.offset;
                input.end = fetched.end;
            }
            crate::metrics::lag(status);
        });
    }

    /// Shows that there is nothing to do, and commits that control records alone were read.
    async fn idle(
        &mut self,
        cx: &Context,
        session: &mut Session,
        fetched: &Fetched,
    ) -> Result<(), Failure> {
        let is_due = session.gap_committed.is_none_or(|at| at.elapsed() >= GAP_INTERVAL);
        if is_due && fetched.next.offset > session.position.offset {
            session.gap_committed = Some(Instant::now());
            let consumed = vec![self.consumed(fetched.next)];
            let transaction = Transaction { consumed, ..Transaction::default() };
            if self.transact(cx, session, &transaction).await?.is_err() {
                // The task is to stop; what was not committed is read again.
                return Ok(());
            }
            session.position = fetched.next;
        }
        self.attempts.progress();
        self.reporter.set(TaskState::Idle);
        self.reporter.update(|status| {
            if let Some(input) = status.inputs.first_mut() {
                // What is between is control records: there is nothing left to do.
                input.next = fetched.next.offset;
                input.end = fetched.end;
            }
            crate::metrics::lag(status);
        });
        Ok(())
    }
}
