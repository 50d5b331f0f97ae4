//! Where tasks stand, when something went wrong with what says so.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use futures::poll;
use millstream_log::conformance::{batch, values_of};
use millstream_log::{
    Consumed, FetchLimits, Log, OpenError, Opened, Owner, PositionRefused, TopicConfig, TopicKind,
    TransactError, Transaction,
};
use millstream_log_kafka::{Config, KafkaLog};
use millstream_model::{
    Headers, Record, RecordBatch, RecordBatchBuilder, SourceId, TaskId, Timestamp, TopicName,
    TopicPartition,
};
use millstream_runtime::{Clock, Context};
use millstream_testkit::kafka::{self, Kafka};
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, TopicPartitionList};

use crate::{block_on, broker};

/// How long everything in one test may take.
const TEST_TIME_MAX: Duration = Duration::from_secs(120);

/// How long one call of a plain client may take.
pub(crate) const CALL_TIME_MAX: Duration = Duration::from_secs(20);

/// A log with a topic `events`, and a task that reads it.
pub(crate) struct Stage {
    pub(crate) cx: Context,
    pub(crate) config: Config,
    pub(crate) log: KafkaLog,
}

impl Stage {
    pub(crate) async fn start(config: Config) -> Result<Self> {
        let cx = Context::background().with_timeout(TEST_TIME_MAX);
        let log = broker::connect(&cx, &config).await?;
        let one = TopicConfig { partitions: 1, kind: TopicKind::Events, retention: None };
        log.admin().ensure_topic(&cx, &TopicName::new("events")?, &one).await?;
        Ok(Self { cx, config, log })
    }

    pub(crate) fn events(&self) -> TopicPartition {
        TopicPartition::new(TopicName::new("events").expect("a legal name"), 0)
    }

    pub(crate) fn owner(&self) -> Owner {
        let task = TaskId::new("app.pipeline.clean.0").expect("a legal id");
        Owner { task, inputs: vec![self.events()], renamed_from: None }
    }

    pub(crate) async fn open(&self) -> Result<Opened, OpenError> {
        self.log.open(&self.cx, &self.owner()).await
    }

    pub(crate) async fn append(&self, values: &[&str]) -> Result<()> {
        let append = self.log.enqueue(vec![(self.events(), batch(values))])?;
        self.cx.run(append).await??;
        Ok(())
    }

    /// Reads everything there is, and says how far that is.
    pub(crate) async fn consumed(&self) -> Result<(Vec<String>, Consumed)> {
        let (partition, mut values) = (self.events(), Vec::new());
        let bounds = self.log.bounds(&self.cx, &partition).await?;
        let mut reader = self.log.reader(&self.cx, &partition, bounds.start).await?;
        loop {
            let limits = FetchLimits { bytes_max: 1 << 20, wait_max: Duration::ZERO };
            let fetched = reader.fetch(&self.cx, limits).await?;
            values.extend(values_of(&fetched.batches).into_iter().map(|(_, value)| value));
            if fetched.next.offset >= bounds.end.offset {
                return Ok((values, Consumed { partition, next: fetched.next }));
            }
        }
    }

    /// A transaction with one record for `events`.
    pub(crate) fn output(&self, value: &str) -> Transaction {
        let records = vec![(self.events(), batch(&[value]))];
        Transaction { records, ..Transaction::default() }
    }

    /// Reads the values of all records in `events`.
    pub(crate) async fn values(&self) -> Result<Vec<String>> {
        Ok(self.consumed().await?.0)
    }

    /// A task that has consumed one record and says so.
    pub(crate) async fn begun(&self) -> Result<Opened> {
        self.append(&["a"]).await?;
        let mut opened = self.open().await?;
        let (_, consumed) = self.consumed().await?;
        let whole = Transaction { consumed: vec![consumed], ..position("1") };
        opened.writer.transact(&self.cx, whole).await?;
        Ok(opened)
    }

    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}{name}", self.config.topic_prefix)
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.config.brokers.join(","));
        client
    }

    pub(crate) fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(self.client().create()?)
    }

    pub(crate) async fn delete_topic(&self, name: &str) -> Result<()> {
        let name = self.name(name);
        for deleted in self.admin()?.delete_topics(&[&name], &AdminOptions::new()).await? {
            deleted.map_err(|(_, code)| code)?;
        }
        Ok(())
    }

    async fn create_topic(&self, name: &str) -> Result<()> {
        let name = self.name(name);
        let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
        for created in self.admin()?.create_topics([&topic], &AdminOptions::new()).await? {
            created.map_err(|(_, code)| code)?;
        }
        Ok(())
    }
}

pub(crate) fn source() -> SourceId {
    SourceId::new("last").expect("a legal id")
}

fn position(value: &str) -> Transaction {
    let positions = vec![(source(), Bytes::from(value.to_owned()))];
    Transaction { positions, ..Transaction::default() }
}

/// Runs a test on the shared broker.
pub(crate) fn on_stage(test: impl AsyncFnOnce(Stage) -> Result<()>) -> Result<()> {
    let Some(bootstrap) = broker::bootstrap() else { return Ok(()) };
    // One partition: strangers and we share it.
    let config = Config { positions_partitions: 1, ..broker::config(&bootstrap) };
    block_on(async { test(Stage::start(config).await?).await })
}

#[test]
fn a_strangers_open_transaction_does_not_hide_what_is_committed_after_it() -> Result<()> {
    on_stage(async |stage| {
        let mut opened = stage.begun().await?;
        let stranger: BaseProducer =
            stage.client().set("transactional.id", stage.name("stranger")).create()?;
        stranger.init_transactions(CALL_TIME_MAX)?;
        stranger.begin_transaction()?;
        let topic = stage.name("millstream-positions");
        let record = BaseRecord::to(&topic).partition(0).key("stranger/last").payload("\u{1}x");
        stranger.send(record).map_err(|(error, _)| error)?;
        stranger.flush(CALL_TIME_MAX)?;

        opened.writer.transact(&stage.cx, position("2")).await?;
        // A process that knows nothing yet.
        let other = broker::connect(&stage.cx, &stage.config).await?;
        let owner = stage.owner();
        let mut open = Box::pin(other.open(&stage.cx, &owner));
        for _ in 0..20 {
            ensure!(poll!(&mut open).is_pending(), "open did not wait for the stranger");
            stage.cx.sleep(Duration::from_millis(50)).await?;
        }
        stranger.commit_transaction(CALL_TIME_MAX)?;
        let opened = open.await?;
        ensure!(opened.committed.positions[&source()] == "2", "{:?}", opened.committed);
        Ok(())
    })
}

#[test]
fn a_task_that_read_everything_shows_no_lag_to_kafkas_own_tools() -> Result<()> {
    on_stage(async |stage| {
        let mut opened = stage.begun().await?;
        // Records in a transaction leave a control record behind them.
        let records = vec![(stage.events(), batch(&["b"]))];
        let with_records = Transaction { records, ..Transaction::default() };
        opened.writer.transact(&stage.cx, with_records).await?;
        let group: BaseConsumer =
            stage.client().set("group.id", stage.name("app.pipeline.clean")).create()?;
        let topic = stage.name("events");
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&topic, 0);
        loop {
            let (_, consumed) = stage.consumed().await?;
            let consumed = Transaction { consumed: vec![consumed], ..Transaction::default() };
            opened.writer.transact(&stage.cx, consumed).await?;
            let found = group.committed_offsets(asked.clone(), CALL_TIME_MAX)?;
            let committed = found.elements()[0].offset().to_raw();
            let (_, end) = group.fetch_watermarks(&topic, 0, CALL_TIME_MAX)?;
            // The end mark of the transaction may take some milliseconds to show.
            if committed == Some(end) && end > 2 {
                return Ok(());
            }
            stage.cx.sleep(Duration::from_millis(5)).await.context("lag stays")?;
        }
    })
}

#[test]
fn a_topic_created_anew_is_noticed_by_the_writer_and_refused_when_opened() -> Result<()> {
    on_stage(async |stage| {
        let mut opened = stage.begun().await?;
        let (_, stood) = stage.consumed().await?;
        stage.delete_topic("events").await?;
        stage.create_topic("events").await?;
        let other = broker::connect(&stage.cx, &stage.config).await?;
        let grown: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        let grown: Vec<&str> = grown.iter().map(String::as_str).collect();
        let append = other.enqueue(vec![(stage.events(), batch(&grown))])?;
        stage.cx.run(append).await??;

        let moved = Transaction { consumed: vec![stood], ..position("2") };
        match opened.writer.transact(&stage.cx, moved).await {
            Err(TransactError::Storage(error)) => {
                ensure!(error.to_string().contains("created anew"), "{error}");
            }
            ended => bail!("a position of a topic that is gone: {ended:?}"),
        }
        match other.open(&stage.cx, &stage.owner()).await {
            Err(OpenError::Position(PositionRefused::OtherTopic { .. })) => {}
            ended => bail!("a task whose topic was created anew got {ended:?}"),
        }
        Ok(())
    })
}

#[test]
fn a_record_that_the_topic_does_not_take_is_rejected_and_nothing_else_committed() -> Result<()> {
    on_stage(async |stage| {
        let topic = stage.name("events");
        let small =
            AlterConfig::new(ResourceSpecifier::Topic(&topic)).set("max.message.bytes", "2000");
        for altered in stage.admin()?.alter_configs([&small], &AdminOptions::new()).await? {
            altered.map_err(|(_, code)| code)?;
        }
        let mut opened = stage.open().await?;
        // What does not compress.
        let mut large = String::new();
        let mut number = 1_u64;
        while large.len() < 100_000 {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            large.push_str(&number.to_string());
        }
        let records = vec![(stage.events(), batch(&["small"])), (stage.events(), batch(&[&large]))];
        let over = Transaction { records, ..position("large") };
        match opened.writer.transact(&stage.cx, over).await {
            Err(TransactError::Rejected(_)) => {}
            ended => bail!("a record above the topic's limit: {ended:?}"),
        }
        let records = vec![(stage.events(), batch(&["small"]))];
        let fits = Transaction { records, ..position("small") };
        let mut opened = stage.open().await?;
        ensure!(!opened.committed.began, "{:?}", opened.committed);
        opened.writer.transact(&stage.cx, fits).await.context("what fits")?;
        let opened = stage.open().await?;
        ensure!(opened.committed.positions[&source()] == "small");
        ensure!(stage.consumed().await?.0 == ["small"]);
        Ok(())
    })
}

/// A record of a machine whose clock is a day ahead.
fn of_tomorrow() -> RecordBatch {
    let ahead = Clock::system().now().as_millis() + 86_400_000;
    let (timestamp, headers) = (Timestamp::from_millis(ahead), Headers::EMPTY);
    let mut batch = RecordBatchBuilder::new();
    batch.push(Record { timestamp, key: None, value: Some(b"tomorrow"), headers });
    batch.finish()
}

#[test]
fn a_clock_that_is_a_day_ahead_stops_nothing() -> Result<()> {
    on_stage(async |stage| {
        let append = stage.log.enqueue(vec![(stage.events(), of_tomorrow())])?;
        stage.cx.run(append).await??;
        let mut opened = stage.open().await?;
        let records = vec![(stage.events(), of_tomorrow())];
        let whole = Transaction { records, ..position("1") };
        opened.writer.transact(&stage.cx, whole).await?;
        ensure!(stage.consumed().await?.0 == ["tomorrow", "tomorrow"]);
        Ok(())
    })
}

#[test]
fn a_record_whose_time_a_strangers_topic_refuses_is_rejected_with_the_remedy() -> Result<()> {
    on_stage(async |stage| {
        stage.create_topic("foreign").await?;
        let foreign = TopicPartition::new(TopicName::new("foreign")?, 0);
        let mut opened = stage.open().await?;
        let records = vec![(foreign.clone(), batch(&["today"])), (foreign, of_tomorrow())];
        let over = Transaction { records, ..position("1") };
        match opened.writer.transact(&stage.cx, over).await {
            Err(TransactError::Rejected(_)) => {}
            ended => bail!("a record of tomorrow with others: {ended:?}"),
        }
        let foreign = TopicPartition::new(TopicName::new("foreign")?, 0);
        let alone = Transaction { records: vec![(foreign, of_tomorrow())], ..position("1") };
        match stage.open().await?.writer.transact(&stage.cx, alone).await {
            Err(TransactError::Rejected(error)) => {
                let reason = error.to_string();
                ensure!(reason.contains("message.timestamp.after.max.ms"), "{reason}");
                Ok(())
            }
            ended => bail!("a record of tomorrow: {ended:?}"),
        }
    })
}

fn named(owner: &Owner, name: &str, renamed_from: Option<&str>) -> Owner {
    let id = |name: &str| TaskId::new(&format!("app.{name}.clean.0")).expect("a legal id");
    Owner { task: id(name), renamed_from: renamed_from.map(id), ..owner.clone() }
}

fn check_refused(opened: Result<Opened, OpenError>) -> Result<()> {
    match opened {
        Err(OpenError::Position(refused @ PositionRefused::Renamed { .. })) => {
            ensure!(refused.to_string().contains("stop this worker"), "{refused}");
            Ok(())
        }
        other => bail!("a name that was given up got {other:?}"),
    }
}

#[test]
fn a_worker_that_still_knows_the_old_name_is_refused_after_a_rename() -> Result<()> {
    on_stage(async |stage| {
        let mut old = stage.begun().await?;
        let (was, is) = (stage.owner(), named(&stage.owner(), "new", Some("pipeline")));
        let other = broker::connect(&stage.cx, &stage.config).await?;
        let mut new = other.open(&stage.cx, &is).await?;
        ensure!(new.committed.began && new.committed.positions[&source()] == "1");
        let fenced = old.writer.transact(&stage.cx, position("2")).await;
        ensure!(matches!(fenced, Err(TransactError::Fenced { .. })), "{fenced:?}");
        for _ in 0..2 {
            check_refused(stage.open().await)?;
        }
        // Refusing fenced nobody: the new name goes on, and is all there is.
        new.writer.transact(&stage.cx, position("3")).await?;
        ensure!(stage.log.admin().tasks(&stage.cx).await? == std::slice::from_ref(&is.task));
        ensure!(stage.log.committed(&stage.cx, &was.task).await?.is_none());
        // The name may come back, with all that stands under the other one.
        let back = stage.log.open(&stage.cx, &named(&was, "pipeline", Some("new"))).await?;
        ensure!(back.committed.began && back.committed.positions[&source()] == "3");
        ensure!(stage.open().await?.committed.consumed == back.committed.consumed);
        check_refused(other.open(&stage.cx, &named(&is, "new", None)).await)
    })
}

#[test]
fn an_old_name_that_never_began_is_refused_after_a_rename() -> Result<()> {
    on_stage(async |stage| {
        let owner = stage.owner();
        // Nobody opened it, or somebody did and committed nothing.
        for (old, is_opened) in [("a", false), ("b", true)] {
            let was = named(&owner, old, None);
            if is_opened {
                drop(stage.log.open(&stage.cx, &was).await?);
            }
            let new = format!("{old}-new");
            stage.log.open(&stage.cx, &named(&owner, &new, Some(old))).await?;
            check_refused(stage.log.open(&stage.cx, &was).await)?;
        }
        Ok(())
    })
}

#[test]
fn a_released_task_holds_nothing_back_and_keeps_what_it_committed() -> Result<()> {
    on_stage(async |stage| {
        let mut opened = stage.begun().await?;
        stage.append(&["b"]).await?;
        let (_, consumed) = stage.consumed().await?;
        let (admin, end) = (stage.log.admin(), consumed.next.offset);
        ensure!(admin.trim(&stage.cx, &stage.events(), end).await.is_err(), "it holds back `b`");
        stage.log.release(&stage.cx, &stage.owner().task).await?;
        ensure!(admin.tasks(&stage.cx).await?.is_empty());
        let late = opened.writer.transact(&stage.cx, position("late")).await;
        ensure!(matches!(late, Err(TransactError::Fenced { .. })), "{late:?}");
        let again = stage.open().await?;
        ensure!(again.committed.positions[&source()] == "1");
        ensure!(admin.tasks(&stage.cx).await? == [stage.owner().task]);
        stage.log.release(&stage.cx, &stage.owner().task).await?;
        admin.trim(&stage.cx, &stage.events(), end).await?;
        match stage.open().await {
            Err(OpenError::Position(PositionRefused::BeforeStart { .. })) => Ok(()),
            other => bail!("a task whose records are gone got {other:?}"),
        }
    })
}

#[test]
fn a_worker_owns_no_more_tasks_than_it_may() -> Result<()> {
    on_stage(async |stage| {
        let config = Config { tasks_max: 2, ..stage.config.clone() };
        let log = broker::connect(&stage.cx, &config).await?;
        let owner = |number: u32| Owner {
            task: TaskId::new(&format!("task.{number}")).unwrap(),
            ..stage.owner()
        };
        let first = log.open(&stage.cx, &owner(1)).await?;
        let _second = log.open(&stage.cx, &owner(2)).await?;
        let over = log.open(&stage.cx, &owner(3)).await;
        ensure!(matches!(over, Err(OpenError::TooManyTasks { tasks_max: 2, .. })), "{over:?}");
        let _again = log.open(&stage.cx, &owner(2)).await?;
        drop(first);
        log.open(&stage.cx, &owner(3)).await.context("there is room again")?;
        Ok(())
    })
}

#[test]
fn a_commit_without_an_answer_is_settled_by_opening_again() -> Result<()> {
    let Some(installed) = Kafka::install().or_skip() else { return Ok(()) };
    let mut cluster = installed.start(&kafka::Config::default())?;
    let config = Config {
        transaction_time_max: Duration::from_secs(2),
        request_time_max: Duration::from_secs(2),
        ..broker::config(&cluster.bootstrap())
    };
    block_on(async {
        let stage = Stage::start(config).await?;
        let mut opened = stage.begun().await?;
        for round in 2..5 {
            cluster.broker(0).pause()?;
            let value = round.to_string();
            let records = vec![(stage.events(), batch(&[&value]))];
            let whole = Transaction { records, ..position(&value) };
            let ended = opened.writer.transact(&stage.cx, whole).await;
            cluster.broker(0).resume()?;
            let Err(error) = ended else { bail!("a paused broker answered") };
            ensure!(!error.is_refusal(), "{error}");
            opened = loop {
                match stage.open().await {
                    Ok(opened) => break opened,
                    Err(OpenError::Storage(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            };
            let last = opened.committed.positions[&source()].clone();
            let values = stage.consumed().await?.0;
            let is_there = values.contains(&value);
            ensure!(is_there == (last == value), "round {round}: {values:?}, position {last:?}");
        }
        Ok(())
    })
}
