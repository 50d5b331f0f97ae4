//! The log on Kafka keeps the contract: the same properties as the journal, on a real broker.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use async_trait::async_trait;
use millstream_log::Log;
use millstream_log::conformance::{self, Capability, Limits, Pace, Subject};
use millstream_log_kafka::{Config, KafkaLog};
use millstream_model::{ByteSize, TopicPartition};
use millstream_runtime::Context;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tokio::time::Instant;

use crate::broker;

/// The most record bytes of an append and of a transaction; one record may be as large.
const BYTES_MAX: usize = 512 << 10;

/// How long a call to the broker may take.
const CALL_TIME_MAX: Duration = Duration::from_secs(30);

/// A part of the cluster that nobody else uses, told apart by its prefix.
struct KafkaSubject {
    config: Config,
    log: Option<Arc<KafkaLog>>,
    /// Sees every record.
    everything: BaseConsumer,
    /// Sees committed records.
    committed: BaseConsumer,
}

impl KafkaSubject {
    fn new(bootstrap: &str) -> Result<Self> {
        let config = Config {
            transaction_bytes_max: ByteSize(BYTES_MAX as u64),
            append_bytes_max: ByteSize(BYTES_MAX as u64),
            record_bytes_max: ByteSize(BYTES_MAX as u64),
            ..broker::config(bootstrap)
        };
        let client = |isolation| -> Result<BaseConsumer> {
            let mut client = ClientConfig::new();
            client.set("bootstrap.servers", bootstrap).set("isolation.level", isolation);
            Ok(client.create()?)
        };
        let (everything, committed) = (client("read_uncommitted")?, client("read_committed")?);
        Ok(Self { config, log: None, everything, committed })
    }
}

#[async_trait]
impl Subject for KafkaSubject {
    fn capabilities(&self) -> &[Capability] {
        &[Capability::Restart, Capability::Crash]
    }

    fn limits(&self) -> Limits {
        Limits { append_bytes_max: BYTES_MAX, transaction_bytes_max: BYTES_MAX }
    }

    async fn start(&mut self) -> Result<Arc<dyn Log>> {
        let cx = Context::background().with_timeout(CALL_TIME_MAX);
        let log = Arc::new(broker::connect(&cx, &self.config).await?);
        self.log = Some(log.clone());
        Ok(log)
    }

    async fn stop(&mut self) -> Result<()> {
        let cx = Context::background().with_timeout(CALL_TIME_MAX);
        let log = self.log.take().context("it is not started")?;
        log.close(&cx).await;
        Ok(())
    }

    /// The process that uses the log ends; Kafka itself does not.
    async fn crash(&mut self) -> Result<()> {
        self.log = None;
        Ok(())
    }

    /// The broker answers a commit before each partition has its end mark.
    async fn settle(&self, partition: &TopicPartition) -> Result<()> {
        let topic = format!("{}{}", self.config.topic_prefix, partition.topic);
        let number = i32::try_from(partition.partition.0)?;
        let end = |client: &BaseConsumer| -> Result<i64> {
            Ok(client.fetch_watermarks(&topic, number, CALL_TIME_MAX)?.1)
        };
        let all = end(&self.everything)?;
        let asked_until = Instant::now() + CALL_TIME_MAX;
        while end(&self.committed)? < all {
            ensure!(Instant::now() < asked_until, "a transaction on {topic}-{number} stays open");
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

#[test]
fn the_log_on_kafka_keeps_the_contract() -> Result<()> {
    let Some(bootstrap) = broker::bootstrap() else { return Ok(()) };
    let pace = Pace { at_once: 4, property_time_max: Duration::from_secs(300) };
    let make = || Ok(Box::new(KafkaSubject::new(&bootstrap)?) as Box<dyn Subject>);
    let report = crate::block_on(conformance::run_at(pace, "kafka", make))?;
    ensure!(!report.ran.is_empty());
    Ok(())
}
