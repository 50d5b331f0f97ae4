//! Records without an owner: one idempotent producer for all of the log.
//!
//! ```text
//!   enqueue ──▶ admitted? ──▶ librdkafka's queue ──▶ brokers ──▶ delivery reports
//!                  │ Full                                             │ one a record
//!                  ▼                                                  ▼
//!               refused at once, nothing sent            flight: resolves after the last one
//! ```
//!
//! Bounded by bytes and records before anything is sent, so that a batch is taken whole or not at
//! all; what the brokers then do with it is each record's own outcome ([`flight`]). Within a
//! partition records keep their order and none is stored twice, retries of librdkafka included; only
//! what is refused for the size of its batch comes later ([`alone`]).

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millstream_log::{Append, EnqueueError, check};
use millstream_model::{ByteSize, RecordBatch, TopicPartition};
use millstream_runtime::Context;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::producer::{DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;
use tokio::sync::Notify;

use crate::client::Connection;
use crate::cluster::Cluster;
use crate::error::KafkaError;
use crate::message::{message_of, record_len};
use crate::names::number;

mod alone;
mod drain;
mod flight;

use alone::Alone;
use drain::Drain;
use flight::{Flight, Tag};

/// The producer of records without an owner.
pub(crate) struct Enqueuer {
    cluster: Arc<Cluster>,
    waiting: Arc<Waiting>,
    /// Held while a batch is handed over, so that its records stand together. `None` after closing.
    producer: Mutex<Option<ThreadedProducer<Reports>>>,
    alone: Arc<Alone>,
    closed: AtomicBool,
}

/// What waits for its acknowledgement.
#[derive(Debug, Default)]
struct Waiting {
    bytes: AtomicU64,
    records: AtomicU64,
    drain: Drain,
    emptied: Notify,
}

impl fmt::Debug for Enqueuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enqueuer").field("waiting", &self.waiting).finish_non_exhaustive()
    }
}

impl Enqueuer {
    /// Makes the producer and the thread that takes its reports.
    pub(crate) fn start(cluster: &Arc<Cluster>) -> Result<Self, KafkaError> {
        let waiting = Arc::new(Waiting::default());
        let alone = Alone::new(cluster, &waiting);
        let producer = make(cluster, &waiting, &alone)?;
        Ok(Self {
            cluster: Arc::clone(cluster),
            waiting,
            producer: Mutex::new(Some(producer)),
            alone,
            closed: AtomicBool::new(false),
        })
    }

    /// Appends records; see [`millstream_log::Log::enqueue`].
    ///
    /// A partition must be known: from when the log was reached, or from whoever asked since.
    pub(crate) fn enqueue(
        &self,
        records: &[(TopicPartition, RecordBatch)],
    ) -> Result<Append, EnqueueError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(EnqueueError::Closed);
        }
        let size = self.check(records)?;
        let (done, append) = Append::channel();
        let flight = Flight::new(records, Arc::clone(&self.waiting), done);
        if size.records == 0 {
            flight.settle_empty();
            return Ok(append);
        }
        let mut producer = self.lock();
        let Some(alive) = producer.as_mut() else { return Err(EnqueueError::Closed) };
        if alive.client().fatal_error().is_some() {
            self.replace(alive)?;
        }
        self.admit(size)?;
        self.send(alive, records, &flight);
        Ok(append)
    }

    /// Refuses everything from now on, and waits until what was accepted is settled or `cx` ends.
    pub(crate) async fn close(&self, cx: &Context) {
        self.closed.store(true, Ordering::SeqCst);
        // Whoever passed the check before has handed its batch over once the lock is free.
        drop(self.lock());
        loop {
            let emptied = self.waiting.emptied.notified();
            if self.waiting.records.load(Ordering::SeqCst) == 0 || cx.run(emptied).await.is_err() {
                break;
            }
        }
        self.end();
    }

    fn end(&self) {
        if let Some(producer) = self.lock().take() {
            self.cluster.reaper.end(producer);
        }
        self.alone.end(&self.cluster.reaper);
    }

    fn lock(&self) -> MutexGuard<'_, Option<ThreadedProducer<Reports>>> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses what can never be appended.
    fn check(&self, records: &[(TopicPartition, RecordBatch)]) -> Result<Size, EnqueueError> {
        let config = &self.cluster.config;
        for (partition, _) in records {
            let known = self.cluster.topics.known(&partition.topic);
            if known.is_none_or(|topic| topic.partitions <= partition.partition.0) {
                return Err(EnqueueError::UnknownPartition(partition.clone()));
            }
        }
        let limit = |limit: ByteSize| usize::try_from(limit.bytes()).unwrap_or(usize::MAX);
        let bytes = check::append_bytes(records, limit(config.append_bytes_max))?;
        let batches = records.iter().map(|(_, batch)| batch);
        for record in batches.clone().flatten() {
            check::record_bytes(record_len(&record), limit(config.record_bytes_max))?;
        }
        let count = batches.map(|batch| u64::from(batch.len())).sum();
        Ok(Size { bytes: bytes as u64, records: count })
    }

    /// Takes room for a batch; called with the lock held, so that two cannot take the same.
    fn admit(&self, size: Size) -> Result<(), EnqueueError> {
        let (config, waiting) = (&self.cluster.config, &self.waiting);
        let bytes = waiting.bytes.load(Ordering::SeqCst) + size.bytes;
        let records = waiting.records.load(Ordering::SeqCst) + size.records;
        let over = bytes.saturating_sub(config.queue_bytes_max.bytes());
        // A batch that is alone is always let in: the limit of one append bounds it.
        let is_alone = bytes == size.bytes;
        if !is_alone && (over > 0 || records > u64::from(config.queue_records_max)) {
            return Err(EnqueueError::Full { retry_after: waiting.drain.time_for(over) });
        }
        waiting.bytes.fetch_add(size.bytes, Ordering::SeqCst);
        waiting.records.fetch_add(size.records, Ordering::SeqCst);
        Ok(())
    }

    /// Puts a new producer in place of one that librdkafka calls dead; its records resolve as
    /// whatever is known of them.
    fn replace(&self, dead: &mut ThreadedProducer<Reports>) -> Result<(), EnqueueError> {
        let fresh = make(&self.cluster, &self.waiting, &self.alone);
        let fresh = fresh.map_err(|error| EnqueueError::Storage(error.into_io()))?;
        tracing::warn!("producer of records without an owner failed for good, a new one is made");
        self.cluster.reaper.end(std::mem::replace(dead, fresh));
        Ok(())
    }

    /// Hands every record over. Where one is not taken, the rest is not sent either: within a
    /// partition what is stored has no hole.
    fn send(
        &self,
        producer: &ThreadedProducer<Reports>,
        records: &[(TopicPartition, RecordBatch)],
        flight: &Arc<Flight>,
    ) {
        let mut stopped = None;
        for (index, (partition, batch)) in records.iter().enumerate() {
            let topic = self.cluster.names.topic(&partition.topic);
            let number = number(partition);
            for (place, record) in batch.iter().enumerate() {
                let mut tag = Box::new(Tag::new(flight, (index, place), &record));
                let message = match &stopped {
                    None => message_of(&topic, number, record, tag),
                    Some(error) => {
                        tag.refused(ClientError::clone(error));
                        continue;
                    }
                };
                if let Err((error, mut message)) = producer.send(message) {
                    message.delivery_opaque.refused(error.clone());
                    stopped = Some(error);
                }
            }
        }
    }
}

impl Drop for Enqueuer {
    fn drop(&mut self) {
        self.end();
    }
}

/// The size of a batch.
#[derive(Debug, Clone, Copy)]
struct Size {
    bytes: u64,
    records: u64,
}

fn make(
    cluster: &Cluster,
    waiting: &Arc<Waiting>,
    alone: &Arc<Alone>,
) -> Result<ThreadedProducer<Reports>, KafkaError> {
    let connection = Connection::new("enqueue");
    let (waiting, alone) = (Arc::clone(waiting), Some(Arc::clone(alone)));
    let reports = Reports { connection: Arc::clone(&connection), waiting, alone };
    let made = cluster.clients.producer().create_with_context(reports);
    made.map_err(|error| KafkaError::new("make a producer", error, &connection))
}

/// Takes the reports of one producer.
struct Reports {
    connection: Arc<Connection>,
    waiting: Arc<Waiting>,
    /// Where records get their second try; `None` at the producer that is that try.
    alone: Option<Arc<Alone>>,
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.connection.on_log(level, facility, message);
    }

    fn stats(&self, _statistics: Statistics) {}

    fn error(&self, error: ClientError, reason: &str) {
        self.connection.on_error(&error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Tag>;

    fn delivery(&self, result: &DeliveryResult<'_>, mut tag: Box<Tag>) {
        if result.is_ok() {
            self.connection.on_success();
            self.waiting.drain.add(tag.bytes());
        }
        if let (Some(alone), Err((error, message))) = (&self.alone, result)
            && Alone::is_for(error)
        {
            return alone.send(message, tag, error);
        }
        tag.report(result, &self.connection);
    }
}

impl Waiting {
    /// Gives back the room of one record.
    fn settled(&self, bytes: u64) {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
        if self.records.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.emptied.notify_waiters();
        }
    }
}
