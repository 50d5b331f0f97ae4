//! The role `spool`: one forwarder for each partition of the collector's topic, from the journal to
//! Kafka.
//!
//! Every collector that answers before Kafka has the events has one. The journal then holds two
//! topics: the collector's, with as many partitions as on Kafka and the same routing, and the dead
//! letters of what Kafka refuses for good. A journal that took events for another topic before, or
//! takes none any more, is forwarded to its end all the same: what it holds was accepted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream_log::journal::Journal;
use millstream_log::{EveryTask, Log, TopicConfig, TopicKind, journal};
use millstream_model::{Classify as _, TaskId, TopicName, TopicPartition};
use millstream_pipeline::spool::{self, Settings, Surroundings, local_task, remote_task};
use millstream_pipeline::worker::{Group, Grouping};
use millstream_pipeline::{Forwarder, PinnedTask, Worker, worker};
use millstream_runtime::{Clock, Context, Rng, TaskKind};
use tracing::info;

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::exit::{Code, Failure};
use crate::flow::APP;
use crate::logs::Logs;

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

/// Refuses a journal that is no spool but was the log itself: what its pipelines have stored would
/// be forwarded, and stored, a second time.
pub(crate) async fn check_is_one(
    cx: &Context,
    journal: &Journal,
    data: &DataDir,
) -> Result<(), Failure> {
    let tasks = journal.admin().tasks(&cx.with_timeout(TOPICS_TIME_MAX)).await;
    let tasks = tasks.map_err(|error| Failure::classified(error.class(), error))?;
    let forwarders = format!("{APP}.{GROUP}.");
    let Some(task) = tasks.iter().find(|task| !task.as_str().starts_with(&forwarders)) else {
        return Ok(());
    };
    let dir = data.path().display();
    let message = format!(
        "the journal of data directory {dir} was a log of its own (task {task} read it): what it \
         holds would go through Kafka a second time"
    );
    Err(Failure::message(Code::Config, message).with_hint(
        "give the node on Kafka a directory of its own with --data DIR; without `kafka` in its \
         configuration a node goes on with this one",
    ))
}

/// Builds the forwarders from the journal to the cluster; `None` where nothing is to be forwarded.
pub(crate) async fn build(
    cx: &Context,
    config: &Config,
    logs: &Logs,
) -> Result<Option<Worker>, Failure> {
    let Some(journal) = logs.spool() else { return Ok(None) };
    let cx = cx.with_timeout(TOPICS_TIME_MAX);
    let mut needed = Vec::new();
    for one in settings(&cx, config, journal).await? {
        if logs.is_spooled() && one.input.topic == *config.topic_of_collector() {
            needed.push(one);
            continue;
        }
        let is_waiting = spool::is_waiting(&cx, journal, &one.task, &one.input).await;
        if is_waiting.map_err(|error| Failure::classified(error.class(), error))? {
            info!(task = %one.task, "forwarding what an earlier run accepted");
            needed.push(one);
        }
    }
    let local: Arc<dyn Log> = Arc::new(journal.clone());
    Ok((!needed.is_empty()).then(|| worker(needed, local, logs.shared())))
}

fn worker(settings: Vec<Settings>, local: Arc<dyn Log>, remote: Arc<dyn Log>) -> Worker {
    let tasks: BTreeMap<TaskId, Settings> =
        settings.into_iter().map(|settings| (settings.task.clone(), settings)).collect();
    let assignment = Box::new(EveryTask::new(tasks.keys().cloned().collect()));
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
    Worker::new(worker::Settings { threads: 1 }, vec![group])
}

/// Returns what each forwarder works on: every partition of every topic that the collector ever
/// appended to.
pub(crate) async fn settings(
    cx: &Context,
    config: &Config,
    local: &dyn Log,
) -> Result<Vec<Settings>, Failure> {
    let admin = local.admin();
    let topics = admin.topics(cx).await;
    let topics = topics.map_err(|error| Failure::classified(error.class(), error))?;
    let mut settings = Vec::new();
    for topic in topics.iter().filter(|topic| topic.config.kind == TopicKind::Events) {
        let letters = dead_letters(&topic.name)?;
        for partition in 0..topic.config.partitions {
            let input = TopicPartition::new(topic.name.clone(), partition);
            settings.push(Settings {
                task: local_task(APP, &input),
                remote_task: remote_task(APP, admin.log_id(), &input),
                output: input.clone(),
                input,
                dead_letters: TopicPartition::new(letters.clone(), partition),
                config: fitting(config),
            });
        }
    }
    Ok(settings)
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
