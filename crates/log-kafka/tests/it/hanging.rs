//! A transaction that nobody ends: told with its place, and with commands that work.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use millstream_log::Log as _;
use millstream_log_kafka::Config;
use millstream_testkit::kafka::{self, Kafka};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::tasks::{CALL_TIME_MAX, Stage};
use crate::{block_on, broker};

/// How long the stranger's transaction may be open: longer than this test takes.
const STRANGERS_TIME_MAX: Duration = Duration::from_secs(600);

/// Runs one of the commands that an error names, and returns what it says.
fn run_command(kafka: &Kafka, error: &str, name: &str) -> Result<String> {
    let quoted = error.split('`').find(|part| part.contains(&format!(" {name} ")));
    let command = quoted.with_context(|| format!("no {name} in: {error}"))?;
    let arguments = command.strip_prefix("kafka-transactions.sh ").context("another program")?;
    let mut tool = kafka.tool("org.apache.kafka.tools.TransactionsCommand");
    let output = tool.args(arguments.split(' ')).output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout);
    ensure!(output.status.success(), "{command}: {said}{}", text(&output.stderr));
    Ok(said)
}

#[test]
fn a_task_waits_for_a_strangers_transaction_only_where_it_hides_how_its_own_one_ended() -> Result<()>
{
    let Some(kafka) = Kafka::install().or_skip() else { return Ok(()) };
    let settings =
        kafka::Config { transaction_timeout_max: STRANGERS_TIME_MAX, ..kafka::Config::default() };
    let cluster = kafka.start(&settings)?;
    block_on(async {
        let short = Config {
            transaction_time_max: Duration::from_secs(2),
            request_time_max: Duration::from_secs(4),
            ..broker::config(&cluster.bootstrap())
        };
        let stage = Stage::start(short).await?;
        let stranger: BaseProducer = stage
            .client()
            .set("transactional.id", stage.name("stranger"))
            .set("transaction.timeout.ms", STRANGERS_TIME_MAX.as_millis().to_string())
            .create()?;
        stranger.init_transactions(CALL_TIME_MAX)?;
        stranger.begin_transaction()?;
        let topic = stage.name("events");
        let record = BaseRecord::to(&topic).partition(0).key("stranger").payload("open");
        stranger.send(record).map_err(|(error, _)| error)?;
        stranger.flush(CALL_TIME_MAX)?;

        // The stranger's transaction lies before what the task writes.
        let mut opened = stage.open().await?;
        opened.writer.transact(&stage.cx, stage.output("ours")).await?;
        drop(opened);
        let Err(error) = stage.open().await else { bail!("it could not know") };
        let error = format!("{:#}", anyhow::Error::new(error));
        ensure!(error.contains("look what became of the last transaction"), "{error}");

        stranger.abort_transaction(CALL_TIME_MAX)?;
        let mut opened = stage.open().await?;
        opened.writer.transact(&stage.cx, stage.output("more")).await?;
        ensure!(stage.values().await? == ["ours", "more"]);
        Ok(())
    })
}

#[test]
fn a_transaction_that_outlives_its_time_out_is_named_with_the_commands_that_end_it() -> Result<()> {
    let Some(kafka) = Kafka::install().or_skip() else { return Ok(()) };
    let settings =
        kafka::Config { transaction_timeout_max: STRANGERS_TIME_MAX, ..kafka::Config::default() };
    let cluster = kafka.start(&settings)?;
    let config = Config { positions_partitions: 1, ..broker::config(&cluster.bootstrap()) };
    block_on(async {
        let stage = Stage::start(config).await?;
        drop(stage.begun().await?);
        // Longer than any task's, as one is whose end marker was lost.
        let stranger: BaseProducer = stage
            .client()
            .set("transactional.id", stage.name("stranger"))
            .set("transaction.timeout.ms", STRANGERS_TIME_MAX.as_millis().to_string())
            .create()?;
        stranger.init_transactions(CALL_TIME_MAX)?;
        stranger.begin_transaction()?;
        let topic = stage.name("millstream-positions");
        let record = BaseRecord::to(&topic).partition(0).key("stranger/last").payload("\u{1}x");
        stranger.send(record).map_err(|(error, _)| error)?;
        stranger.flush(CALL_TIME_MAX)?;

        // Who waits is short of patience: time-outs of a second, and the brokers' interval.
        let short = Config {
            transaction_time_max: Duration::from_millis(500),
            request_time_max: Duration::from_secs(2),
            ..stage.config.clone()
        };
        let log = broker::connect(&stage.cx, &short).await?;
        let task = stage.owner().task;
        let Err(error) = log.committed(&stage.cx, &task).await else { bail!("it was readable") };
        let error = format!("{:#}", anyhow::Error::new(error));
        ensure!(error.contains("lost its end marker"), "{error}");
        let told = run_command(&kafka, &error, "describe-producers")?;
        ensure!(told.contains("CurrentTransactionStartOffset"), "{told}");
        run_command(&kafka, &error, "abort")?;
        let opened = stage.open().await?;
        ensure!(opened.committed.began, "{:?}", opened.committed);
        Ok(())
    })
}
