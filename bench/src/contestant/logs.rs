//! The product from HTTP to the clean topic, in one process: the collector, its journal, on Kafka
//! the spool, and a processor task for each partition, with the product's defaults.
//!
//! It watches the clean topic as a sink does, until all events came through, and then looks for
//! each of them among the clean ones and the dead letters, once. The watching is part of what is
//! measured.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use metrics_exporter_prometheus::PrometheusBuilder;
use millstream_log::{FetchLimits, Log};
use millstream_log_kafka::{Config, KafkaLog, Settings};
use millstream_model::{TopicName, TopicPartition};
use millstream_pipeline::spool::{self, local_task, remote_task};
use millstream_pipeline::{Forwarder, TaskState, TaskStatus};
use millstream_runtime::{Clock, Context, Rng, TaskKind, spawn};
use tokio::sync::watch;

use super::Directory;
use super::collector::bind;
use super::engine::{Pace, Task, on_thread, start};
use crate::events::number_of;
use crate::feed::BODIES;
use crate::journal::{Journal, PARTITIONS, ensure_topic, read_all};
use crate::meter::{Measured, Meter};
use crate::moments::{Moments, now_micros};
use crate::numbers::Numbers;

/// How long tasks may take to be open.
const OPEN_TIME_MAX: Duration = Duration::from_secs(100);

/// How long the watcher waits before it looks whether others have seen the rest.
const WATCH: FetchLimits = FetchLimits { bytes_max: 4 << 20, wait_max: Duration::from_millis(100) };

/// What comes, and which log it goes through.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LogsArgs {
    /// Where the journal is, and where it is left when each event was seen.
    #[command(flatten)]
    pub(crate) directory: Directory,
    /// How many events will come.
    #[arg(long)]
    pub(crate) events: u64,
    /// A broker of Kafka; without one the journal is the log.
    #[arg(long)]
    pub(crate) kafka: Option<String>,
    /// Stands before all names on Kafka.
    #[arg(long, default_value = "")]
    pub(crate) prefix: String,
}

type Tasks = Vec<(Task, watch::Receiver<TaskStatus>)>;

pub(crate) async fn run(args: &LogsArgs) -> Result<Measured> {
    // Recording a metric has a cost, which belongs to the product.
    metrics::set_global_recorder(PrometheusBuilder::new().build_recorder())?;
    let cx = Context::background();
    let journal = Journal::open(&args.directory.dir).await?;
    let (log, pace) = match &args.kafka {
        None => (Arc::clone(&journal.log), Pace::JOURNAL),
        Some(broker) => (connect(&cx, broker, &args.prefix).await? as Arc<dyn Log>, Pace::KAFKA),
    };
    let mut topics = Vec::new();
    for name in ["events", "events-clean", "events-dead"] {
        topics.push(ensure_topic(&cx, &*log, name).await?);
    }
    let running = cx.child();
    let mut tasks = match &args.kafka {
        None => Tasks::new(),
        Some(_) => forwarders(&running, &journal.log, &log, &topics[0]).await?,
    };
    for partition in 0..PARTITIONS {
        tasks.push(start(&running, &log, &topics, partition, &pace)?);
    }
    for (_, status) in &mut tasks {
        let open = status.wait_for(|s| matches!(s.state, TaskState::Running | TaskState::Idle));
        tokio::time::timeout(OPEN_TIME_MAX, open).await.context("a task does not open")??;
    }
    let bound = bind(&journal.log, topics[0].clone())?;
    let address = bound.local_addr();
    let serving = running.clone();
    let mut served =
        spawn(&running, TaskKind("collector"), async move { bound.run(&serving).await });
    writeln!(std::io::stdout(), "ready {address}")?;

    let meter = Meter::start()?;
    let seen = watch_topic(&cx, &log, &topics[1], args.events).await?;
    let measured = meter.finish(args.events)?;
    seen.save(&args.directory.dir.join("seen"))?;

    running.cancel();
    served.join().await??;
    for (task, _) in tasks {
        // A panic is this program's end; its message is on the terminal already.
        task.join().ok().context("a task panicked")??;
    }
    check(&cx, &log, &topics[1..], args.events).await?;
    drop(log);
    journal.close().await?;
    Ok(Measured { checked: args.events, ..measured })
}

/// Reaches Kafka, with the product's defaults.
pub(crate) async fn connect(cx: &Context, broker: &str, prefix: &str) -> Result<Arc<KafkaLog>> {
    let config = Config {
        brokers: vec![broker.to_owned()],
        topic_prefix: prefix.to_owned(),
        ..Config::default()
    };
    let settings = Settings { app: "bench".to_owned() };
    Ok(Arc::new(KafkaLog::connect(cx, config, settings).await?))
}

/// Starts the spool: the collector's journal is forwarded, partition by partition.
async fn forwarders(
    cx: &Context,
    local: &Arc<dyn Log>,
    remote: &Arc<dyn Log>,
    topic: &TopicName,
) -> Result<Tasks> {
    ensure_topic(cx, &**local, topic.as_str()).await?;
    let letters = ensure_topic(cx, &**local, &format!("{topic}-spool-dead")).await?;
    let journal = local.admin().log_id();
    let mut tasks = Tasks::new();
    for partition in 0..PARTITIONS {
        let input = TopicPartition::new(topic.clone(), partition);
        let settings = spool::Settings {
            task: local_task("bench", &input),
            remote_task: remote_task("bench", journal, &input),
            output: input.clone(),
            input,
            dead_letters: TopicPartition::new(letters.clone(), partition),
            config: spool::Config {
                transaction_time_max: Config::default().transaction_time_max,
                ..spool::Config::default()
            },
        };
        let surroundings = spool::Surroundings {
            local: Arc::clone(local),
            remote: Arc::clone(remote),
            clock: Clock::system(),
            rng: Rng::from_os(),
        };
        let (forwarder, status) = Forwarder::new(settings, surroundings);
        let cx = cx.clone();
        let work = async move { Ok(forwarder.run(&cx).await?) };
        tasks.push((on_thread(format!("spool-{partition}"), work)?, status));
    }
    Ok(tasks)
}

/// Whether the rules reject an event of the feed: one in fifty has no user.
fn is_rejected(number: u64) -> bool {
    number % BODIES == BODIES - 1
}

/// Notes when each clean event is seen, a thread for each partition, until all were.
async fn watch_topic(
    cx: &Context,
    log: &Arc<dyn Log>,
    topic: &TopicName,
    events: u64,
) -> Result<Moments> {
    let rest = (0..events).filter(|number| !is_rejected(*number)).count();
    let rest = Arc::new(AtomicI64::new(i64::try_from(rest)?));
    let mut threads = Vec::new();
    for partition in 0..PARTITIONS {
        let partition = TopicPartition::new(topic.clone(), partition);
        let (cx, log, rest) = (cx.clone(), Arc::clone(log), Arc::clone(&rest));
        let from = log.bounds(&cx, &partition).await?.start;
        let work = async move {
            let mut reader = log.reader(&cx, &partition, from).await?;
            let mut seen = Vec::new();
            while rest.load(Ordering::Relaxed) > 0 {
                let fetched = reader.fetch(&cx, WATCH).await?;
                let now = now_micros();
                let before = seen.len();
                for record in fetched.batches.iter().flat_map(|batch| &batch.records) {
                    let value = record.value.context("every record has a value")?;
                    seen.push((number_of(value)?, now));
                }
                rest.fetch_sub(i64::try_from(seen.len() - before)?, Ordering::Relaxed);
            }
            Ok(seen)
        };
        threads.push(on_thread("watch".to_owned(), work)?);
    }
    let join = move || -> Result<Moments> {
        let mut moments = Moments::new(events)?;
        for thread in threads {
            for (number, micros) in thread.join().ok().context("a watcher panicked")?? {
                moments.note(number, micros)?;
            }
        }
        Ok(moments)
    };
    millstream_runtime::spawn_blocking(TaskKind("watch"), join).join().await?
}

/// Demands each event where it belongs, once: clean, or a dead letter.
async fn check(cx: &Context, log: &Arc<dyn Log>, topics: &[TopicName], events: u64) -> Result<()> {
    let mut numbers = Numbers::default();
    for (topic, rejected) in topics.iter().zip([false, true]) {
        read_all(cx, log, topic, |record| {
            let number = number_of(record.value.context("every record has a value")?)?;
            ensure!(is_rejected(number) == rejected, "event {number} is in {topic}");
            numbers.add(number)
        })
        .await?;
    }
    numbers.expect_exactly(events)
}
