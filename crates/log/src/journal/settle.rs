//! Answers the requests of a group, each exactly once.

use std::io;
use std::time::Duration;

use super::config::Durability;
use super::group::Outcome;
use super::request::{Admitted, Work, answer};
use crate::error::{EnqueueError, TransactError};
use crate::metrics::{self, Refused};

/// Is told when the bytes are with the operating system, before they are durable.
pub(super) trait Written {
    fn written(&mut self);
}

/// Nobody waits for that moment.
#[derive(Debug)]
pub(super) struct Nothing;

impl Written for Nothing {
    fn written(&mut self) {}
}

/// Requests with what becomes of them; refusals are answered at once.
#[derive(Debug)]
pub(super) struct Settled {
    waiting: Vec<(Admitted, Outcome)>,
    durability: Durability,
}

impl Settled {
    /// Answers what was refused, and keeps the rest.
    pub(super) fn new(
        group: Vec<Admitted>,
        outcomes: Vec<Outcome>,
        durability: Durability,
    ) -> Self {
        let mut waiting = Vec::with_capacity(group.len());
        for (admitted, outcome) in group.into_iter().zip(outcomes) {
            match outcome {
                Outcome::AppendRefused(error) => refuse_append(admitted, error),
                Outcome::TransactRefused(error) => refuse_transact(admitted, error),
                outcome => waiting.push((admitted, outcome)),
            }
        }
        Self { waiting, durability }
    }

    /// Answers everybody: it is durable.
    pub(super) fn succeed(self) {
        for (admitted, outcome) in self.waiting {
            succeed(admitted, outcome);
        }
    }

    /// Answers everybody: the disk failed, the outcome is unknown.
    pub(super) fn fail(self, source: &io::Error) {
        for (admitted, _) in self.waiting {
            match admitted.work {
                Work::Append(request) => {
                    answer(request.done, Err(EnqueueError::Storage(copy_of(source))));
                }
                Work::Transact(request) => {
                    answer(request.done, Err(TransactError::Storage(copy_of(source))));
                }
            }
        }
    }

    /// Refuses what brings records, and returns the rest.
    pub(super) fn refuse_records(self, retry_after: Duration) -> Vec<Admitted> {
        let mut rest = Vec::new();
        for (admitted, _) in self.waiting {
            match &admitted.work {
                Work::Append(_) => refuse_append(admitted, EnqueueError::Full { retry_after }),
                Work::Transact(request) if request.pieces.is_empty() => rest.push(admitted),
                Work::Transact(_) => refuse_transact(admitted, TransactError::Full),
            }
        }
        rest
    }

    /// Refuses everything: there is no room even for positions.
    pub(super) fn refuse_all(self, retry_after: Duration) {
        for admitted in self.refuse_records(retry_after) {
            refuse_transact(admitted, TransactError::Full);
        }
    }
}

impl Written for Settled {
    /// With [`Durability::Buffered`] an append is answered now; readers still wait for the sync.
    fn written(&mut self) {
        if self.durability == Durability::Fsync {
            return;
        }
        let (appends, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(admitted, _)| matches!(admitted.work, Work::Append(_)));
        self.waiting = rest;
        for (admitted, outcome) in appends {
            succeed(admitted, outcome);
        }
    }
}

fn succeed(admitted: Admitted, outcome: Outcome) {
    match (admitted.work, outcome) {
        (Work::Append(request), Outcome::Appended(appended)) => answer(request.done, Ok(appended)),
        (Work::Transact(request), Outcome::Committed) => {
            answer(request.done, Ok(()));
        }
        _ => unreachable!("an outcome belongs to the request it was made for"),
    }
}

fn refuse_append(admitted: Admitted, error: EnqueueError) {
    metrics::refused(Refused::Full);
    if let Work::Append(request) = admitted.work {
        answer(request.done, Err(error));
    }
}

fn refuse_transact(admitted: Admitted, error: TransactError) {
    metrics::refused(match &error {
        TransactError::Full => Refused::TransactionFull,
        TransactError::Fenced { .. } => Refused::Fenced,
        _ => Refused::Position,
    });
    if let Work::Transact(request) = admitted.work {
        answer(request.done, Err(error));
    }
}

/// An I/O error cannot be cloned: its kind and text can.
fn copy_of(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
