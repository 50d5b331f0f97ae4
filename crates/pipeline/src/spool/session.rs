//! One ownership of the cluster's task: from `open` to the first doubt, or to the drain.

use millstream_log::{FetchLimits, Fetched, LogReader, Owner, TransactError, Transaction, Writer};
use millstream_model::{LogPosition, Offset, Record, RecordBatch, RecordBatchBuilder, Timestamp};
use millstream_runtime::Context;
use millstream_runtime::crash_point::crash_point;
use tokio::time::Instant;

use super::agreement::{Agreement, compare};
use super::{Forwarder, Obstacle, Position, Refusal, Shelf, Trouble};
use crate::attempt::{Fetch, finish};
use crate::dead_letter::{DeadLetter, Origin};
use crate::failure::Failure;
use crate::status::TaskState;

/// How long a fetch waits for the first record at most: how often an idle task wakes up.
const FETCH_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(1);

/// The pipeline and the step that dead letters of a spool name.
const SPOOL: &str = "spool";
const FORWARD_STEP: &str = "0:forward";

/// What an owner holds; all of it is dropped at the first doubt.
#[derive(Debug)]
pub(super) struct Session {
    writer: Box<dyn Writer>,
    reader: Box<dyn LogReader>,
    /// Where the next transaction begins.
    next: LogPosition,
    /// What stands in the cluster.
    standing: Option<Position>,
    /// When the last transaction began, if it was not a full one.
    began: Option<Instant>,
}

impl Forwarder {
    /// Owns the cluster's task until the forwarder is to stop (`Ok`) or in doubt.
    pub(super) async fn session(&mut self, cx: &Context, shelf: &mut Shelf) -> Result<(), Trouble> {
        if !self.attempts.is_failing() {
            self.reporter.set(TaskState::Opening);
        }
        // What an earlier session forwarded is known for sure.
        self.register(cx, shelf).await?;
        let Ok(session) = cx.run(self.open(cx, shelf)).await else { return Ok(()) };
        let mut session = session?;
        self.reporter.set_unless(TaskState::Idle, self.attempts.is_failing());
        while !cx.is_cancelled() {
            let Some(fetched) = self.fetch(cx, &mut session).await? else { break };
            if fetched.is_empty() {
                self.idle(&fetched);
            } else {
                self.reporter.set_unless(TaskState::Running, self.attempts.is_failing());
                self.forward(cx, &mut session, shelf, &fetched).await?;
            }
            if shelf.is_due(&self.settings.config) {
                self.register(cx, shelf).await?;
            }
        }
        self.reporter.set(TaskState::Draining);
        self.register(cx, shelf).await
    }

    async fn open(&mut self, cx: &Context, shelf: &mut Shelf) -> Result<Session, Trouble> {
        let owner = Owner {
            task: self.settings.remote_task.clone(),
            inputs: Vec::new(),
            renamed_from: None,
        };
        let remote = |failure| Trouble::Remote(failure);
        let opened = self.remote.open(cx, &owner).await;
        let opened = opened.map_err(|error| remote(Failure::of("open", &error)))?;
        let standing = Position::of_committed(&opened.committed);
        let standing = standing.map_err(|error| remote(Failure::of("open", &error)))?;
        let input = &self.settings.input;
        let known = self.known.check(input, standing.as_ref());
        known.map_err(|error| remote(Failure::of("open", &error)))?;
        let bounds = self.local.bounds(cx, input).await;
        let bounds = bounds.map_err(|error| Trouble::Local(Failure::of("open journal", &error)))?;
        let agreement = compare(input, shelf.registered.as_ref(), standing.as_ref(), &bounds);
        let agreement = agreement.map_err(|error| remote(Failure::of("open", &error)))?;
        self.known.settle(standing.as_ref());
        match (agreement, &standing) {
            (Agreement::Ahead, Some(standing)) => {
                self.catch_up(cx, shelf, standing, bounds.start).await?;
            }
            (Agreement::Begin | Agreement::Same | Agreement::Ahead, _) => {}
        }
        let next = standing.as_ref().map_or(bounds.start, |standing| standing.next);
        let reader = self.reader_at(cx, next).await?;
        self.reporter.update(|status| {
            if let Some(input) = status.inputs.first_mut() {
                (input.next, input.end) = (next.offset, bounds.end.offset);
            }
        });
        Ok(Session { writer: opened.writer, reader, next, standing, began: None })
    }

    pub(super) async fn reader_at(
        &self,
        cx: &Context,
        next: LogPosition,
    ) -> Result<Box<dyn LogReader>, Trouble> {
        let reader = self.local.reader(cx, &self.settings.input, next).await;
        reader.map_err(|error| Trouble::Local(Failure::of("fetch", &error)))
    }

    /// Fetches what the next transaction is to hold; `None` when the task is to stop.
    async fn fetch(&self, cx: &Context, session: &mut Session) -> Result<Option<Fetched>, Trouble> {
        let config = &self.settings.config;
        if let Some(began) = session.began {
            let paced = cx.run(tokio::time::sleep_until(began + config.forward_interval)).await;
            if paced.is_err() {
                return Ok(None);
            }
        }
        let wait_max = FETCH_WAIT_MAX.min(config.register_interval);
        let limits = FetchLimits { bytes_max: self.portion.bytes(), wait_max };
        match cx.run(session.reader.fetch(cx, limits)).await {
            Ok(Ok(fetched)) => Ok(Some(fetched)),
            Ok(Err(_)) if cx.is_cancelled() => Ok(None),
            Ok(Err(error)) => Err(Trouble::Local(Failure::of("fetch", &error))),
            Err(_cancelled) => Ok(None),
        }
    }

    /// Commits what was fetched in the cluster, or finds out what of it is refused.
    async fn forward(
        &mut self,
        cx: &Context,
        session: &mut Session,
        shelf: &mut Shelf,
        fetched: &Fetched,
    ) -> Result<(), Trouble> {
        let size = Fetch::of(fetched);
        self.show_oldest(fetched);
        let poison = self.portion.poison_at(session.next.offset).filter(|_| size.records == 1);
        let poison = poison.map(|failure| failure.reason.clone());
        let position = position_after(session.standing.as_ref(), fetched, poison.as_deref());
        let output = &self.settings.output;
        let records = fetched.batches.iter().map(|batch| (output.clone(), batch.records.clone()));
        let transaction = Transaction {
            records: if poison.is_some() { Vec::new() } else { records.collect() },
            consumed: Vec::new(),
            positions: vec![(Position::source_id(), position.encode())],
        };
        let began = Instant::now();
        if let Err(error) = self.transact(cx, session, &position, transaction).await {
            return self.not_committed(cx, session, size, &error).await;
        }
        let letters = poison.is_some().then(|| self.letters(fetched, &position.refusals));
        session.next = fetched.next;
        session.standing = Some(position.clone());
        let is_full = size.bytes.saturating_mul(2) >= self.portion.bytes();
        session.began = (!is_full).then_some(began);
        let (forwarded, refused) = if poison.is_some() { (0, 1) } else { (size.records, 0) };
        crate::metrics::spooled(forwarded, refused, size.bytes, began.elapsed());
        self.committed(&position, fetched);
        shelf.note(position, letters, size.bytes as u64);
        Ok(())
    }

    async fn transact(
        &mut self,
        cx: &Context,
        session: &mut Session,
        position: &Position,
        transaction: Transaction,
    ) -> Result<(), TransactError> {
        let config = &self.settings.config;
        self.known.attempt(position);
        crash_point("spool.before_transact");
        let inner = Context::background().with_timeout(config.transaction_time_max);
        let work = session.writer.transact(&inner, transaction);
        let committed = finish(cx, &inner, config.drain_timeout, work).await;
        match &committed {
            Ok(()) => {
                crash_point("spool.after_transact");
                self.known.settle(Some(position));
            }
            Err(error) if error.is_refusal() => self.known.refused(),
            Err(_unknown) => {}
        }
        committed
    }

    /// Reads less when a record is at fault, until it is alone; anything else opens again.
    async fn not_committed(
        &mut self,
        cx: &Context,
        session: &mut Session,
        size: Fetch,
        error: &TransactError,
    ) -> Result<(), Trouble> {
        let at = session.next.offset;
        let failure = match error {
            TransactError::TooLarge { .. } | TransactError::Rejected(_) => {
                Failure::of_refusal("forward", error)
            }
            TransactError::UnknownPartition(partition) => {
                Failure::of("forward", &Obstacle::NoTopic(partition.clone()))
            }
            // Whoever has this journal too may move on meanwhile: then opening says so.
            TransactError::Fenced { .. } => {
                Failure::of("forward", error).after(self.remote.fence_pause())
            }
            _ => Failure::of("forward", error),
        };
        let is_alone = size.records == 1;
        let was_alone = is_alone && self.portion.poison_at(at).is_some();
        // A log that never gives fewer records would make this a loop: then it is a failure.
        let can_be_less = is_alone || self.portion.bytes() > 1;
        self.portion.failed(at, size, &failure);
        if !failure.blames_records() || was_alone || !can_be_less {
            return Err(Trouble::Remote(failure));
        }
        if !error.is_refusal() {
            // The broker looked at it: this writer is not to be used again.
            return Err(Trouble::Refused);
        }
        session.reader = self.reader_at(cx, session.next).await?;
        Ok(())
    }

    fn letters(&self, fetched: &Fetched, refusals: &[Refusal]) -> RecordBatch {
        let mut letters = RecordBatchBuilder::new();
        for (offset, record) in fetched.batches.iter().flat_map(|batch| batch.iter()) {
            self.push_letter(offset, record, refusals, &mut letters);
        }
        letters.finish()
    }

    /// Adds the dead letter of a record that is among `refusals`.
    pub(super) fn push_letter(
        &self,
        offset: Offset,
        record: Record<'_>,
        refusals: &[Refusal],
        letters: &mut RecordBatchBuilder,
    ) {
        let Some(refusal) = refusals.iter().find(|refusal| refusal.offset == offset) else {
            return;
        };
        let letter = DeadLetter {
            origin: Origin { partition: self.settings.input.clone(), offset },
            pipeline: SPOOL.to_owned(),
            step: FORWARD_STEP.to_owned(),
            field: None,
            reason: refusal.reason.clone(),
        };
        letter.push(record, letters);
    }

    fn committed(&mut self, position: &Position, fetched: &Fetched) {
        self.attempts.progress();
        self.portion.progress();
        let now = self.clock.now();
        self.reporter.update(|status| {
            status.state = TaskState::Running;
            status.counts = position.counts();
            if let Some(input) = status.inputs.first_mut() {
                (input.next, input.end) = (fetched.next.offset, fetched.end);
            }
            if status.lag() == 0 {
                status.oldest = None;
            }
            crate::metrics::lag(status);
            crate::metrics::oldest(status, now);
        });
    }

    fn show_oldest(&self, fetched: &Fetched) {
        let now = self.clock.now();
        self.reporter.update(|status| {
            status.oldest = oldest(fetched);
            crate::metrics::oldest(status, now);
        });
    }

    /// Shows that everything is forwarded.
    fn idle(&mut self, fetched: &Fetched) {
        self.attempts.progress();
        self.reporter.set(TaskState::Idle);
        let now = self.clock.now();
        self.reporter.update(|status| {
            status.oldest = None;
            if let Some(input) = status.inputs.first_mut() {
                (input.next, input.end) = (fetched.next.offset, fetched.end);
            }
            crate::metrics::lag(status);
            crate::metrics::oldest(status, now);
        });
    }
}

/// Returns when the first of these records was accepted.
pub(super) fn oldest(fetched: &Fetched) -> Option<Timestamp> {
    fetched.batches.iter().flat_map(|batch| &batch.records).next().map(|record| record.timestamp)
}

/// Returns the CRC32C of the last record of a batch, as it is encoded.
pub(super) fn checksum_of_last(records: &RecordBatch) -> Option<u32> {
    let last = records.len().checked_sub(1)?;
    Some(crc32c::crc32c(records.skip(last).as_bytes()))
}

/// Returns the position after what was fetched; `poison` says why it is left out.
fn position_after(before: Option<&Position>, fetched: &Fetched, poison: Option<&str>) -> Position {
    let checksum = fetched.batches.iter().rev().find_map(|batch| checksum_of_last(&batch.records));
    let (forwarded, refused) = before.map_or((0, 0), |before| (before.forwarded, before.refused));
    let first = fetched.batches.iter().find(|batch| !batch.records.is_empty());
    let refusal = poison.zip(first).map(|(reason, batch)| Refusal::new(batch.first, reason));
    let (more, left_out) = if refusal.is_some() { (0, 1) } else { (fetched.len(), 0) };
    Position {
        next: fetched.next,
        checksum: checksum.or(before.map(|before| before.checksum)).unwrap_or(0),
        forwarded: forwarded + more,
        refused: refused + left_out,
        refusals: refusal.into_iter().collect(),
    }
}
