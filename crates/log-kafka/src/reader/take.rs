//! Taking records from a consumer's queue into batches: synchronous, and no byte copied twice.

use std::time::Duration;

use millstream_log::OffsetBatch;
use millstream_model::{Offset, RecordBatch, RecordBatchBuilder};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _};

use super::{Place, consumer};
use crate::client::Observer;
use crate::ffi::message::leader_epoch;
use crate::message;

/// How often in a row the queue may hold only what is for librdkafka itself.
const EMPTY_POLLS_MAX: usize = 1000;

/// A record that was taken from the queue and did not fit.
pub(super) struct Held {
    record: RecordBatch,
    place: Place,
}

/// What was taken.
#[derive(Default)]
pub(super) struct Taken {
    /// Records, a new batch after each gap.
    pub(super) batches: Vec<OffsetBatch>,
    /// The place after the last record.
    pub(super) last: Option<Place>,
    /// The record that came next and did not fit.
    pub(super) held: Option<Held>,
    /// Why nothing more will come.
    pub(super) failed: Option<ClientError>,
}

/// Takes records of at most `bytes_max` encoded bytes, or a single larger one.
pub(super) fn take(
    consumer: &BaseConsumer<Observer>,
    held: Option<Held>,
    bytes_max: usize,
) -> Taken {
    let mut run = Run::default();
    if let Some(held) = held {
        run.begin(&held);
    }
    let mut empty_polls = 0;
    let mut failed = None;
    let mut over = None;
    while run.bytes() < bytes_max.max(1) {
        match consumer.poll(Duration::ZERO) {
            Some(Ok(message)) if run.fits(&message, bytes_max) => run.push(&message),
            Some(Ok(message)) => {
                over = Some(hold(&message));
                break;
            }
            Some(Err(error)) if ends_reading(&error) => {
                failed = Some(error);
                break;
            }
            // The rest librdkafka deals with by itself; what it said is remembered.
            Some(Err(_)) | None => {
                empty_polls += 1;
                let client = consumer.client().native_client();
                if consumer::queued(client) == 0 || empty_polls > EMPTY_POLLS_MAX {
                    break;
                }
            }
        }
    }
    let last = run.last;
    Taken { batches: run.finish(), last, held: over, failed }
}

fn ends_reading(error: &ClientError) -> bool {
    match error {
        ClientError::MessageConsumptionFatal(_) => true,
        ClientError::MessageConsumption(code) => matches!(
            code,
            Code::AutoOffsetReset
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopic
                | Code::UnknownPartition
                | Code::TopicAuthorizationFailed
                | Code::BadMessage
                | Code::BadCompression
        ),
        _ => false,
    }
}

fn place_after(message: &BorrowedMessage<'_>) -> Place {
    Place { offset: offset_of(message).plus(1), epoch: leader_epoch(message) }
}

fn offset_of(message: &BorrowedMessage<'_>) -> Offset {
    Offset(u64::try_from(message.offset()).expect("a message that was stored has an offset"))
}

fn hold(message: &BorrowedMessage<'_>) -> Held {
    let mut record = RecordBatchBuilder::with_capacity(message::encoded_len(message));
    message::push(&mut record, message);
    Held { record: record.finish(), place: place_after(message) }
}

/// Batches in the making.
#[derive(Default)]
struct Run {
    done: Vec<OffsetBatch>,
    done_bytes: usize,
    first: Offset,
    records: RecordBatchBuilder,
    last: Option<Place>,
}

impl Run {
    fn begin(&mut self, held: &Held) {
        let first = Offset(held.place.offset.0 - 1);
        self.first = first;
        self.records.extend(&held.record);
        self.last = Some(held.place);
    }

    fn bytes(&self) -> usize {
        self.done_bytes + self.records.bytes_len()
    }

    fn fits(&self, message: &BorrowedMessage<'_>, bytes_max: usize) -> bool {
        self.last.is_none() || self.bytes() + message::encoded_len(message) <= bytes_max
    }

    fn push(&mut self, message: &BorrowedMessage<'_>) {
        let offset = offset_of(message);
        if self.last.is_none_or(|last| last.offset != offset) {
            self.end_batch();
            self.first = offset;
        }
        message::push(&mut self.records, message);
        self.last = Some(place_after(message));
    }

    fn end_batch(&mut self) {
        if self.records.is_empty() {
            return;
        }
        self.done_bytes += self.records.bytes_len();
        let records = std::mem::take(&mut self.records).finish();
        self.done.push(OffsetBatch { first: self.first, records });
    }

    fn finish(mut self) -> Vec<OffsetBatch> {
        self.end_batch();
        self.done
    }
}
