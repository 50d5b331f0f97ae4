//! What a test chooses about its brokers, and the properties that follow.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::Ports;
use super::tls::{KEY_STORE, PASSWORD};
use crate::server::Home;

/// What a test chooses about its brokers.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many brokers; each is a controller too.
    pub brokers: u16,
    /// What the JVM is set up for.
    pub tuning: Tuning,
    /// The largest batch of records a broker takes (`message.max.bytes`).
    pub message_bytes_max: u32,
    /// The longest time-out a transaction may ask for.
    pub transaction_timeout_max: Duration,
    /// The shortest session time-out a group member may ask for.
    pub session_timeout_min: Duration,
    /// The session time-out of groups of the new protocol (KIP-848), which the broker sets.
    pub consumer_session_timeout: Duration,
    /// Users, who may log in by PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512. With any there are
    /// `SASL_PLAINTEXT` listeners.
    pub users: Vec<User>,
    /// Whether there are `SSL` listeners (with users also `SASL_SSL`).
    pub tls: bool,
    /// Further properties; they win over all others.
    pub properties: BTreeMap<String, String>,
}

/// What the JVM of a broker is set up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tuning {
    /// Few resources and a quick start.
    QuickStart,
    /// What Kafka's own scripts set: for measurements.
    Throughput,
}

/// A user with a password, neither with quotes or commas.
#[derive(Debug, Clone)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

/// What the harness knows about one broker.
pub(super) struct Settings<'a> {
    pub(super) id: u16,
    pub(super) voters: &'a str,
    pub(super) ports: &'a Ports,
    pub(super) home: &'a Home,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            brokers: 1,
            tuning: Tuning::QuickStart,
            message_bytes_max: 1024 * 1024,
            transaction_timeout_max: Duration::from_secs(60),
            session_timeout_min: Duration::from_secs(1),
            consumer_session_timeout: Duration::from_secs(4),
            users: Vec::new(),
            tls: false,
            properties: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Returns the text of `server.properties`.
    pub(super) fn properties(&self, settings: &Settings<'_>) -> String {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        let fixed = FIXED.iter().map(|(name, value)| (*name, (*value).to_owned()));
        let chosen = self.chosen().into_iter().chain(self.replication());
        for (name, value) in fixed.chain(chosen).chain(self.identity(settings)) {
            all.insert(name.to_owned(), value);
        }
        all.extend(self.security());
        all.extend(self.properties.clone());
        all.iter().fold(String::new(), |mut text, (name, value)| {
            writeln!(text, "{name}={value}").expect("a string takes all");
            text
        })
    }

    fn chosen(&self) -> Vec<(&'static str, String)> {
        let millis = |duration: Duration| duration.as_millis().to_string();
        vec![
            ("message.max.bytes", self.message_bytes_max.to_string()),
            ("replica.fetch.max.bytes", self.message_bytes_max.to_string()),
            ("transaction.max.timeout.ms", millis(self.transaction_timeout_max)),
            ("group.min.session.timeout.ms", millis(self.session_timeout_min)),
            ("group.consumer.min.session.timeout.ms", millis(self.session_timeout_min)),
            ("group.consumer.session.timeout.ms", millis(self.consumer_session_timeout)),
        ]
    }

    fn replication(&self) -> Vec<(&'static str, String)> {
        let replicas = self.brokers.min(3);
        let in_sync_min = replicas.div_ceil(2);
        let (replicas, in_sync_min) = (replicas.to_string(), in_sync_min.to_string());
        let mut properties = Vec::new();
        for name in [
            "default.replication.factor",
            "offsets.topic.replication.factor",
            "transaction.state.log.replication.factor",
            "share.coordinator.state.topic.replication.factor",
        ] {
            properties.push((name, replicas.clone()));
        }
        for name in [
            "min.insync.replicas",
            "transaction.state.log.min.isr",
            "share.coordinator.state.topic.min.isr",
        ] {
            properties.push((name, in_sync_min.clone()));
        }
        properties
    }

    fn identity(&self, settings: &Settings<'_>) -> Vec<(&'static str, String)> {
        let ports = settings.ports;
        let mut listeners = vec![
            format!("PLAINTEXT://{}", ports.plaintext.address()),
            format!("CONTROLLER://{}", ports.controller.address()),
        ];
        let further =
            [("SASL_PLAINTEXT", &ports.sasl), ("SSL", &ports.tls), ("SASL_SSL", &ports.sasl_tls)];
        for (name, port) in further {
            listeners.extend(port.iter().map(|port| format!("{name}://{}", port.address())));
        }
        let listeners = listeners.join(",");
        let protocols = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,\
                         SSL:SSL,SASL_SSL:SASL_SSL";
        vec![
            ("node.id", settings.id.to_string()),
            ("controller.quorum.voters", settings.voters.to_owned()),
            ("advertised.listeners", listeners.clone()),
            ("listeners", listeners),
            ("listener.security.protocol.map", protocols.to_owned()),
            ("log.dirs", settings.home.data().join("kafka").display().to_string()),
        ]
    }

    fn security(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        if self.tls {
            for (name, value) in [
                ("ssl.keystore.type", "PKCS12"),
                ("ssl.keystore.location", KEY_STORE),
                ("ssl.keystore.password", PASSWORD),
                ("ssl.key.password", PASSWORD),
            ] {
                all.insert(name.to_owned(), value.to_owned());
            }
        }
        if self.users.is_empty() {
            return all;
        }
        let mechanisms = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512";
        all.insert("sasl.enabled.mechanisms".to_owned(), mechanisms.to_owned());
        let package = "org.apache.kafka.common.security";
        let mut plain = format!("{package}.plain.PlainLoginModule required");
        for User { name, password } in &self.users {
            write!(plain, " user_{name}=\"{password}\"").expect("a string takes all");
        }
        let scram = format!("{package}.scram.ScramLoginModule required");
        for listener in ["sasl_plaintext", "sasl_ssl"] {
            for (mechanism, module) in
                [("plain", &plain), ("scram-sha-256", &scram), ("scram-sha-512", &scram)]
            {
                let name = format!("listener.name.{listener}.{mechanism}.sasl.jaas.config");
                all.insert(name, format!("{module};"));
            }
        }
        all
    }
}

/// What every broker of a test has: little is allotted, and what waits by default waits briefly.
const FIXED: [(&str, &str); 29] = [
    ("process.roles", "broker,controller"),
    ("controller.listener.names", "CONTROLLER"),
    ("inter.broker.listener.name", "PLAINTEXT"),
    ("auto.create.topics.enable", "false"),
    // A test says what it wants deleted; the checks come often enough to be waited for.
    ("log.retention.check.interval.ms", "1000"),
    ("log.initial.task.delay.ms", "1000"),
    ("log.segment.delete.delay.ms", "1000"),
    ("log.cleaner.backoff.ms", "1000"),
    ("log.cleaner.dedupe.buffer.size", "8388608"),
    ("num.network.threads", "2"),
    ("num.io.threads", "4"),
    ("background.threads", "2"),
    ("num.recovery.threads.per.data.dir", "2"),
    // Groups form at once, and sessions may be short.
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.consumer.heartbeat.interval.ms", "500"),
    ("group.consumer.min.heartbeat.interval.ms", "200"),
    ("offsets.topic.num.partitions", "4"),
    ("transaction.state.log.num.partitions", "4"),
    ("share.coordinator.state.topic.num.partitions", "1"),
    ("offsets.topic.segment.bytes", "10485760"),
    ("transaction.state.log.segment.bytes", "10485760"),
    // Kafka's default. A broker that restarts alone and looks for transactions that took too long
    // before its partitions have a leader forgets to end them (Kafka 4.3.1): a short interval meets
    // that moment nearly always.
    ("transaction.abort.timed.out.transaction.cleanup.interval.ms", "10000"),
    ("transaction.remove.expired.transaction.cleanup.interval.ms", "10000"),
    // One that was killed cannot register again before: that is most of a restart.
    ("broker.session.timeout.ms", "3000"),
    ("broker.heartbeat.interval.ms", "500"),
    ("controller.quorum.election.timeout.ms", "500"),
    ("controller.quorum.fetch.timeout.ms", "2000"),
    ("controlled.shutdown.retry.backoff.ms", "500"),
    ("socket.request.max.bytes", "209715200"),
];
