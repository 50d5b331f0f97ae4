//! Makes librdkafka's clients, and remembers what they say about their connections.
//!
//! Each part of the log has clients of its own, made from the same base: so one that is in doubt
//! can be destroyed without harm to the others. No client waits without end, commits by itself or
//! creates topics.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millstream_model::ByteSize;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError as ClientError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::statistics::Statistics;

use crate::config::{Compression, Config, Mechanism};
use crate::names::Names;

mod connection;

pub use connection::{Connection, Trouble, TroubleKind};

/// What a record takes in a message beyond its key, value and headers, at most: Kafka's own
/// framing of a record and of the batch around it.
pub(crate) const MESSAGE_OVERHEAD_BYTES: u64 = 512;

/// The most bytes that are sent to a partition at once, unless one record is larger: below the
/// limit that topics have by default (1,048,588), which holds for a batch, not for a record.
const BATCH_BYTES_MAX: u64 = 1_000_000;

/// How long the first record of a batch waits for others.
const LINGER: Duration = Duration::from_millis(2);

/// How long a topic that nobody knows may be new, before a record for it fails.
const PROPAGATION_TIME_MAX: Duration = Duration::from_secs(5);

/// How often what is known of topics is asked anew: a topic that was missing is found again.
const METADATA_AGE_MAX: Duration = Duration::from_secs(10);

/// How long a reader's full queue is left alone before more is fetched.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(5);

/// The longest pause before a lost connection is tried again: a broker that comes back is found.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How many bytes a reader fetches ahead that is for looking, of which many may be open at once. One
/// batch is fetched whole, whatever its size: at most what is sent to a partition at once.
const LOOK_AHEAD: ByteSize = ByteSize::kib(128);

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
        // The wrapper would take the level of a logger that we do not have.
        client.set_log_level(RDKafkaLogLevel::Info);
        client
            .set("bootstrap.servers", self.config.brokers.join(","))
            .set("client.id", self.names.client_id(role))
            .set("socket.timeout.ms", millis(self.config.request_time_max))
            .set("socket.connection.setup.timeout.ms", millis(self.config.request_time_max))
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.max.ms", millis(RECONNECT_PAUSE_MAX))
            .set("topic.metadata.propagation.max.ms", millis(PROPAGATION_TIME_MAX))
            .set("topic.metadata.refresh.interval.ms", millis(METADATA_AGE_MAX))
            // The only word of a broker that speaks TLS to a client that does not.
            .set("log.connection.close", "true")
            .set("statistics.interval.ms", "0")
            .set("enable.metrics.push", "false")
            // Producers would: a topic that is gone would come back as the brokers' defaults are.
            .set("allow.auto.create.topics", "false")
            .set("security.protocol", self.protocol());
        self.secure(&mut client);
        client
    }

    fn protocol(&self) -> &'static str {
        match (&self.config.tls, &self.config.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        }
    }

    fn secure(&self, client: &mut ClientConfig) {
        if let Some(tls) = &self.config.tls {
            let path = |path: &std::path::Path| path.display().to_string();
            // Without a file the places are tried where systems keep theirs.
            let ca = tls.ca.as_deref().map_or_else(|| "probe".to_owned(), path);
            client.set("ssl.ca.location", ca);
            if let Some(certificate) = &tls.certificate {
                client.set("ssl.certificate.location", path(certificate));
            }
            if let Some(key) = &tls.key {
                client.set("ssl.key.location", path(key));
            }
        }
        if let Some(sasl) = &self.config.sasl {
            let mechanism = match sasl.mechanism {
                Mechanism::Plain => "PLAIN",
                Mechanism::ScramSha256 => "SCRAM-SHA-256",
                Mechanism::ScramSha512 => "SCRAM-SHA-512",
            };
            client
                .set("sasl.mechanism", mechanism)
                .set("sasl.username", &sasl.username)
                .set("sasl.password", &sasl.password);
        }
    }

    /// The client that administrates.
    ///
    /// It keeps a connection to every broker. One that connects only where it must looks for the
    /// controller again at each change of a connection's state, and each look ends the pause before
    /// the next attempt: while the cluster is away, that is a spin (librdkafka 2.12.1).
    pub fn admin(&self) -> ClientConfig {
        let mut client = self.base("admin");
        client.set("enable.sparse.connections", "false");
        client
    }

    /// A consumer that is assigned its partitions and never commits.
    pub fn reader(&self, isolation: Isolation) -> ClientConfig {
        let mut client = self.base("reader");
        let level = match isolation {
            Isolation::Committed => "read_committed",
            Isolation::Uncommitted => "read_uncommitted",
        };
        let ahead = self.config.fetch_ahead_bytes_max.bytes();
        let fetch = ahead.max(self.message_bytes_max());
        client
            .set("group.id", self.names.readers_group())
            .set("isolation.level", level)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("check.crcs", "true")
            .set("queued.max.messages.kbytes", (ahead >> 10).max(1).to_string())
            .set("fetch.max.bytes", fetch.to_string())
            .set("message.max.bytes", self.message_bytes_max().to_string())
            .set("fetch.queue.backoff.ms", millis(FULL_QUEUE_PAUSE));
        client
    }

    /// A reader for who only looks.
    pub fn looking_reader(&self, isolation: Isolation) -> ClientConfig {
        let mut client = self.reader(isolation);
        let ahead = LOOK_AHEAD.min(self.config.fetch_ahead_bytes_max).bytes();
        client
            .set("queued.max.messages.kbytes", (ahead >> 10).max(1).to_string())
            .set("fetch.message.max.bytes", ahead.to_string());
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
        let mut client = self.writer("enqueue");
        client.set("message.timeout.ms", millis(self.config.delivery_time_max));
        client
    }

    /// The same for records that are sent alone, one in a batch.
    pub fn single_producer(&self) -> ClientConfig {
        let mut client = self.producer();
        client.set("batch.num.messages", "1");
        client
    }

    /// The producer of one task.
    pub fn transactional(&self, transactional_id: &str) -> ClientConfig {
        let mut client = self.writer("writer");
        let config = &self.config;
        // librdkafka takes no longer one than the transaction may take.
        let request = config.request_time_max.min(config.transaction_timeout());
        client
            .set("socket.timeout.ms", millis(request))
            .set("transactional.id", transactional_id)
            .set("transaction.timeout.ms", millis(config.transaction_timeout()))
            .set("message.timeout.ms", millis(config.transaction_time_max));
        client
    }

    /// What both kinds of producers share. Their own limits lie above ours, which are checked
    /// before anything is sent.
    fn writer(&self, role: &str) -> ClientConfig {
        let config = &self.config;
        let queue = config.queue_bytes_max.max(config.transaction_bytes_max).bytes();
        let compression = match config.compression {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        };
        let message = self.message_bytes_max();
        let mut client = self.base(role);
        client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", millis(LINGER))
            .set("compression.type", compression)
            .set("message.max.bytes", message.to_string())
            .set("batch.size", message.min(BATCH_BYTES_MAX).to_string())
            .set("queue.buffering.max.messages", QUEUED_MESSAGES_MAX.to_string())
            .set("queue.buffering.max.kbytes", (queue * 2 / 1024).max(1024).to_string());
        client
    }

    /// Returns the size of the largest message that is sent.
    pub(crate) fn message_bytes_max(&self) -> u64 {
        // librdkafka takes no limit below 1000.
        (self.config.record_bytes_max.bytes() + MESSAGE_OVERHEAD_BYTES).max(1000)
    }
}

/// Far above what our own limits let in, so that librdkafka never refuses in the middle of a batch.
const QUEUED_MESSAGES_MAX: u32 = 10_000_000;

fn millis(time: Duration) -> String {
    time.as_millis().to_string()
}

/// The context of clients whose callbacks nobody needs, but for their errors and log lines.
#[derive(Clone)]
pub struct Observer(pub Arc<Connection>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl ClientContext for Observer {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.on_log(level, facility, message);
    }

    fn stats(&self, _statistics: Statistics) {}

    fn error(&self, error: ClientError, reason: &str) {
        self.0.on_error(&error, reason);
    }
}

impl ConsumerContext for Observer {}

impl ProducerContext for Observer {
    type DeliveryOpaque = ();

    fn delivery(&self, _result: &DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests;
