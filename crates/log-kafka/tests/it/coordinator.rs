//! A broker that goes away in the middle, and coordinators that are not there, are told with their
//! remedy and within their time.

use std::io;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use millstream_log::{Log as _, OpenError, TransactError};
use millstream_log_kafka::error::Reason;
use millstream_log_kafka::{Config, KafkaLog};
use millstream_model::{Classify as _, ErrorClass};
use millstream_runtime::Context;
use millstream_testkit::kafka::{self, Cluster, Kafka};

use crate::limits::{call_time_max, kafka_error, make, one, owner, position};
use crate::{block_on, broker};

/// Far more than everything here may take: who comes to this end hangs.
const HANG_TIME: Duration = Duration::from_secs(180);

/// How long finding a coordinator may take beyond the times of the configuration: as long as a
/// broker may need to end what another transaction left behind.
const PATIENCE: Duration = Duration::from_secs(30);

/// Checks that a coordinator is told as missing, with what to look at.
fn check_away(source: &io::Error, topic: &str) -> Result<()> {
    let error = kafka_error(source)?;
    ensure!(matches!(error.reason, Reason::CoordinatorAway { .. }), "{error:?}");
    ensure!(error.class() == ErrorClass::Transient);
    ensure!(error.to_string().contains(topic), "no remedy: {error}");
    Ok(())
}

/// Starts a broker whose coordinators of one kind cannot be, and reaches it: one broker cannot keep
/// three copies.
async fn without_coordinator(
    cx: &Context,
    kafka: &Kafka,
    replication: &str,
) -> Result<(Cluster, Config, KafkaLog)> {
    let mut settings = kafka::Config::default();
    settings.properties.extend([(replication.to_owned(), "3".to_owned())]);
    let cluster = kafka.start(&settings)?;
    let config = Config {
        transaction_time_max: Duration::from_secs(5),
        request_time_max: Duration::from_secs(5),
        positions_partitions: 1,
        ..broker::config(&cluster.bootstrap())
    };
    let log = broker::connect(cx, &config).await?;
    Ok((cluster, config, log))
}

#[test]
fn a_coordinator_of_transactions_that_is_away_is_told_with_what_to_look_at() -> Result<()> {
    let Some(kafka) = Kafka::install().or_skip() else { return Ok(()) };
    block_on(async {
        let cx = Context::background().with_timeout(HANG_TIME);
        let replication = "transaction.state.log.replication.factor";
        let (_cluster, config, log) = without_coordinator(&cx, &kafka, replication).await?;
        let within = cx.with_timeout(config.transaction_timeout() + PATIENCE);
        match log.open(&within, &owner(&[])).await {
            Err(OpenError::Storage(source)) => check_away(&source, "__transaction_state"),
            other => bail!("without a coordinator of transactions: {other:?}"),
        }
    })
}

#[test]
fn a_coordinator_of_groups_and_then_a_broker_that_is_away_are_told_within_the_time() -> Result<()> {
    let Some(kafka) = Kafka::install().or_skip() else { return Ok(()) };
    block_on(async {
        let cx = Context::background().with_timeout(HANG_TIME);
        let replication = "offsets.topic.replication.factor";
        let (mut cluster, config, log) = without_coordinator(&cx, &kafka, replication).await?;
        make(&cx, &log, "some").await?;
        let within = cx.with_timeout(config.transaction_timeout() + PATIENCE);
        match log.open(&within, &owner(&[one("some")])).await {
            Err(OpenError::Storage(source)) => check_away(&source, "__consumer_offsets")?,
            other => bail!("without a coordinator of groups: {other:?}"),
        }

        // A task without an input needs no group. What it commits takes longer than it may.
        let mut opened = log.open(&cx, &owner(&[])).await?;
        cluster.broker(0).pause()?;
        let in_time = cx.with_timeout(call_time_max(&config));
        let transacted = opened.writer.transact(&in_time, position()).await;
        let Err(TransactError::Storage(source)) = transacted else {
            bail!("a transaction without a broker got {transacted:?}");
        };
        let error = kafka_error(&source)?;
        ensure!(error.class() == ErrorClass::Transient, "{error:?}");
        ensure!(error.to_string().contains("broker"), "no cause: {error}");
        cluster.broker(0).resume()?;
        let again = opened.writer.transact(&cx, position()).await;
        let Err(TransactError::Storage(source)) = again else { bail!("in doubt: {again:?}") };
        ensure!(source.to_string().contains("open the task again"), "no remedy: {source}");
        let mut opened = log.open(&cx, &owner(&[])).await?;
        opened.writer.transact(&cx, position()).await?;
        Ok(())
    })
}
