//! What is missing, too large or too long is told with its remedy, and within its time.

use anyhow::{Context as _, Result, bail, ensure};
use millstream_log::conformance::batch;
use millstream_log::{
    EnqueueError, Log as _, OpenError, Opened, Owner, ReaderError, TopicConfig, TopicKind,
    TransactError, Transaction,
};
use millstream_log_kafka::config::Compression;
use millstream_log_kafka::error::Reason;
use millstream_log_kafka::{Config, KafkaError, KafkaLog};
use millstream_model::TopicPartition;
use millstream_model::{ByteSize, Classify as _, ErrorClass, SourceId, TaskId, TopicName};
use millstream_runtime::Context;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use std::time::Duration;

use crate::{block_on, broker};

/// Far more than any call here may take: who comes to this end hangs.
const HANG_TIME: Duration = Duration::from_secs(180);

/// A topic with one partition.
pub(crate) fn one(topic: &str) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).expect("a legal name"), 0)
}

/// A task, and what it reads.
pub(crate) fn owner(inputs: &[TopicPartition]) -> Owner {
    let task = TaskId::new("app.pipeline.clean.0").expect("a legal id");
    Owner { task, inputs: inputs.to_vec(), renamed_from: None }
}

/// A transaction of one position.
pub(crate) fn position() -> Transaction {
    let source = SourceId::new("last").expect("a legal id");
    Transaction { positions: vec![(source, "1".into())], ..Transaction::default() }
}

/// A transaction that writes one record.
fn write(to: &TopicPartition, value: &str) -> Transaction {
    Transaction { records: vec![(to.clone(), batch(&[value]))], ..position() }
}

pub(crate) async fn make(cx: &Context, log: &KafkaLog, topic: &str) -> Result<()> {
    let config = TopicConfig { partitions: 1, kind: TopicKind::Events, retention: None };
    log.admin().ensure_topic(cx, &one(topic).topic, &config).await?;
    Ok(())
}

/// Sets one key of a topic's configuration.
pub(crate) async fn alter(bootstrap: &str, topic: &str, key: &str, value: &str) -> Result<()> {
    let mut client = ClientConfig::new();
    let admin: AdminClient<DefaultClientContext> =
        client.set("bootstrap.servers", bootstrap).create()?;
    let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(key, value);
    for altered in admin.alter_configs([&change], &AdminOptions::new()).await? {
        ensure!(altered.is_ok(), "{altered:?}");
    }
    Ok(())
}

/// How long a transaction and taking it back may take: beyond that a call counts as hung.
pub(crate) fn call_time_max(config: &Config) -> Duration {
    (config.transaction_time_max + config.request_time_max) * 2
}

/// Returns Kafka's part of an error.
pub(crate) fn kafka_error(source: &std::io::Error) -> Result<&KafkaError> {
    let inner = source.get_ref().and_then(|inner| inner.downcast_ref());
    inner.with_context(|| format!("not of Kafka: {source}"))
}

/// Checks that an error is what the caller has to change, and says what creates the topic.
fn check_missing(error: &impl std::fmt::Display, class: ErrorClass) -> Result<()> {
    ensure!(class == ErrorClass::Invalid, "{error}");
    ensure!(error.to_string().contains("a node creates the topics"), "no remedy: {error}");
    Ok(())
}

/// Runs a test on the shared broker, as a log whose records are not compressed: brokers judge what
/// they receive.
fn on_broker(
    change: impl Fn(&mut Config),
    test: impl AsyncFnOnce(Stage) -> Result<()>,
) -> Result<()> {
    let Some(bootstrap) = broker::bootstrap() else { return Ok(()) };
    let mut config = Config {
        compression: Compression::None,
        positions_partitions: 1,
        ..broker::config(&bootstrap)
    };
    change(&mut config);
    block_on(async {
        let cx = Context::background().with_timeout(HANG_TIME);
        let log = broker::connect(&cx, &config).await?;
        test(Stage { cx, bootstrap, config, log }).await
    })
}

struct Stage {
    cx: Context,
    bootstrap: String,
    config: Config,
    log: KafkaLog,
}

impl Stage {
    async fn open(&self) -> Result<Opened, OpenError> {
        self.log.open(&self.cx, &owner(&[])).await
    }

    async fn alter(&self, topic: &str, key: &str, value: &str) -> Result<()> {
        let name = format!("{}{topic}", self.config.topic_prefix);
        alter(&self.bootstrap, &name, key, value).await
    }

    /// Checks that a task that was in doubt says so until it is opened again, and that nothing of
    /// what failed is there.
    async fn check_nothing_happened(&self, mut opened: Opened, topic: &str) -> Result<()> {
        let again = opened.writer.transact(&self.cx, position()).await;
        let Err(error @ TransactError::Storage(_)) = again else {
            bail!("a writer in doubt got {again:?}");
        };
        let TransactError::Storage(source) = &error else { unreachable!("matched above") };
        ensure!(source.to_string().contains("open the task again"), "no remedy: {source}");
        let mut opened = self.open().await?;
        ensure!(!opened.committed.began, "{:?}", opened.committed);
        let bounds = self.log.bounds(&self.cx, &one(topic)).await?;
        let mut reader = self.log.reader(&self.cx, &one(topic), bounds.start).await?;
        let limits = millstream_log::FetchLimits { bytes_max: 1 << 20, wait_max: Duration::ZERO };
        ensure!(reader.fetch(&self.cx, limits).await?.is_empty(), "records of no transaction");
        opened.writer.transact(&self.cx, position()).await?;
        Ok(())
    }
}

#[test]
fn a_missing_topic_is_told_with_what_creates_it_wherever_it_is_met() -> Result<()> {
    on_broker(
        |_| {},
        async |stage| {
            let (cx, log, none) = (&stage.cx, &stage.log, one("none"));
            match log.open(cx, &owner(std::slice::from_ref(&none))).await {
                Err(error @ OpenError::UnknownPartition(_)) => {
                    check_missing(&error, error.class())?;
                }
                other => bail!("opening got {other:?}"),
            }
            match log.enqueue(vec![(none.clone(), batch(&["a"]))]) {
                Err(error @ EnqueueError::UnknownPartition(_)) => {
                    check_missing(&error, error.class())?;
                }
                other => bail!("enqueueing got {other:?}"),
            }
            match log.bounds(cx, &none).await {
                Err(error @ ReaderError::UnknownPartition(_)) => {
                    check_missing(&error, error.class())?;
                }
                other => bail!("asking for the bounds got {other:?}"),
            }
            make(cx, log, "some").await?;
            let start = log.bounds(cx, &one("some")).await?.start;
            match log.reader(cx, &none, start).await {
                Err(error @ ReaderError::UnknownPartition(_)) => {
                    check_missing(&error, error.class())?;
                }
                other => bail!("reading got {other:?}"),
            }
            let mut opened = stage.open().await?;
            match opened.writer.transact(cx, write(&none, "a")).await {
                Err(error @ TransactError::UnknownPartition(_)) => {
                    check_missing(&error, error.class())?;
                }
                other => bail!("a transaction got {other:?}"),
            }
            // Nothing was sent: the writer goes on.
            opened.writer.transact(cx, position()).await?;
            Ok(())
        },
    )
}

#[test]
fn a_transaction_beyond_our_limits_is_refused_with_the_key_and_the_writer_goes_on() -> Result<()> {
    let small = |config: &mut Config| {
        config.record_bytes_max = ByteSize::kib(4);
        config.transaction_bytes_max = ByteSize::kib(8);
    };
    on_broker(small, async |stage| {
        let (cx, some) = (&stage.cx, one("some"));
        make(cx, &stage.log, "some").await?;
        let mut opened = stage.open().await?;
        let large = "x".repeat(5_000);
        let values = vec!["x".repeat(3_000); 3];
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let many = Transaction { records: vec![(some.clone(), batch(&values))], ..position() };
        for (transaction, key) in
            [(write(&some, &large), "record_bytes_max"), (many, "transaction_bytes_max")]
        {
            match opened.writer.transact(cx, transaction).await {
                Err(error @ TransactError::TooLarge { .. }) => {
                    ensure!(error.class() == ErrorClass::Invalid && error.is_refusal());
                    ensure!(error.to_string().contains(key), "no remedy: {error}");
                }
                other => bail!("a transaction that is too large got {other:?}"),
            }
        }
        opened.writer.transact(cx, write(&some, "small")).await?;
        Ok(())
    })
}

#[test]
fn a_transaction_with_more_than_a_topic_takes_is_rejected_as_a_whole_and_the_topics_key_named()
-> Result<()> {
    on_broker(
        |_| {},
        async |stage| {
            let (cx, some) = (&stage.cx, one("some"));
            make(cx, &stage.log, "some").await?;
            make(cx, &stage.log, "other").await?;
            stage.alter("some", "max.message.bytes", "10000").await?;
            let mut opened = stage.open().await?;
            let large = "x".repeat(50_000);
            let records = vec![(one("other"), batch(&["a"])), (some, batch(&[&large]))];
            let transacted =
                opened.writer.transact(cx, Transaction { records, ..position() }).await;
            let Err(error @ TransactError::Rejected(_)) = transacted else {
                bail!("more than the topic takes got {transacted:?}");
            };
            ensure!(error.class() == ErrorClass::Invalid && !error.is_refusal());
            let TransactError::Rejected(source) = &error else { unreachable!("matched above") };
            let text = kafka_error(source)?.to_string();
            ensure!(text.contains("max.message.bytes"), "no remedy: {text}");
            stage.check_nothing_happened(opened, "other").await
        },
    )
}

#[test]
fn a_transaction_time_that_the_brokers_do_not_allow_is_refused_at_once_with_both_keys() -> Result<()>
{
    // The brokers allow a minute, which is twice what a transaction of ours may take.
    let long = |config: &mut Config| config.transaction_time_max = Duration::from_secs(40);
    on_broker(long, async |stage| {
        let Err(OpenError::Storage(source)) = stage.open().await else {
            bail!("a transaction time beyond the brokers' is taken");
        };
        let error = kafka_error(&source)?;
        ensure!(matches!(error.reason, Reason::TransactionTime { .. }), "{error}");
        let text = error.to_string();
        ensure!(text.contains("kafka.transaction_time_max"), "no remedy: {text}");
        ensure!(text.contains("transaction.max.timeout.ms"), "no remedy: {text}");
        Ok(())
    })
}
