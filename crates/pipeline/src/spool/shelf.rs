//! The journal's side of a forwarder: what it owns there, and what it has yet to tell it.

use millstream_log::{Committed, Consumed, Owner, Transaction, Writer};
use millstream_model::{LogPosition, RecordBatch};
use millstream_runtime::Context;
use millstream_runtime::crash_point::crash_point;
use tokio::time::Instant;

use super::{Config, Forwarder, Position, Trouble};
use crate::attempt::finish;
use crate::counts::{Beginning, Counts};
use crate::failure::Failure;
use crate::status::InputStatus;

/// The journal's task, owned; dropped when the journal is in doubt.
#[derive(Debug)]
pub(super) struct Shelf {
    writer: Box<dyn Writer>,
    /// How far the journal knows to be forwarded.
    pub(super) registered: Option<Position>,
    /// Where retention may go: it follows `registered`, but stays where it is after a replay took
    /// that back.
    consumed: Option<LogPosition>,
    /// Where the task begins, until its first transaction notes it.
    beginning: Option<Beginning>,
    /// What is forwarded and not registered.
    pending: Option<Pending>,
}

/// What the journal is yet to be told.
#[derive(Debug)]
struct Pending {
    position: Position,
    letters: Option<RecordBatch>,
    bytes: u64,
    since: Instant,
}

impl Shelf {
    /// Returns where to forward on; `None` before the first record.
    pub(super) fn next(&self) -> Option<LogPosition> {
        let pending = self.pending.as_ref().map(|pending| &pending.position);
        pending.or(self.registered.as_ref()).map(|position| position.next)
    }

    /// Notes what the cluster committed, with the dead letters of what it refused.
    pub(super) fn note(&mut self, position: Position, letters: Option<RecordBatch>, bytes: u64) {
        debug_assert!(
            self.pending.as_ref().is_none_or(|pending| pending.letters.is_none()),
            "dead letters are registered before anything else is forwarded"
        );
        let (before, since) = match &self.pending {
            Some(pending) => (pending.bytes, pending.since),
            None => (0, Instant::now()),
        };
        let bytes = before.saturating_add(bytes);
        self.pending = Some(Pending { position, letters, bytes, since });
    }

    /// Returns whether it is time to tell the journal.
    pub(super) fn is_due(&self, config: &Config) -> bool {
        self.pending.as_ref().is_some_and(|pending| {
            pending.letters.is_some()
                || pending.bytes >= config.register_bytes_max.bytes()
                || pending.since.elapsed() >= config.register_interval
        })
    }
}

impl Forwarder {
    /// Becomes the owner of the journal's task.
    pub(super) async fn open_shelf(&self, cx: &Context) -> Result<Shelf, Failure> {
        let input = &self.settings.input;
        let owner = Owner {
            task: self.settings.task.clone(),
            inputs: vec![input.clone()],
            renamed_from: None,
        };
        let opened = self.local.open(cx, &owner).await;
        let opened = opened.map_err(|error| Failure::of("open journal", &error))?;
        let Committed { began, consumed, .. } = &opened.committed;
        let registered = Position::of_committed(&opened.committed);
        let registered = registered.map_err(|error| Failure::of("open journal", &error))?;
        let bounds = self.local.bounds(cx, input).await;
        let bounds = bounds.map_err(|error| Failure::of("open journal", &error))?;
        let beginning = (!began).then(|| Beginning::at(input.clone(), bounds.start.offset));
        let next = registered.as_ref().map_or(bounds.start, |position| position.next);
        self.reporter.update(|status| {
            let (next, end) = (next.offset, bounds.end.offset);
            status.inputs = vec![InputStatus { partition: input.clone(), next, end }];
            status.counts = registered.as_ref().map_or_else(Counts::default, Position::counts);
        });
        let consumed = consumed.get(input).copied();
        Ok(Shelf { writer: opened.writer, registered, consumed, beginning, pending: None })
    }

    /// Tells the journal what is forwarded, dead letters included; all of it or nothing.
    pub(super) async fn register(&self, cx: &Context, shelf: &mut Shelf) -> Result<(), Trouble> {
        let Some(Pending { position, letters, .. }) = &shelf.pending else { return Ok(()) };
        let next = position.next;
        let moves = shelf.consumed.is_none_or(|consumed| consumed.offset < next.offset);
        let consumed = Consumed { partition: self.settings.input.clone(), next };
        let letters = letters.clone().map(|letters| (self.settings.dead_letters.clone(), letters));
        let mut transaction = Transaction {
            records: letters.into_iter().collect(),
            consumed: if moves { vec![consumed] } else { Vec::new() },
            positions: vec![
                (Position::source_id(), position.encode()),
                (Counts::source_id(), position.counts().encode()),
            ],
        };
        if let Some(beginning) = &shelf.beginning {
            transaction.positions.push((Beginning::source_id(), beginning.encode()));
        }
        let config = &self.settings.config;
        crash_point("spool.before_register");
        let inner = Context::background().with_timeout(config.transaction_time_max);
        let work = shelf.writer.transact(&inner, transaction);
        let registered = finish(cx, &inner, config.drain_timeout, work).await;
        registered.map_err(|error| Trouble::Local(Failure::of("register", &error)))?;
        crash_point("spool.after_register");
        if moves {
            shelf.consumed = Some(next);
        }
        shelf.registered = shelf.pending.take().map(|pending| pending.position);
        shelf.beginning = None;
        Ok(())
    }
}
