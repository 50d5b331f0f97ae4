//! One broker for all tests of this binary; each test keeps to names of its own on it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use millstream_log_kafka::{Config, KafkaLog, Settings};
use millstream_runtime::Context;
use millstream_testkit::Availability;
use millstream_testkit::kafka::{self, Cluster, Kafka};

/// Returns where the shared broker listens; `None`, visibly, where there can be none.
pub(crate) fn bootstrap() -> Option<String> {
    shared().map(Cluster::bootstrap)
}

/// Returns the shared broker itself; `None`, visibly, where there can be none.
pub(crate) fn shared() -> Option<&'static Cluster> {
    static BROKER: OnceLock<Availability<Cluster>> = OnceLock::new();
    let broker = BROKER.get_or_init(|| match Kafka::install() {
        Availability::Available(kafka) => kafka.start(&kafka::Config::default()).into(),
        Availability::Missing(reason) => Availability::Missing(reason),
    });
    broker.as_ref().or_skip()
}

/// A configuration with a prefix that no other test has.
pub(crate) fn config(bootstrap: &str) -> Config {
    static TESTS: AtomicU32 = AtomicU32::new(0);
    let number = TESTS.fetch_add(1, Ordering::Relaxed);
    Config {
        brokers: vec![bootstrap.to_owned()],
        topic_prefix: format!("t{number}-"),
        // Every test has a topic of positions of its own.
        positions_partitions: 2,
        transaction_time_max: Duration::from_secs(5),
        ..Config::default()
    }
}

/// Reaches the log that `config` describes.
pub(crate) async fn connect(cx: &Context, config: &Config) -> Result<KafkaLog> {
    let log = KafkaLog::connect(cx, config.clone(), Settings::default());
    log.await.context("reach the broker")
}
