//! How to reach Kafka, and the limits of what we ask of it.
//!
//! `Config` is what an operator writes, with one sentence a field; `Settings` is what only code
//! sets. Passwords never show in `Debug`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use millstream_model::ByteSize;
use thiserror::Error;

/// How long a transaction that its owner left may stay open beyond its time-out: the broker looks
/// for those every ten seconds (`transaction.abort.timed.out.transaction.cleanup.interval.ms`).
pub(crate) const TRANSACTION_CLEANUP_INTERVAL: Duration = Duration::from_secs(10);

/// How to reach Kafka, and the limits of what we ask of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where to reach the cluster first: host and port of some of its brokers.
    pub brokers: Vec<String>,
    /// Stands before the name of each topic, group and transactional id, so that several
    /// installations can share a cluster.
    pub topic_prefix: String,
    /// Encrypts connections and checks the brokers' certificates; absent: plaintext.
    pub tls: Option<Tls>,
    /// Logs in to the brokers; absent: no login.
    pub sasl: Option<Sasl>,
    /// How many copies the cluster keeps of topics that are created; absent: the broker's default.
    pub replication_factor: Option<u16>,
    /// How many partitions the topic of positions has when it is created.
    pub positions_partitions: u32,
    /// How many tasks one process may own: by default 64 in each of the roles spool, clean and sink.
    pub tasks_max: usize,
    /// How long a transaction may take; Kafka ends it after twice this time.
    pub transaction_time_max: Duration,
    /// The most bytes of records in one transaction.
    pub transaction_bytes_max: ByteSize,
    /// The most bytes of records in one append without an owner.
    pub append_bytes_max: ByteSize,
    /// The largest record that is sent, with key and headers.
    pub record_bytes_max: ByteSize,
    /// How many bytes of records may wait for their acknowledgement without an owner.
    pub queue_bytes_max: ByteSize,
    /// How many records may wait for their acknowledgement without an owner.
    pub queue_records_max: u32,
    /// How long one request to the cluster may take.
    pub request_time_max: Duration,
    /// How long a record without an owner is tried to be delivered.
    pub delivery_time_max: Duration,
    /// How long a member of a group may be silent before its tasks go to others, on brokers without
    /// KIP-848: those that have it set that themselves, for the group. A fifth of it is also how long
    /// a fenced task waits, on all of them: no less than their heartbeat, if that is to be enough.
    pub session_time_max: Duration,
    /// How many bytes the reader of one task fetches ahead; who only looks fetches little ahead.
    pub fetch_ahead_bytes_max: ByteSize,
    /// How records are compressed on their way and in the cluster.
    pub compression: Compression,
    /// How long a topic of dead letters keeps its records that is created, unless it has a retention
    /// of its own.
    pub dead_letters_retention: Duration,
}

/// How records are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Fast, moderate.
    Lz4,
    /// Slower, better.
    Zstd,
}

/// Encryption of connections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tls {
    /// File with the certificates (PEM) that brokers are checked against; absent: the system's.
    pub ca: Option<PathBuf>,
    /// File with our certificate (PEM), where brokers ask for one.
    pub certificate: Option<PathBuf>,
    /// File with the key (PEM) of our certificate.
    pub key: Option<PathBuf>,
}

/// Login to the brokers.
#[derive(Clone, PartialEq, Eq)]
pub struct Sasl {
    /// How the password is proven.
    pub mechanism: Mechanism,
    /// Who logs in.
    pub username: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sasl")
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .field("password", &"***")
            .finish()
    }
}

/// How a password is proven to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// Sends it; only with TLS.
    Plain,
    /// Proves it without sending it, with SHA-256.
    ScramSha256,
    /// Proves it without sending it, with SHA-512.
    ScramSha512,
}

/// What only code sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The application's name: part of the positions topic's name, shown to Kafka as client id.
    pub app: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { app: "millstream".to_owned() }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            brokers: vec!["127.0.0.1:9092".to_owned()],
            topic_prefix: String::new(),
            tls: None,
            sasl: None,
            replication_factor: None,
            positions_partitions: 16,
            tasks_max: 3 * 64,
            transaction_time_max: Duration::from_secs(10),
            transaction_bytes_max: ByteSize::mib(16),
            append_bytes_max: ByteSize::mib(16),
            // An event of one MiB, with its key, and the headers of a dead letter.
            record_bytes_max: ByteSize::kib(1024 + 64),
            queue_bytes_max: ByteSize::mib(64),
            queue_records_max: 500_000,
            request_time_max: Duration::from_secs(10),
            delivery_time_max: Duration::from_secs(120),
            session_time_max: Duration::from_secs(45),
            fetch_ahead_bytes_max: ByteSize::mib(8),
            compression: Compression::Lz4,
            dead_letters_retention: Duration::from_secs(30 * 86_400),
        }
    }
}

/// A value outside its range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key}: {reason}")]
pub struct ConfigError {
    /// The key.
    pub key: &'static str,
    /// What is wrong, with the allowed range.
    pub reason: String,
}

impl Config {
    /// Returns after how long Kafka ends a transaction of ours by itself.
    pub fn transaction_timeout(&self) -> Duration {
        self.transaction_time_max * 2
    }

    /// Returns how long a stranger's transaction may hold back what is read of topics that several
    /// tasks write: it may have to time out first.
    pub(crate) fn held_time_max(&self) -> Duration {
        self.transaction_timeout() + TRANSACTION_CLEANUP_INTERVAL + self.request_time_max
    }

    /// Returns after how long a call counts as hung inside librdkafka: twice what the longest one
    /// of all takes by its own limits.
    pub(crate) fn hang_time_max(&self) -> Duration {
        self.held_time_max() * 2
    }

    /// Returns the time between two signs of life of a group's member, each of which also asks
    /// what it still owns. Where the brokers set it, they do so at 5 s unless told otherwise.
    pub fn heartbeat_interval(&self) -> Duration {
        self.session_time_max / 5
    }

    /// Checks every value against its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |holds: bool, key: &'static str, reason: &str| {
            if holds { Ok(()) } else { Err(ConfigError { key, reason: reason.to_owned() }) }
        };
        let (second, hour) = (Duration::from_secs(1), Duration::from_secs(3600));
        let brokers = &self.brokers;
        let is_address = |broker: &String| !broker.is_empty() && !broker.contains([',', ' ']);
        check(!brokers.is_empty(), "brokers", "name at least one as host:port")?;
        check(brokers.iter().all(is_address), "brokers", "each is one host:port")?;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let prefix = &self.topic_prefix;
        check(prefix.bytes().all(legal), "topic_prefix", "use a-z A-Z 0-9 . _ -")?;
        check(prefix.len() <= PREFIX_BYTES_MAX, "topic_prefix", "at most 64 bytes")?;
        if let Some(tls) = &self.tls {
            let both = tls.certificate.is_some() == tls.key.is_some();
            check(both, "tls.certificate", "it takes a certificate and its key, or neither")?;
        }
        if let Some(sasl) = &self.sasl {
            check(!sasl.username.is_empty(), "sasl.username", "name who logs in")?;
        }
        check(self.replication_factor != Some(0), "replication_factor", "at least 1")?;
        let partitions = (1..=1000).contains(&self.positions_partitions);
        check(partitions, "positions_partitions", "between 1 and 1000")?;
        check((1..=1024).contains(&self.tasks_max), "tasks_max", "between 1 and 1024")?;
        let within = |time: Duration, min, max| (min..=max).contains(&time);
        // Kafka lets nobody ask for more than 15 minutes unless its brokers are told to.
        let transaction = within(self.transaction_time_max, second / 2, 450 * second);
        check(transaction, "transaction_time_max", "between 500 ms and 450 s")?;
        let request = within(self.request_time_max, second, 300 * second);
        check(request, "request_time_max", "between 1 s and 300 s")?;
        let delivery = within(self.delivery_time_max, second, 24 * hour);
        check(delivery, "delivery_time_max", "between 1 s and 24 h")?;
        let session = within(self.session_time_max, second, hour);
        check(session, "session_time_max", "between 1 s and 1 h")?;
        let sizes = [
            ("transaction_bytes_max", self.transaction_bytes_max),
            ("append_bytes_max", self.append_bytes_max),
            ("record_bytes_max", self.record_bytes_max),
            ("queue_bytes_max", self.queue_bytes_max),
            ("fetch_ahead_bytes_max", self.fetch_ahead_bytes_max),
        ];
        for (key, size) in sizes {
            let holds = (ByteSize::kib(1)..=BYTES_MAX).contains(&size);
            check(holds, key, "between 1 KiB and 900 MiB")?;
        }
        let fits = self.record_bytes_max <= self.transaction_bytes_max.min(self.append_bytes_max);
        check(fits, "record_bytes_max", "at most append_bytes_max and transaction_bytes_max")?;
        check(self.queue_records_max > 0, "queue_records_max", "at least 1")
    }
}

/// The longest prefix, in bytes: names of Kafka take 249.
const PREFIX_BYTES_MAX: usize = 64;

/// What librdkafka takes for a size, with room for what is beside the records.
const BYTES_MAX: ByteSize = ByteSize::mib(900);

#[cfg(test)]
mod tests;
