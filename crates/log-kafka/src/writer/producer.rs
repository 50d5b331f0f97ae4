//! One transactional producer on a thread of its own: every call of it blocks.
//!
//! ```text
//!   open ──▶ init ──▶ idle ──▶ begin, send all, say where it stands, offsets, commit ──▶ idle
//!                       │                  │ failed: aborted for certain, fenced, or in doubt
//!                       ▼                  ▼
//!                     dropped            the client is destroyed
//! ```
//!
//! librdkafka commits the rest of a transaction when one record could not be taken, so every
//! result counts here: of each send, and of each delivery report.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use millstream_runtime::crash_point::crash_point;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::batch::{Batch, Entry, Offsets, copy_of};
use super::delivered::Delivered;
use crate::client::Connection;
use crate::cluster::Cluster;
use crate::error::{KafkaError, Reason};
use crate::message::message_of;
use crate::metrics;

/// How often an idle producer takes its log lines and errors.
const IDLE_POLL: Duration = Duration::from_secs(1);

/// How long the thread rests when there was no delivery report to take.
const DELIVERY_PAUSE: Duration = Duration::from_millis(1);

/// How a call of the producer ended when it did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing was committed for certain; the producer is destroyed all the same.
    Aborted(KafkaError),
    /// The producer is fenced: another one was opened, or its transaction took too long.
    Fenced(KafkaError),
    /// Whether it was committed is unknown; the producer is destroyed.
    InDoubt(KafkaError),
}

impl Failure {
    fn of_coordinator(self) -> Self {
        match self {
            Self::Aborted(error) => Self::Aborted(error.of_coordinator()),
            Self::Fenced(error) => Self::Fenced(error),
            Self::InDoubt(error) => Self::InDoubt(error.of_coordinator()),
        }
    }
}

type Done = oneshot::Sender<Result<(), Failure>>;

enum Command {
    Init(Duration, Done),
    Transact(Box<Batch>, Done),
    Touch(Box<Batch>, Done),
}

/// A producer and its thread; dropping it ends both once the call at hand has returned.
#[derive(Debug)]
pub(crate) struct Producer {
    commands: SyncSender<Command>,
    /// How long a call may take before the thread counts as hung.
    hang_time_max: Duration,
}

impl Producer {
    /// Makes the producer and its thread; nothing is asked of the cluster yet.
    pub(crate) fn start(cluster: &Arc<Cluster>, id: &str) -> Result<Self, KafkaError> {
        let connection = Connection::new("writer");
        let context = Reports { connection: connection.clone(), delivered: Mutex::default() };
        let client = cluster.clients.transactional(id).create_with_context(context);
        let client: BaseProducer<Reports> =
            client.map_err(|error| KafkaError::new("make a client", error, &connection))?;
        // One call at a time: the next command is sent after the last one answered.
        let (commands, inbox) = sync_channel(1);
        let config = &cluster.config;
        let worker = Worker {
            client,
            connection,
            transaction_time_max: config.transaction_time_max,
            abort_time_max: config.request_time_max,
        };
        // Finite calls add up to this; a thread that needs longer hangs inside librdkafka.
        let hang_time_max = config.hang_time_max();
        let thread = thread::Builder::new().name("kafka-writer".to_owned());
        // Not joined: a call may hang inside librdkafka, and nobody shall hang with it.
        let spawned = thread.spawn(move || worker.run(&inbox));
        spawned.map_err(|error| {
            let detail = error.to_string();
            KafkaError::found("start a writer's thread", Reason::Other { detail })
        })?;
        Ok(Self { commands, hang_time_max })
    }

    /// Fences every earlier producer of the same id, and waits until its transaction is settled.
    pub(crate) async fn init(&self, time_max: Duration) -> Result<(), Failure> {
        self.call(time_max + self.hang_time_max, |done| Command::Init(time_max, done)).await
    }

    /// Commits one transaction.
    pub(crate) async fn transact(&self, batch: Batch) -> Result<(), Failure> {
        self.call(self.hang_time_max, |done| Command::Transact(Box::new(batch), done)).await
    }

    /// Sends a transaction and aborts it: every partition that it reaches gets an end marker of this
    /// producer, which also ends what an earlier transaction of its id left open there.
    pub(crate) async fn touch(&self, batch: Batch) -> Result<(), Failure> {
        self.call(self.hang_time_max, |done| Command::Touch(Box::new(batch), done)).await
    }

    async fn call(
        &self,
        time_max: Duration,
        command: impl FnOnce(Done) -> Command,
    ) -> Result<(), Failure> {
        let (done, answer) = oneshot::channel();
        match self.commands.try_send(command(done)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                return Err(Failure::InDoubt(ended("an earlier call did not end well")));
            }
        }
        match tokio::time::timeout(time_max, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_dropped)) => Err(Failure::InDoubt(ended("its thread ended"))),
            Err(_elapsed) => {
                // The thread is left to itself; should the call ever return, it ends.
                metrics::writer_hung();
                tracing::error!(?time_max, "a call into librdkafka hangs; its client is abandoned");
                Err(Failure::InDoubt(ended("a call into librdkafka hangs")))
            }
        }
    }
}

fn ended(why: &str) -> KafkaError {
    KafkaError::found("use the producer", Reason::Other { detail: why.to_owned() })
}

/// What runs on the thread.
struct Worker {
    client: BaseProducer<Reports>,
    connection: Arc<Connection>,
    transaction_time_max: Duration,
    abort_time_max: Duration,
}

impl Worker {
    fn run(self, inbox: &Receiver<Command>) {
        loop {
            let (result, done) = match inbox.recv_timeout(IDLE_POLL) {
                Ok(Command::Init(time_max, done)) => (self.init(time_max), done),
                Ok(Command::Transact(batch, done)) => (self.transact(&batch), done),
                Ok(Command::Touch(batch, done)) => (self.touch(&batch), done),
                Err(RecvTimeoutError::Timeout) => {
                    self.client.poll(Duration::ZERO);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let goes_on = result.is_ok();
            // Whoever asked may have given up; then the next `open` learns what became of it.
            let (Ok(()) | Err(_)) = done.send(result);
            if !goes_on {
                return;
            }
        }
    }

    fn init(&self, time_max: Duration) -> Result<(), Failure> {
        let deadline = Instant::now() + time_max;
        loop {
            match self.client.init_transactions(left(deadline)) {
                Ok(()) => return Ok(()),
                Err(error) if is_retriable(&error) && Instant::now() < deadline => {}
                Err(error) => {
                    return Err(self.sort("fence earlier owners", error).of_coordinator());
                }
            }
        }
    }

    fn transact(&self, batch: &Batch) -> Result<(), Failure> {
        let deadline = Instant::now() + self.transaction_time_max;
        self.begin()?;
        let filled = self.fill(batch, deadline).and_then(|()| self.complete(batch, deadline));
        filled.or_else(|failed| self.abort(failed))?;
        crash_point("kafka.before_commit");
        // Kafka waits twice as long as a transaction may take: a commit that is asked for at the
        // last moment still has time to be answered.
        self.commit(deadline + self.transaction_time_max / 2)
    }

    fn touch(&self, batch: &Batch) -> Result<(), Failure> {
        let deadline = Instant::now() + self.transaction_time_max;
        self.begin()?;
        let filled = self.fill(batch, deadline);
        filled.or_else(|failed| self.abort(failed))?;
        let aborted = self.client.abort_transaction(left(deadline + self.abort_time_max));
        aborted.map_err(|error| self.sort("abort a transaction", error))
    }

    fn begin(&self) -> Result<(), Failure> {
        self.client.context().take_delivered();
        let begun = self.client.begin_transaction();
        begun.map_err(|error| self.sort("begin a transaction", error))
    }

    /// Hands over all records and waits until the brokers have them; nothing is committed yet.
    fn fill(&self, batch: &Batch, deadline: Instant) -> Result<(), KafkaError> {
        for (topic, partition, records) in &batch.records {
            for record in records {
                self.send(message_of(topic, *partition, record, ()), deadline)?;
            }
        }
        for copied in &batch.copies {
            self.send(copy_of(copied), deadline)?;
        }
        for entry in &batch.entries {
            self.send_entry(entry, deadline)?;
        }
        self.deliver(deadline)
    }

    /// Writes down what was written, and commits the offsets with it.
    fn complete(&self, batch: &Batch, deadline: Instant) -> Result<(), KafkaError> {
        let written = self.client.context().take_delivered().into_written();
        let written = written.map_err(|(topic, partition)| {
            let detail = format!("the brokers do not say where a record of {topic}-{partition} is");
            KafkaError::found(SENDING, Reason::Other { detail })
        })?;
        self.send_entry(&batch.manifest(written), deadline)?;
        // Last, while the manifest is on its way. Where that failed, the client would only say that
        // its state is wrong.
        match self.send_offsets(batch, deadline) {
            Ok(()) => self.deliver(deadline),
            Err(error) => {
                self.take_reports();
                let failed = self.client.context().take_failed();
                Err(failed.map_or(error, |failed| self.error(SENDING, failed)))
            }
        }
    }

    fn send_entry(&self, entry: &Entry, deadline: Instant) -> Result<(), KafkaError> {
        let Entry { topic, partition, key, value } = entry;
        let mut sent = BaseRecord::to(topic).partition(*partition).key(key.as_bytes());
        sent.payload = value.as_deref();
        self.send(sent, deadline)
    }

    /// Waits until the brokers have every record.
    fn deliver(&self, deadline: Instant) -> Result<(), KafkaError> {
        loop {
            // What is still queued after a failure would wait for the end of the transaction.
            if let Some(failed) = self.client.context().take_failed() {
                return Err(self.error(SENDING, failed));
            }
            if self.client.in_flight_count() == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.error(SENDING, ClientError::Flush(Code::OperationTimedOut)));
            }
            self.take_reports();
        }
    }

    /// Takes delivery reports that are there; rests a moment when there are none.
    ///
    /// The wrapper's own waiting is a spin below a millisecond: it asks the queue in whole ones,
    /// rounded down, until its time is over.
    fn take_reports(&self) {
        let before = self.client.in_flight_count();
        self.client.poll(Duration::ZERO);
        if self.client.in_flight_count() == before {
            thread::park_timeout(DELIVERY_PAUSE);
        }
    }

    /// Hands over one record; waits while the client's queue is full.
    fn send(
        &self,
        mut record: BaseRecord<'_, [u8], [u8]>,
        deadline: Instant,
    ) -> Result<(), KafkaError> {
        loop {
            match self.client.send(record) {
                Ok(()) => return Ok(()),
                Err((error, rejected)) if is_queue_full(&error) && Instant::now() < deadline => {
                    record = rejected;
                    self.take_reports();
                }
                Err((error, _)) => return Err(self.error(SENDING, error)),
            }
        }
    }

    fn send_offsets(&self, batch: &Batch, deadline: Instant) -> Result<(), KafkaError> {
        for Offsets { group, moved } in &batch.offsets {
            let offsets = moved.list(batch.names());
            loop {
                let time_max = left(deadline);
                let (client, group) = (&self.client, &group.metadata);
                match client.send_offsets_to_transaction(&offsets, group, time_max) {
                    Ok(()) => break,
                    Err(error) if is_retriable(&error) && Instant::now() < deadline => {}
                    Err(error) => return Err(self.error("send offsets", error).of_coordinator()),
                }
            }
        }
        Ok(())
    }

    fn commit(&self, deadline: Instant) -> Result<(), Failure> {
        loop {
            match self.client.commit_transaction(left(deadline)) {
                Ok(()) => return Ok(()),
                Err(error) if is_abortable(&error) => {
                    // The reports say more than the commit, which only knows that one failed.
                    let told = self.client.context().take_failed().unwrap_or(error);
                    return self.abort(self.error("commit a transaction", told));
                }
                Err(error) if is_retriable(&error) && Instant::now() < deadline => {}
                Err(error) => return Err(self.sort("commit a transaction", error)),
            }
        }
    }

    /// Takes a transaction back whose commit was never asked for, or refused.
    fn abort(&self, failed: KafkaError) -> Result<(), Failure> {
        let deadline = Instant::now() + self.abort_time_max;
        self.client.purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
        // The purged records come back as reports, which abort waits for.
        while self.client.in_flight_count() > 0 && Instant::now() < deadline {
            self.take_reports();
        }
        match self.client.abort_transaction(left(deadline)) {
            Ok(()) => Err(Failure::Aborted(failed)),
            Err(error) => match self.sort("abort a transaction", error) {
                Failure::Fenced(error) => Err(Failure::Fenced(error)),
                Failure::Aborted(_) | Failure::InDoubt(_) => Err(Failure::InDoubt(failed)),
            },
        }
    }

    fn sort(&self, during: &'static str, error: ClientError) -> Failure {
        let code = error.rdkafka_error_code();
        let error = self.error(during, error);
        match code {
            Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => {
                Failure::Fenced(error)
            }
            _ => Failure::InDoubt(error),
        }
    }

    fn error(&self, during: &'static str, source: ClientError) -> KafkaError {
        KafkaError::new(during, source, &self.connection)
    }
}

const SENDING: &str = "send a transaction";

fn left(deadline: Instant) -> Duration {
    // Zero would mean "do not wait", which some calls take for "for ever".
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

fn is_retriable(error: &ClientError) -> bool {
    matches!(error, ClientError::Transaction(error) if error.is_retriable() && !error.is_fatal())
}

fn is_abortable(error: &ClientError) -> bool {
    match error {
        ClientError::Transaction(error) => error.txn_requires_abort() && !error.is_fatal(),
        // Flushing comes before the commit is asked for.
        ClientError::Flush(_) => true,
        _ => false,
    }
}

fn is_queue_full(error: &ClientError) -> bool {
    error.rdkafka_error_code() == Some(Code::QueueFull)
}

/// Gathers the delivery reports.
struct Reports {
    connection: Arc<Connection>,
    delivered: Mutex<Delivered>,
}

impl Reports {
    fn take_failed(&self) -> Option<ClientError> {
        self.delivered().take_failed()
    }

    fn take_delivered(&self) -> Delivered {
        std::mem::take(&mut *self.delivered())
    }

    fn delivered(&self) -> MutexGuard<'_, Delivered> {
        self.delivered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.connection.on_log(level, facility, message);
    }

    fn error(&self, error: ClientError, reason: &str) {
        self.connection.on_error(&error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        match result {
            Ok(message) => self.delivered().add(message),
            Err((error, message)) => {
                let (topic, partition) = (message.topic(), message.partition());
                tracing::debug!(topic, partition, %error, "a record was not delivered");
                self.delivered().fail(error);
            }
        }
    }
}

#[cfg(test)]
mod tests;
