//! The second try of records that were refused together.
//!
//! A broker judges batches: it refuses one for its size although some of its records, or each of
//! them, would fit. So every record of such a batch is sent once more, by a producer whose batches
//! hold one record; what is refused then is too large itself. It comes behind what was sent after
//! its batch meanwhile, as it would if the client sent it again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Message as _, OwnedHeaders, Timestamp as MessageTime};
use rdkafka::producer::{BaseRecord, ThreadedProducer};

use super::flight::Tag;
use super::{Reports, Waiting};
use crate::client::Connection;
use crate::cluster::Cluster;
use crate::error::KafkaError;
use crate::reaper::Reaper;

/// The producer of records that are sent alone; made when the first is. It knows nothing of the
/// cluster but how to reach it: clients that are being ended hold it.
pub(super) struct Alone {
    client: ClientConfig,
    waiting: Arc<Waiting>,
    state: Mutex<State>,
}

enum State {
    Unused,
    Running(ThreadedProducer<Reports>),
    Ended,
}

impl Alone {
    pub(super) fn new(cluster: &Cluster, waiting: &Arc<Waiting>) -> Arc<Self> {
        let (client, waiting) = (cluster.clients.single_producer(), Arc::clone(waiting));
        Arc::new(Self { client, waiting, state: Mutex::new(State::Unused) })
    }

    /// Tells whether a record may have been refused for others of its batch.
    pub(super) fn is_for(error: &ClientError) -> bool {
        let code = error.rdkafka_error_code();
        matches!(code, Some(Code::MessageSizeTooLarge | Code::MessageBatchTooLarge))
    }

    /// Sends a refused record once more; where that cannot be, `refused` is its outcome.
    pub(super) fn send(
        &self,
        message: &BorrowedMessage<'_>,
        mut tag: Box<Tag>,
        refused: &ClientError,
    ) {
        let mut state = self.lock();
        if matches!(*state, State::Unused)
            && let Ok(made) = self.make()
        {
            *state = State::Running(made);
        }
        let State::Running(producer) = &*state else { return tag.refused(refused.clone()) };
        let record = BaseRecord {
            topic: message.topic(),
            partition: Some(message.partition()),
            payload: message.payload(),
            key: message.key(),
            timestamp: match message.timestamp() {
                MessageTime::CreateTime(millis) | MessageTime::LogAppendTime(millis) => {
                    Some(millis)
                }
                MessageTime::NotAvailable => None,
            },
            headers: message.headers().map(|headers| -> OwnedHeaders { headers.detach() }),
            delivery_opaque: tag,
        };
        if let Err((error, mut record)) = producer.send(record) {
            record.delivery_opaque.refused(error);
        }
    }

    /// Ends the producer; nothing is sent any more.
    pub(super) fn end(&self, reaper: &Reaper) {
        let before = std::mem::replace(&mut *self.lock(), State::Ended);
        if let State::Running(producer) = before {
            reaper.end(producer);
        }
    }

    fn make(&self) -> Result<ThreadedProducer<Reports>, KafkaError> {
        let connection = Connection::new("enqueue-alone");
        let (waiting, alone) = (Arc::clone(&self.waiting), None);
        let reports = Reports { connection: Arc::clone(&connection), waiting, alone };
        let made = self.client.create_with_context(reports);
        made.map_err(|error| KafkaError::new("make a producer", error, &connection))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
