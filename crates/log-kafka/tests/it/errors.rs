//! What goes wrong with Kafka is told with its cause and remedy, and within its time-out.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use millstream_log::conformance::batch;
use millstream_log::{
    AdminError, EnqueueError, FetchLimits, Log as _, PositionRefused, ReaderError, RecordOutcome,
    TopicConfig, TopicKind,
};
use millstream_log_kafka::config::{Compression, Mechanism, Sasl, Tls};
use millstream_log_kafka::error::Reason;
use millstream_log_kafka::{CallError, Config, KafkaError, KafkaLog, Settings};
use millstream_model::{ByteSize, ErrorClass, TopicName, TopicPartition};
use millstream_runtime::Context;
use millstream_testkit::kafka::{self, Kafka, User};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

use crate::{block_on, broker};

/// Far more than any call here may take: who comes to this end hangs.
const HANG_TIME: Duration = Duration::from_secs(60);

const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);

fn context() -> Context {
    Context::background().with_timeout(HANG_TIME)
}

fn partition() -> Result<TopicPartition> {
    Ok(TopicPartition::new(TopicName::new("one")?, 0))
}

pub(crate) const ONE: TopicConfig =
    TopicConfig { partitions: 1, kind: TopicKind::Events, retention: None };

/// Reaches the shared broker and makes topic `one`.
async fn log_with_topic(cx: &Context, config: &Config) -> Result<KafkaLog> {
    let log = broker::connect(cx, config).await?;
    log.admin().ensure_topic(cx, &partition()?.topic, &ONE).await?;
    Ok(log)
}

fn administrator(bootstrap: &str) -> Result<AdminClient<DefaultClientContext>> {
    Ok(ClientConfig::new().set("bootstrap.servers", bootstrap).create()?)
}

/// Tries to reach a cluster that cannot be reached so.
async fn refusal(config: Config) -> Result<KafkaError> {
    let config = Config { request_time_max: REQUEST_TIME_MAX, ..config };
    match KafkaLog::connect(&context(), config, Settings::default()).await {
        Err(CallError::Kafka(error)) => Ok(error),
        other => bail!("reaching the cluster got {other:?}"),
    }
}

fn login(password: &str, mechanism: Mechanism) -> Option<Sasl> {
    let (username, password) = ("alice".to_owned(), password.to_owned());
    Some(Sasl { mechanism, username, password })
}

#[test]
fn logins_and_tls_work_or_say_why_not() -> Result<()> {
    let Some(kafka) = Kafka::install().or_skip() else { return Ok(()) };
    let user = User { name: "alice".to_owned(), password: "right".to_owned() };
    let settings = kafka::Config { users: vec![user], tls: true, ..kafka::Config::default() };
    let cluster = kafka.start(&settings)?;
    let ca = cluster.certificate().context("it has a certificate")?.to_owned();
    let trusting = Some(Tls { ca: Some(ca), ..Tls::default() });
    let at = |address: String| Config { brokers: vec![address], ..Config::default() };
    let (plain, sasl) = (cluster.bootstrap(), cluster.bootstrap_sasl());
    let (tls, both) = (cluster.bootstrap_tls(), cluster.bootstrap_sasl_tls());

    block_on(async {
        for mechanism in [Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha512] {
            let wrong = Config { sasl: login("wrong", mechanism), ..at(sasl.clone()) };
            let error = refusal(wrong).await?;
            ensure!(matches!(error.reason, Reason::Login { .. }), "{mechanism:?}: {error}");
            ensure!(error.to_string().contains("kafka.sasl"), "no remedy: {error}");
            let right = Config { sasl: login("right", mechanism), ..at(sasl.clone()) };
            broker::connect(&context(), &right).await?;
        }
        let tls_to_plain = Config { tls: trusting.clone(), ..at(plain.clone()) };
        let plain_to_tls = at(tls.clone());
        let untrusted = Config { tls: Some(Tls::default()), ..at(tls.clone()) };
        for bad in [tls_to_plain, plain_to_tls, untrusted] {
            let error = refusal(bad).await?;
            ensure!(matches!(error.reason, Reason::Tls { .. }), "{error}");
            ensure!(error.to_string().contains("kafka.tls"), "no remedy: {error}");
        }
        broker::connect(&context(), &Config { tls: trusting.clone(), ..at(tls) }).await?;
        let good =
            Config { tls: trusting, sasl: login("right", Mechanism::ScramSha512), ..at(both) };
        let log = log_with_topic(&context(), &good).await?;
        let appended = log.enqueue(vec![(partition()?, batch(&["secret"]))])?.await?;
        ensure!(appended.len() == 1);
        log.close(&context()).await;
        Ok(())
    })
}

#[test]
fn a_cluster_that_does_not_answer_is_told_within_the_request_time() -> Result<()> {
    block_on(async {
        // Nobody listens on port 1 of the loopback.
        let error = refusal(broker::config("127.0.0.1:1")).await?;
        ensure!(matches!(error.reason, Reason::Unreachable { .. }), "{error}");
        ensure!(error.to_string().contains("kafka.brokers"), "no remedy: {error}");
        let error = refusal(broker::config("no-such-host.invalid:9092")).await?;
        ensure!(matches!(error.reason, Reason::Unreachable { .. }), "{error}");
        let error = refusal(Config { tasks_max: 0, ..Config::default() }).await?;
        ensure!(matches!(error.reason, Reason::Config { .. }), "{error}");
        Ok(())
    })
}

#[test]
fn a_record_larger_than_its_topic_takes_is_refused_alone_and_the_topic_named() -> Result<()> {
    let Some(bootstrap) = broker::bootstrap() else { return Ok(()) };
    block_on(async {
        // The broker judges what it receives: compressed, the record would fit.
        let config = Config { compression: Compression::None, ..broker::config(&bootstrap) };
        let cx = context();
        let (log, one) = (log_with_topic(&cx, &config).await?, partition()?);
        let name = format!("{}one", config.topic_prefix);
        let smaller = AlterConfig::new(ResourceSpecifier::Topic(&name));
        let smaller = smaller.set("max.message.bytes", "10000");
        let admin = administrator(&bootstrap)?;
        for altered in admin.alter_configs([&smaller], &AdminOptions::new()).await? {
            ensure!(altered.is_ok(), "{altered:?}");
        }
        let large = "x".repeat(50_000);
        for values in [vec![large.as_str()], vec![large.as_str(), large.as_str()]] {
            let outcome = log.enqueue(vec![(one.clone(), batch(&values))])?.await;
            let Err(EnqueueError::Records { outcomes, source }) = outcome else {
                bail!("a large record got {outcome:?}");
            };
            let refused = RecordOutcome::Refused(ErrorClass::Invalid);
            ensure!(outcomes[0][0] == refused, "{outcomes:?}");
            ensure!(source.to_string().contains("max.message.bytes"), "no remedy: {source}");
        }
        log.enqueue(vec![(one.clone(), batch(&["small"]))])?.await?;
        // At the next start it is refused before anything is accepted.
        match log.admin().ensure_topic(&cx, &one.topic, &ONE).await {
            Err(AdminError::Config { reason, .. }) => {
                ensure!(reason.contains("max.message.bytes"), "{reason}");
            }
            other => bail!("a topic for small records got {other:?}"),
        }
        let larger = "x".repeat(usize::try_from(config.record_bytes_max.bytes())?);
        let refused = log.enqueue(vec![(one, batch(&[&larger]))]);
        ensure!(matches!(refused, Err(EnqueueError::TooLarge { .. })), "{refused:?}");
        Ok(())
    })
}

#[test]
fn a_topic_created_anew_is_noticed_by_its_readers() -> Result<()> {
    let Some(bootstrap) = broker::bootstrap() else { return Ok(()) };
    block_on(async {
        let (cx, config) = (context(), broker::config(&bootstrap));
        let (log, one) = (log_with_topic(&cx, &config).await?, partition()?);
        log.enqueue(vec![(one.clone(), batch(&["a", "b"]))])?.await?;
        let start = log.bounds(&cx, &one).await?.start;
        let mut reader = log.reader(&cx, &one, start).await?;
        let limits = FetchLimits { bytes_max: 1 << 20, wait_max: Duration::ZERO };
        let before = reader.fetch(&cx, limits).await?.next;

        let name = format!("{}one", config.topic_prefix);
        administrator(&bootstrap)?.delete_topics(&[&name], &AdminOptions::new()).await?;
        // A broker takes records for a moment longer; then it is told that the topic is gone.
        while log.enqueue(vec![(one.clone(), batch(&["lost"]))])?.await.is_ok() {
            cx.check()?;
        }
        while log.admin().ensure_topic(&cx, &one.topic, &ONE).await?.id == before.topic {
            cx.check()?;
        }
        // It grows past the old position: neither offset nor epoch tells.
        let records = || vec![(one.clone(), batch(&["c", "d", "e", "f"]))];
        while let Err(error) = log.enqueue(records())?.await {
            // The producer has yet to hear of the new topic.
            ensure!(matches!(error, EnqueueError::UnknownPartition(_)), "{error}");
            cx.check()?;
        }
        let is_other = |error: &ReaderError| {
            matches!(error, ReaderError::Position(PositionRefused::OtherTopic { named, .. })
                if *named == before.topic)
        };
        let refused = log.reader(&cx, &one, before).await.expect_err("another topic is there");
        ensure!(is_other(&refused), "{refused:?}");
        let refused = loop {
            match reader.fetch(&cx, limits).await {
                Ok(_) => cx.check()?,
                Err(refused) => break refused,
            }
        };
        // While the topic is away it may be told as missing, but it never reads on.
        let is_gone = matches!(refused, ReaderError::UnknownPartition(_));
        ensure!(is_gone || is_other(&refused), "{refused:?}");
        Ok(())
    })
}

#[test]
fn a_full_queue_and_a_broker_that_is_away_are_told_and_pass() -> Result<()> {
    let Some(kafka) = Kafka::install().or_skip() else { return Ok(()) };
    let mut cluster = kafka.start(&kafka::Config::default())?;
    let config = Config {
        request_time_max: REQUEST_TIME_MAX,
        delivery_time_max: Duration::from_secs(60),
        queue_bytes_max: ByteSize::kib(64),
        ..broker::config(&cluster.bootstrap())
    };
    block_on(async {
        let (cx, one) = (context(), partition()?);
        let log = log_with_topic(&cx, &config).await?;
        let value = "x".repeat(20_000);
        log.enqueue(vec![(one.clone(), batch(&["before"]))])?.await?;
        let start = log.bounds(&cx, &one).await?.start;
        let mut reader = log.reader(&cx, &one, start).await?;
        let limits = FetchLimits { bytes_max: 1 << 20, wait_max: Duration::ZERO };
        ensure!(reader.fetch(&cx, limits).await?.len() == 1);

        cluster.broker(0).pause()?;
        let mut waiting = Vec::new();
        let retry_after = loop {
            match log.enqueue(vec![(one.clone(), batch(&[&value]))]) {
                Ok(append) => waiting.push(append),
                Err(EnqueueError::Full { retry_after }) => break retry_after,
                Err(other) => return Err(other.into()),
            }
        };
        ensure!(waiting.len() == 3 && !retry_after.is_zero(), "{} wait", waiting.len());
        let told = reader.fetch(&cx, limits).await;
        ensure!(matches!(told, Err(ReaderError::Storage(_))), "{told:?}");

        cluster.broker(0).resume()?;
        for append in waiting {
            append.await?;
        }
        let mut found = 0;
        while found < 3 {
            // The first answers may still tell of the time without a broker.
            found += reader.fetch(&cx, limits).await.map_or(0, |fetched| fetched.len());
            cx.check()?;
        }
        ensure!(found == 3, "{found} records for three appends");
        log.close(&cx).await;
        Ok(())
    })
}
