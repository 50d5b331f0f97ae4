//! One append on its way: resolves when the last of its records has its outcome.

use std::sync::{Arc, Mutex, PoisonError};

use millstream_log::contract::AppendDone;
use millstream_log::{Appended, EnqueueError, Landed, RecordOutcome};
use millstream_model::{ErrorClass, Offset, OffsetRange, Record, RecordBatch, TopicPartition};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::Message as _;
use rdkafka::producer::DeliveryResult;

use super::Waiting;
use crate::client::Connection;
use crate::error::{KafkaError, Reason};
use crate::ffi::message::may_be_stored;
use crate::message::record_len;

const DURING: &str = "append";

/// An append on its way.
pub(super) struct Flight {
    waiting: Arc<Waiting>,
    state: Mutex<State>,
}

struct State {
    partitions: Vec<TopicPartition>,
    /// Unknown until reported.
    outcomes: Vec<Vec<RecordOutcome>>,
    unreported: usize,
    failed: Option<(TopicPartition, KafkaError)>,
    done: Option<AppendDone>,
}

impl Flight {
    pub(super) fn new(
        records: &[(TopicPartition, RecordBatch)],
        waiting: Arc<Waiting>,
        done: AppendDone,
    ) -> Arc<Self> {
        let unknown = |batch: &RecordBatch| vec![RecordOutcome::Unknown; batch.len() as usize];
        let state = State {
            partitions: records.iter().map(|(partition, _)| partition.clone()).collect(),
            outcomes: records.iter().map(|(_, batch)| unknown(batch)).collect(),
            unreported: records.iter().map(|(_, batch)| batch.len() as usize).sum(),
            failed: None,
            done: Some(done),
        };
        Arc::new(Self { waiting, state: Mutex::new(state) })
    }

    /// Resolves an append of nothing.
    pub(super) fn settle_empty(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.resolve();
    }

    fn settle(&self, (batch, place): (usize, usize), outcome: Result<Option<Offset>, Failed>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.outcomes[batch][place] = match outcome {
            Ok(offset) => RecordOutcome::Appended(offset),
            Err(Failed { error, outcome }) => {
                let partition = state.partitions[batch].clone();
                state.failed.get_or_insert((partition, error));
                outcome
            }
        };
        state.unreported -= 1;
        if state.unreported == 0 {
            state.resolve();
        }
    }
}

/// Why a record was not appended, or may not have been.
struct Failed {
    error: KafkaError,
    outcome: RecordOutcome,
}

impl State {
    fn resolve(&mut self) {
        let Some(done) = self.done.take() else { return };
        // A client that went away does not take its append back: nobody is there to be told.
        drop(done.send(self.result()));
    }

    fn result(&mut self) -> Result<Vec<Appended>, EnqueueError> {
        let Some((partition, error)) = self.failed.take() else {
            let parts = self.partitions.iter().zip(&self.outcomes);
            return Ok(parts.flat_map(|(partition, batch)| appended(partition, batch)).collect());
        };
        let mut all = self.outcomes.iter().flatten();
        if all.all(|outcome| *outcome == RecordOutcome::Unknown) {
            return Err(EnqueueError::Storage(error.into_io()));
        }
        let is_refused = |outcome: &RecordOutcome| matches!(outcome, RecordOutcome::Refused(_));
        let mut all = self.outcomes.iter().flatten();
        if matches!(error.reason, Reason::UnknownTopic { .. }) && all.all(is_refused) {
            return Err(EnqueueError::UnknownPartition(partition));
        }
        let outcomes = std::mem::take(&mut self.outcomes);
        Err(EnqueueError::Records { outcomes, source: error.into_io() })
    }
}

/// Only its size is a record's own fault: whatever else a broker refuses it for, another topic,
/// permission or clock would let the same record in.
fn refused_for(error: &KafkaError) -> RecordOutcome {
    RecordOutcome::Refused(match error.reason {
        Reason::TooLarge { .. } => ErrorClass::Invalid,
        _ => ErrorClass::Transient,
    })
}

/// Says where a batch landed, in runs: what others wrote and control records may lie between.
fn appended(partition: &TopicPartition, batch: &[RecordOutcome]) -> Vec<Appended> {
    let mut runs: Vec<Landed> = Vec::with_capacity(1);
    for outcome in batch {
        let RecordOutcome::Appended(offset) = *outcome else { continue };
        match (runs.last_mut(), offset) {
            (Some(Landed::At(run)), Some(offset)) if run.end() == offset => {
                *run = OffsetRange::new(run.start(), offset.plus(1));
            }
            (Some(Landed::Somewhere(records)), None) => *records += 1,
            (_, Some(offset)) => runs.push(Landed::At(OffsetRange::new(offset, offset.plus(1)))),
            (_, None) => runs.push(Landed::Somewhere(1)),
        }
    }
    if runs.is_empty() {
        runs.push(Landed::At(OffsetRange::new(Offset::ZERO, Offset::ZERO)));
    }
    let named = |landed| Appended { partition: partition.clone(), landed };
    runs.into_iter().map(named).collect()
}

/// Returns the offset of a record that is stored. It is negative where the brokers only said that a
/// retried record was stored before.
fn offset_of(reported: i64) -> Option<Offset> {
    u64::try_from(reported).ok().map(Offset)
}

/// Goes with one record through librdkafka; dropped unreported, the record's outcome is unknown.
pub(crate) struct Tag {
    flight: Option<Arc<Flight>>,
    place: (usize, usize),
    bytes: u64,
}

impl Tag {
    pub(super) fn new(flight: &Arc<Flight>, place: (usize, usize), record: &Record<'_>) -> Self {
        Self { flight: Some(Arc::clone(flight)), place, bytes: record_len(record) as u64 }
    }

    /// The room the record takes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes what became of the record.
    pub(super) fn report(&mut self, result: &DeliveryResult<'_>, of: &Connection) {
        self.settle(match result {
            Ok(message) => Ok(offset_of(message.offset())),
            Err((error, message)) => {
                let error = KafkaError::new(DURING, error.clone(), of);
                let outcome = if may_be_stored(message) {
                    RecordOutcome::Unknown
                } else {
                    refused_for(&error)
                };
                Err(Failed { error, outcome })
            }
        });
    }

    /// The record was not taken: it is surely not stored.
    pub(super) fn refused(&mut self, error: ClientError) {
        let error = KafkaError::new(DURING, error, &Connection::silent());
        let outcome = refused_for(&error);
        self.settle(Err(Failed { error, outcome }));
    }

    fn settle(&mut self, outcome: Result<Option<Offset>, Failed>) {
        if let Some(flight) = self.flight.take() {
            flight.waiting.settled(self.bytes);
            flight.settle(self.place, outcome);
        }
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        let detail = "the producer ended before it was reported".to_owned();
        let error = KafkaError::found(DURING, Reason::Other { detail });
        self.settle(Err(Failed { error, outcome: RecordOutcome::Unknown }));
    }
}

#[cfg(test)]
mod tests;
