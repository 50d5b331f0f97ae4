//! The role `spool`: one forwarder for each partition of the collector's topic, from the journal to
//! Kafka.
//!
//! Every collector that answers before Kafka has the events has one. The journal then holds two
//! topics: the collector's, with as many partitions as on Kafka and the same routing, and the dead
//! letters of what Kafka refuses for good.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_log::{EveryTask, Log, TopicConfig, TopicKind, journal};
use millstream_model::{Classify as _, TaskId, TopicName, TopicPartition};
use millstream_pipeline::spool::{self, Settings, Surroundings, local_task, remote_task};
use millstream_pipeline::worker::{Group, Grouping};
use millstream_pipeline::{Forwarder, PinnedTask, Worker, worker};
use millstream_runtime::{Clock, Context, Rng, TaskKind};

use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::flow::APP;

/// The name of the forwarders' group.
pub(crate) const GROUP: &str = "spool";

/// How long the journal's topics may take to come about.
const TOPICS_TIME_MAX: Duration = Duration::from_secs(60);

/// Returns how a journal is kept that is a spool: what is forwarded stays for `spool.keep`.
pub(crate) fn journal_config(config: &Config) -> journal::Config {
    journal::Config { retention: config.spool.keep, ..config.log.clone() }
}

/// Creates the journal's topics, or finds them as they should be.
pub(crate) async fn ensure_topics(
    cx: &Context,
    config: &Config,
    local: &dyn Log,
) -> Result<(), Failure> {
    let cx = cx.with_timeout(TOPICS_TIME_MAX);
    let topic = config.topic_of_collector();
    let partitions = config.partitions(topic);
    let events =
        TopicConfig { partitions, kind: TopicKind::Events, retention: Some(config.spool.keep) };
    let letters = TopicConfig { partitions, kind: TopicKind::DeadLetters, retention: None };
    for (name, wanted) in [(topic, &events), (&dead_letters(topic)?, &letters)] {
        let ensured = local.admin().ensure_topic(&cx, name, wanted).await;
        ensured.map_err(|error| match error.class() {
            millstream_model::ErrorClass::Invalid => Failure::new(Code::Config, error),
            class => Failure::classified(class, error),
        })?;
    }
    Ok(())
}

/// Builds the forwarders from the journal `local` to the cluster `remote`.
pub(crate) fn build(
    config: &Config,
    local: &Arc<dyn Log>,
    remote: &Arc<dyn Log>,
) -> Result<Worker, Failure> {
    let settings = settings(config, &**local)?;
    let tasks: BTreeMap<TaskId, Settings> =
        settings.into_iter().map(|settings| (settings.task.clone(), settings)).collect();
    let assignment = Box::new(EveryTask::new(tasks.keys().cloned().collect()));
    let (local, remote) = (Arc::clone(local), Arc::clone(remote));
    let make = move |wanted: &[TaskId]| {
        let settings = wanted.first().and_then(|task| tasks.get(task)).cloned();
        let settings = settings.ok_or("the assignment names a task that is no forwarder")?;
        let surroundings = Surroundings {
            local: Arc::clone(&local),
            remote: Arc::clone(&remote),
            clock: Clock::system(),
            rng: Rng::from_os(),
        };
        Ok(task(settings, surroundings))
    };
    let group = Group {
        name: GROUP.to_owned(),
        assignment,
        grouping: Grouping::Each,
        make: Box::new(make),
    };
    // Forwarders copy bytes and wait for the cluster: one thread keeps them all busy.
    Ok(Worker::new(worker::Settings { threads: 1 }, vec![group]))
}

/// Returns what each forwarder works on, by partition.
pub(crate) fn settings(config: &Config, local: &dyn Log) -> Result<Vec<Settings>, Failure> {
    let topic = config.topic_of_collector();
    let journal = local.admin().log_id();
    let letters = dead_letters(topic)?;
    let settings = |partition| Settings {
        task: local_task(APP, partition),
        remote_task: remote_task(APP, journal, partition),
        input: TopicPartition::new(topic.clone(), partition),
        output: TopicPartition::new(topic.clone(), partition),
        dead_letters: TopicPartition::new(letters.clone(), partition),
        config: fitting(config),
    };
    Ok((0..config.partitions(topic)).map(settings).collect())
}

/// Returns the topic of the journal that holds what Kafka refused for good.
pub(crate) fn dead_letters(topic: &TopicName) -> Result<TopicName, Failure> {
    let name = TopicName::new(&format!("{topic}-spool-dead"));
    name.map_err(|error| Failure::new(Code::Config, error))
}

/// Lets a forwarder's transactions be no larger, and take no longer, than the cluster allows.
fn fitting(config: &Config) -> spool::Config {
    let forwarder = &config.spool.forwarder;
    let Some(kafka) = &config.kafka else { return forwarder.clone() };
    spool::Config {
        batch_bytes_max: forwarder.batch_bytes_max.min(kafka.transaction_bytes_max),
        transaction_time_max: forwarder.transaction_time_max.min(kafka.transaction_time_max),
        ..forwarder.clone()
    }
}

fn task(settings: Settings, surroundings: Surroundings) -> PinnedTask {
    let name = settings.task.to_string();
    let pin = settings.input.partition.0;
    let (forwarder, status) = Forwarder::new(settings, surroundings);
    PinnedTask {
        name,
        kind: TaskKind("forwarder"),
        pin,
        status,
        start: Box::new(move |cx| Box::pin(async move { forwarder.run(&cx).await })),
    }
}
