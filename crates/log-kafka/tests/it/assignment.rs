//! Workers share a topic's tasks by Kafka's consumer group: each task has one place at a time, and
//! moves with its worker's consent or without.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use millstream_log::{Assignment, AssignmentEvent, Log, TopicConfig, TopicKind};
use millstream_log_kafka::assignment::{GroupAssignment, GroupSettings};
use millstream_log_kafka::{Config, KafkaLog};
use millstream_model::{TaskId, TopicName, TopicPartition};
use millstream_runtime::Context;
use millstream_testkit::kafka::{self, Kafka};

use crate::{block_on, broker};

/// How long everything in one test may take.
const TEST_TIME_MAX: Duration = Duration::from_secs(120);

/// A worker that has nothing to drain.
struct Worker {
    assignment: GroupAssignment,
    owned: BTreeSet<TaskId>,
}

impl Worker {
    fn join(log: &KafkaLog) -> Result<Self> {
        let task_of = |partition: &TopicPartition| {
            TaskId::new(&format!("app.pipeline.clean.{}", partition.partition)).ok()
        };
        let settings = GroupSettings {
            group: "app.pipeline.clean".to_owned(),
            topics: vec![TopicName::new("events")?],
            task_of: Box::new(task_of),
        };
        Ok(Self { assignment: log.join(settings)?, owned: BTreeSet::new() })
    }

    /// Takes one change, and releases what is revoked.
    async fn turn(&mut self, cx: &Context) -> Result<AssignmentEvent> {
        let event = self.take(cx).await?;
        if let AssignmentEvent::Revoke(tasks) = &event {
            self.assignment.released(cx, tasks).await?;
        }
        Ok(event)
    }

    /// Takes one change and releases nothing.
    async fn take(&mut self, cx: &Context) -> Result<AssignmentEvent> {
        let event = self.assignment.next(cx).await?;
        match &event {
            AssignmentEvent::Assigned(tasks) => {
                for task in tasks {
                    ensure!(self.owned.insert(task.clone()), "{task} is assigned twice");
                }
            }
            AssignmentEvent::Revoke(tasks) | AssignmentEvent::Lost(tasks) => {
                for task in tasks {
                    self.owned.remove(task);
                }
            }
        }
        Ok(event)
    }

    async fn until_it_owns(&mut self, cx: &Context, count: usize) -> Result<()> {
        while self.owned.len() != count {
            self.turn(cx).await?;
        }
        Ok(())
    }
}

/// A log with a topic of four partitions.
async fn log(cx: &Context, config: &Config) -> Result<KafkaLog> {
    let log = broker::connect(cx, config).await?;
    let four = TopicConfig { partitions: 4, kind: TopicKind::Events, retention: None };
    log.admin().ensure_topic(cx, &TopicName::new("events")?, &four).await?;
    Ok(log)
}

#[test]
fn tasks_move_with_consent_when_a_worker_joins_and_leaves() -> Result<()> {
    let Some(bootstrap) = broker::bootstrap() else { return Ok(()) };
    block_on(moves_with_consent(&broker::config(&bootstrap)))
}

async fn moves_with_consent(config: &Config) -> Result<()> {
    let cx = Context::background().with_timeout(TEST_TIME_MAX);
    let log = log(&cx, config).await?;
    let mut first = Worker::join(&log)?;
    first.until_it_owns(&cx, 4).await.context("the only worker owns everything")?;
    let mut second = Worker::join(&log)?;
    let (left, right) = futures::join!(first.until_it_owns(&cx, 2), second.until_it_owns(&cx, 2));
    left.context("the first worker gives half")?;
    right.context("the second worker gets half")?;
    ensure!(first.owned.is_disjoint(&second.owned), "{:?}, {:?}", first.owned, second.owned);
    first.assignment.leave(&cx).await?;
    second.until_it_owns(&cx, 4).await.context("the worker that stays gets all")
}

#[test]
fn a_task_goes_to_others_only_after_its_worker_released_it() -> Result<()> {
    let Some(bootstrap) = broker::bootstrap() else { return Ok(()) };
    block_on(async {
        let cx = Context::background().with_timeout(TEST_TIME_MAX);
        let config = Config {
            // Nobody runs out of patience here.
            transaction_time_max: Duration::from_secs(20),
            ..broker::config(&bootstrap)
        };
        let log = log(&cx, &config).await?;
        let mut first = Worker::join(&log)?;
        first.until_it_owns(&cx, 4).await?;
        let mut second = Worker::join(&log)?;
        let AssignmentEvent::Revoke(tasks) = first.take(&cx).await? else {
            bail!("the first worker was not asked");
        };
        // Until it releases them, the second worker has none of them.
        let early = cx.with_timeout(Duration::from_secs(3));
        while let Ok(event) = second.turn(&early).await {
            let AssignmentEvent::Assigned(got) = &event else { continue };
            ensure!(got.iter().all(|task| !tasks.contains(task)), "{event:?} before the release");
        }
        first.assignment.released(&cx, &tasks).await?;
        let (left, right) =
            futures::join!(first.until_it_owns(&cx, 2), second.until_it_owns(&cx, 2));
        left.and(right)?;
        ensure!(tasks.iter().all(|task| second.owned.contains(task)));
        Ok(())
    })
}

#[test]
fn tasks_that_are_not_released_in_time_are_lost_to_others() -> Result<()> {
    let Some(bootstrap) = broker::bootstrap() else { return Ok(()) };
    block_on(async {
        let cx = Context::background().with_timeout(TEST_TIME_MAX);
        let config =
            Config { transaction_time_max: Duration::from_secs(1), ..broker::config(&bootstrap) };
        let log = log(&cx, &config).await?;
        let mut first = Worker::join(&log)?;
        first.until_it_owns(&cx, 4).await?;
        let mut second = Worker::join(&log)?;
        let AssignmentEvent::Revoke(asked) = first.take(&cx).await? else {
            bail!("the first worker was not asked");
        };
        let AssignmentEvent::Lost(lost) = first.take(&cx).await? else {
            bail!("the first worker was not told that its tasks are lost");
        };
        ensure!(asked == lost, "asked for {asked:?}, lost {lost:?}");
        second.until_it_owns(&cx, lost.len()).await
    })
}

#[test]
fn a_group_of_the_classic_protocol_serves_where_brokers_have_no_other() -> Result<()> {
    let Some(installed) = Kafka::install().or_skip() else { return Ok(()) };
    let protocols = ("group.coordinator.rebalance.protocols", "classic");
    let properties = BTreeMap::from([protocols].map(|(key, value)| (key.into(), value.into())));
    let settings = kafka::Config { properties, ..kafka::Config::default() };
    let cluster = installed.start(&settings)?;
    let config =
        Config { session_time_max: Duration::from_secs(6), ..broker::config(&cluster.bootstrap()) };
    block_on(moves_with_consent(&config))
}

#[test]
fn a_group_that_cannot_be_joined_says_why_until_it_can() -> Result<()> {
    let Some(kafka) = Kafka::install().or_skip() else { return Ok(()) };
    let mut cluster = kafka.start(&kafka::Config::default())?;
    let config = broker::config(&cluster.bootstrap());
    block_on(async {
        let cx = Context::background().with_timeout(TEST_TIME_MAX);
        let log = log(&cx, &config).await?;
        cluster.broker(0).kill()?;
        let mut worker = Worker::join(&log)?;
        let mut trouble = worker.assignment.trouble();
        let told = cx.run(trouble.wait_for(Option::is_some)).await??.clone();
        let told = told.unwrap_or_default();
        ensure!(told.contains("join a group") && told.contains("kafka.brokers"), "{told}");
        cluster.start()?;
        worker.until_it_owns(&cx, 4).await?;
        ensure!(trouble.borrow().is_none(), "{:?}", *trouble.borrow());
        Ok(())
    })
}
