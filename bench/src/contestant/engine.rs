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
use millstream_pipeline::{Counts, Processor};
use millstream_runtime::{Clock, Context, Rng};

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
        .map(|partition| start(&running, &journal.log, &topics, partition))
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

type Task = std::thread::JoinHandle<Result<()>>;

/// Starts the task of one partition on a thread of its own.
fn start(cx: &Context, log: &Arc<dyn Log>, topics: &[TopicName], partition: u32) -> Result<Task> {
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
        transaction_interval: Duration::ZERO,
        config: Config::default(),
    };
    let surroundings =
        Surroundings { log: Arc::clone(log), clock: Clock::system(), rng: Rng::from_os() };
    let (processor, _status) = Processor::new(settings, surroundings)?;
    let cx = cx.clone();
    let thread = std::thread::Builder::new().name(format!("clean-{partition}"));
    Ok(thread.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(processor.run(&cx))?)
    })?)
}
