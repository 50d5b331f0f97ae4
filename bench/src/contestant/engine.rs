//! The engine as the product runs it: one processor task a partition, each on its own thread,
//! until everything that was in the journal is cleaned and committed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use millstream_log::Log;
use millstream_model::{TaskId, TopicName, TopicPartition};
use millstream_pipeline::cleaner;
use millstream_pipeline::event::Limits;
use millstream_pipeline::processor::{Config, Settings, Surroundings};
use millstream_pipeline::{Counts, Processor, TaskStatus};
use millstream_runtime::{Clock, Context, Rng};
use tokio::sync::watch;

use super::VolumeArgs;
use crate::events::number_of;
use crate::journal::{Appends, Journal, PARTITIONS, ensure_topic, fill, read_all};
use crate::meter::{Measured, Meter};
use crate::numbers::Numbers;
use crate::rules;

/// How often the end is looked for.
const POLL: Duration = Duration::from_millis(5);

pub(crate) async fn run(args: &VolumeArgs) -> Result<Measured> {
    let cx = Context::background();
    let journal = Journal::open(&args.directory.dir).await?;
    let mut topics = Vec::new();
    for name in ["events", "events-clean", "events-dead"] {
        topics.push(ensure_topic(&cx, &*journal.log, name).await?);
    }
    let appends = Appends::of_bytes(args.bytes);
    let (events, bytes) = (appends.events(), appends.value_bytes());
    fill(&*journal.log, &topics[0], appends).await?;

    let meter = Meter::start()?;
    let running = cx.child();
    let tasks: Vec<_> = (0..PARTITIONS)
        .map(|partition| Ok(start(&running, &journal.log, &topics, partition, &Pace::JOURNAL)?.0))
        .collect::<Result<_>>()?;
    while counts(&cx, &*journal.log).await?.read < events {
        ensure!(!tasks.iter().any(std::thread::JoinHandle::is_finished), "a task ended early");
        cx.sleep(POLL).await?;
    }
    let measured = meter.finish(bytes)?;
    running.cancel();
    for task in tasks {
        // A panic is this program's end; its message is on the terminal already.
        task.join().ok().context("a processor task panicked")??;
    }

    let counts = counts(&cx, &*journal.log).await?;
    ensure!(counts.is_balanced() && counts.read == events, "the counts do not add up: {counts:?}");
    let mut numbers = Numbers::default();
    for topic in &topics[1..] {
        read_all(&cx, &journal.log, topic, |record| {
            numbers.add(number_of(record.value.context("every record has a value")?)?)
        })
        .await?;
    }
    journal.close().await?;
    numbers.expect_exactly(events)?;
    Ok(Measured { checked: events, ..measured })
}

fn task_id(partition: u32) -> Result<TaskId> {
    Ok(TaskId::new(&format!("bench.events.clean.{partition}"))?)
}

/// Returns the sum of what the tasks have committed.
async fn counts(cx: &Context, log: &dyn Log) -> Result<Counts> {
    let mut sum = Counts::default();
    for partition in 0..PARTITIONS {
        if let Some(committed) = log.committed(cx, &task_id(partition)?).await? {
            sum.add(&Counts::of_committed(&committed)?);
        }
    }
    Ok(sum)
}

/// How long transactions are gathered for and may take, as the product sets it for each log.
#[derive(Debug)]
pub(crate) struct Pace {
    transaction_interval: Duration,
    transaction_time_max: Duration,
}

impl Pace {
    /// On the journal.
    pub(crate) const JOURNAL: Self = Self {
        transaction_interval: Duration::ZERO,
        transaction_time_max: Duration::from_secs(30),
    };
    /// On Kafka, where each transaction costs a few round trips.
    pub(crate) const KAFKA: Self = Self {
        transaction_interval: Duration::from_millis(100),
        transaction_time_max: Duration::from_secs(10),
    };
}

/// A task on a thread of its own.
pub(crate) type Task = std::thread::JoinHandle<Result<()>>;

/// Starts the task of one partition, from the first topic into the second and third.
pub(crate) fn start(
    cx: &Context,
    log: &Arc<dyn Log>,
    topics: &[TopicName],
    partition: u32,
    pace: &Pace,
) -> Result<(Task, watch::Receiver<TaskStatus>)> {
    let settings = Settings {
        task: task_id(partition)?,
        renamed_from: None,
        input: TopicPartition::new(topics[0].clone(), partition),
        output: topics[1].clone(),
        dead_letters: topics[2].clone(),
        dead_letter_partitions: PARTITIONS,
        cleaner: cleaner::Settings {
            pipeline: "events".to_owned(),
            steps: rules::steps(),
            schema: None,
            limits: Limits::default(),
            input_partitions: PARTITIONS,
            output_partitions: PARTITIONS,
        },
        keeping: None,
        transaction_interval: pace.transaction_interval,
        config: Config { transaction_time_max: pace.transaction_time_max, ..Config::default() },
    };
    let surroundings =
        Surroundings { log: Arc::clone(log), clock: Clock::system(), rng: Rng::from_os() };
    let (processor, status) = Processor::new(settings, surroundings)?;
    let cx = cx.clone();
    let work = async move { Ok(processor.run(&cx).await?) };
    Ok((on_thread(format!("clean-{partition}"), work)?, status))
}

/// Runs a task on a thread of its own.
pub(crate) fn on_thread<T: Send + 'static>(
    name: String,
    work: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<std::thread::JoinHandle<Result<T>>> {
    let thread = std::thread::Builder::new().name(name);
    Ok(thread.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(work)
    })?)
}
