//! Makes librdkafka's clients, and remembers what they say about their connections.
//!
//! Each part of the log has clients of its own, made from the same base: so one that is in doubt
//! can be destroyed without harm to the others.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::statistics::Statistics;

use crate::config::Config;
use crate::names::Names;

/// What a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Only what is committed, up to the last stable offset.
    Committed,
    /// Everything up to the high watermark.
    Uncommitted,
}

/// Makes the configuration of each kind of client.
#[derive(Debug, Clone)]
pub struct Clients {
    config: Arc<Config>,
    names: Names,
}

impl Clients {
    /// Makes clients as `config` has it.
    pub fn new(config: Arc<Config>, names: Names) -> Self {
        Self { config, names }
    }

    /// What all clients share: brokers, TLS, login, request time-outs, logging.
    pub fn base(&self, role: &str) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", self.config.brokers.join(","))
            .set("client.id", self.names.client_id(role))
            .set("statistics.interval.ms", "0");
        client
    }

    /// A consumer that is assigned its partitions and never commits.
    pub fn reader(&self, isolation: Isolation) -> ClientConfig {
        let mut client = self.base("reader");
        let level = match isolation {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        };
        client
            .set("group.id", self.names.readers_group())
            .set("isolation.level", level)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error");
        client
    }

    /// A consumer in `group` that asks for the group's offsets or joins it; never fetches.
    pub fn member(&self, group: &str) -> ClientConfig {
        let mut client = self.reader(Isolation::Committed);
        client.set("group.id", group);
        client
    }

    /// The idempotent producer of records without an owner.
    pub fn producer(&self) -> ClientConfig {
        let mut client = self.base("enqueue");
        client.set("enable.idempotence", "true").set("acks", "all");
        client
    }

    /// The producer of one task.
    pub fn transactional(&self, transactional_id: &str) -> ClientConfig {
        let mut client = self.base("writer");
        client.set("transactional.id", transactional_id).set(
            "transaction.timeout.ms",
            self.config.transaction_timeout().as_millis().to_string(),
        );
        client
    }
}

/// What one client said about its connections, and the way of its log lines into ours.
#[derive(Debug)]
pub struct Connection {
    role: &'static str,
    last: Mutex<Option<(ClientError, String)>>,
}

impl Connection {
    /// The memory of a client that is used as `role`.
    pub fn new(role: &'static str) -> Arc<Self> {
        Arc::new(Self { role, last: Mutex::new(None) })
    }

    /// Takes a log line of the client.
    pub fn on_log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(role = self.role, ?level, facility, message, "kafka client");
    }

    /// Takes an error that belongs to no call.
    pub fn on_error(&self, error: ClientError, reason: &str) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((error, reason.to_owned()));
    }

    /// Returns the last error that belongs to no call, with its reason.
    pub fn last_error(&self) -> Option<(ClientError, String)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The context of clients whose callbacks nobody needs, but for their errors and log lines.
#[derive(Debug, Clone)]
pub struct Observer(pub Arc<Connection>);

impl ClientContext for Observer {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.on_log(level, facility, message);
    }

    fn stats(&self, _statistics: Statistics) {}

    fn error(&self, error: ClientError, reason: &str) {
        self.0.on_error(error, reason);
    }
}

impl ConsumerContext for Observer {}
