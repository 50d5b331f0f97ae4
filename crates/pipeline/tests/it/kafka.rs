//! Processors and sinks on real Kafka, when something is wrong with what they stand on: a record
//! that the brokers refuse, a topic created anew, a table set back to an older state.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use millstream_log::{FetchLimits, Log, TopicConfig, TopicKind};
use millstream_log_kafka::{Config, KafkaLog, Settings};
use millstream_model::{
    ErrorClass, Headers, Record, RecordBatch, RecordBatchBuilder, TopicPartition,
};
use millstream_pipeline::processor::Surroundings;
use millstream_pipeline::status::Stuck;
use millstream_pipeline::{DeadLetter, Processor, SinkWorker, TaskState, TaskStatus};
use millstream_runtime::{Clock, Context, Rng, TaskKind, spawn};
use millstream_testkit::kafka::{self, Cluster, Kafka};

use crate::memory_sink::{MemorySink, Table};
use crate::sink::sink_settings;
use crate::stage::{PARTITIONS, Running, partition, settings, topic_name};

/// How long everything in one test may take.
const TEST_TIME_MAX: Duration = Duration::from_secs(240);

/// How long a sink may take until it says what is wrong.
const REFUSED_WITHIN: Duration = Duration::from_secs(60);

/// The topics' prefix on the brokers.
const PREFIX: &str = "t-";

type SharedTable = Arc<Mutex<Table>>;

/// Brokers of a test's own, and a log on them.
struct Stage {
    kafka: Kafka,
    cluster: Cluster,
    log: Arc<KafkaLog>,
    cx: Context,
}

/// Runs a test on brokers of its own; skips it, visibly, where there can be none.
fn on_kafka(test: impl AsyncFnOnce(Stage) -> Result<()>) -> Result<()> {
    let Some(kafka) = Kafka::install().or_skip() else { return Ok(()) };
    let cluster = kafka.start(&kafka::Config::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let cx = Context::background().with_timeout(TEST_TIME_MAX);
        let log = connect(&cx, &cluster).await?;
        test(Stage { kafka, cluster, log, cx }).await
    })
}

/// Reaches the log as a process does that knows nothing yet.
async fn connect(cx: &Context, cluster: &Cluster) -> Result<Arc<KafkaLog>> {
    let config = Config {
        brokers: vec![cluster.bootstrap()],
        topic_prefix: PREFIX.to_owned(),
        positions_partitions: 1,
        transaction_time_max: Duration::from_secs(10),
        session_time_max: Duration::from_secs(1),
        ..Config::default()
    };
    let log = KafkaLog::connect(cx, config, Settings::default()).await.context("reach Kafka")?;
    Ok(Arc::new(log))
}

impl Stage {
    async fn ensure_topics(&self, topics: &[&str]) -> Result<()> {
        for topic in topics {
            let (partitions, kind) = match *topic {
                "dead" => (1, TopicKind::DeadLetters),
                _ => (PARTITIONS, TopicKind::Events),
            };
            let config = TopicConfig { partitions, kind, retention: None };
            self.log.admin().ensure_topic(&self.cx, &topic_name(topic), &config).await?;
        }
        Ok(())
    }

    /// Does something to a topic with Kafka's own tool.
    fn topic_tool(&self, topic: &str, arguments: &[&str]) -> Result<()> {
        let topic = format!("{PREFIX}{topic}");
        let mut tool = self.kafka.tool("org.apache.kafka.tools.TopicCommand");
        tool.args(["--bootstrap-server", &self.cluster.bootstrap(), "--topic", &topic]);
        let output = tool.args(arguments).output().context("start java")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        Ok(())
    }

    async fn append(&self, to: &TopicPartition, values: &[&str]) -> Result<()> {
        self.cx.run(self.log.enqueue(vec![(to.clone(), batch(values))])?).await??;
        Ok(())
    }

    /// Returns every record of a partition: its value, and why it is a dead letter, if it is one.
    async fn records(&self, of: &TopicPartition) -> Result<Vec<(String, Option<DeadLetter>)>> {
        let bounds = self.log.bounds(&self.cx, of).await?;
        let mut reader = self.log.reader(&self.cx, of, bounds.start).await?;
        let mut records = Vec::new();
        loop {
            let limits = FetchLimits { bytes_max: 1 << 20, wait_max: Duration::ZERO };
            let fetched = reader.fetch(&self.cx, limits).await?;
            for (_, record) in fetched.batches.iter().flat_map(|batch| batch.iter()) {
                let value = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
                records.push((value, DeadLetter::parse(record.headers).ok()));
            }
            if fetched.next.offset >= bounds.end.offset {
                return Ok(records);
            }
        }
    }

    fn surroundings(&self) -> Surroundings {
        let log: Arc<dyn Log> = self.log.clone();
        Surroundings { log, clock: Clock::system(), rng: Rng::from_os() }
    }

    fn process(&self) -> Result<Running> {
        let (processor, status) = Processor::new(settings(0), self.surroundings())?;
        let cx = self.cx.child();
        let running = cx.clone();
        let work = async move { processor.run(&running).await };
        Ok(Running { cx, status, task: spawn(&self.cx, TaskKind("processor"), work) })
    }

    fn store(&self, table: &SharedTable) -> Running {
        let mut settings = sink_settings();
        settings.config.commit_interval = Duration::from_millis(50);
        let sink = MemorySink::of(table);
        let (worker, status) = SinkWorker::new(settings, sink, self.surroundings());
        let cx = self.cx.child();
        let running = cx.clone();
        let work = async move { worker.run(&running).await };
        Running { cx, status, task: spawn(&self.cx, TaskKind("sink"), work) }
    }

    /// Stores what there is, until so many rows are in the table, and registers it.
    async fn store_all(&self, table: &SharedTable, rows: u64) {
        let mut running = self.store(table);
        running.until(|status| status.counts.written >= rows && status.lag() == 0).await;
        running.drain().await;
    }

    /// Checks that a sink does nothing but to say what is wrong, and what helps.
    async fn check_refused(&self, table: &SharedTable, remedy: &str) -> Result<()> {
        let rows = rows_of(table);
        let mut running = self.store(table);
        let Stuck { step, class, .. } = until_stuck(&mut running, remedy).await?;
        running.drain().await;
        // A history that differs before the position shows with the first fetch only.
        ensure!(class == ErrorClass::Invalid && ["open", "fetch"].contains(&&*step), "{step}");
        ensure!(rows_of(table) == rows, "nothing is stored");
        Ok(())
    }
}

/// Returns records of now: brokers delete what claims to be older than their retention.
fn batch(values: &[&str]) -> RecordBatch {
    let timestamp = Clock::system().now();
    let mut batch = RecordBatchBuilder::new();
    for value in values {
        let value = Some(value.as_bytes());
        batch.push(Record { timestamp, key: value, value, headers: Headers::EMPTY });
    }
    batch.finish()
}

fn rows_of(table: &SharedTable) -> Vec<String> {
    table.lock().expect("no test panics with the lock").rows.clone()
}

/// Waits until a task says what holds it up, with these words.
async fn until_stuck(running: &mut Running, words: &str) -> Result<Stuck> {
    let says = |status: &TaskStatus| matches!(&status.state, TaskState::Stuck(stuck) if stuck.reason.contains(words));
    let mut shown = running.status.clone();
    let said = tokio::time::timeout(REFUSED_WITHIN, shown.wait_for(says)).await;
    let state = said.ok().and_then(Result::ok).map(|status| status.state.clone());
    match state {
        Some(TaskState::Stuck(stuck)) => Ok(stuck),
        _ => bail!("not refused with `{words}`: {:?}", *running.status.borrow()),
    }
}

/// Text that does not compress below a third.
fn noise(bytes: usize) -> String {
    let (mut text, mut number) = (String::new(), 1_u64);
    while text.len() < bytes {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        text.push_str(&number.to_string());
    }
    text
}

#[test]
fn a_record_that_a_broker_refuses_is_a_dead_letter_with_the_reason_and_the_others_go_on()
-> Result<()> {
    on_kafka(async |stage| {
        let partitions = PARTITIONS.to_string();
        let small = ["--create", "--partitions", &partitions, "--config", "max.message.bytes=2000"];
        stage.topic_tool("clean", &small)?;
        stage.ensure_topics(&["events", "dead"]).await?;
        let events: Vec<String> =
            (0..20).map(|n| format!("{{\"user_id\":\"u\",\"n\":{n}}}")).collect();
        let large = format!("{{\"user_id\":\"{}\"}}", noise(50_000));
        let mut texts: Vec<&str> = events.iter().map(String::as_str).collect();
        texts.insert(7, &large);
        stage.append(&partition("events", 0), &texts).await?;
        let mut running = stage.process()?;
        running.until(|status| status.counts.read == 21).await;
        running.drain().await;

        let clean = stage.records(&partition("clean", 0)).await?;
        ensure!(clean.into_iter().map(|(value, _)| value).collect::<Vec<_>>() == events);
        let mut dead = stage.records(&partition("dead", 0)).await?;
        let Some((value, Some(letter))) = dead.pop() else { bail!("no dead letter") };
        ensure!(value == large && dead.is_empty(), "{dead:?}");
        ensure!(letter.origin.offset.0 == 7, "{letter:?}");
        ensure!(letter.reason.contains("log rejects a record"), "{}", letter.reason);
        Ok(())
    })
}

#[test]
fn a_topic_created_anew_under_a_sink_is_refused_and_nothing_of_it_is_skipped_or_stored()
-> Result<()> {
    on_kafka(async |stage| {
        stage.ensure_topics(&["clean", "dead"]).await?;
        let (table, input) = (SharedTable::default(), partition("clean", 0));
        stage.append(&input, &["a", "b", "c"]).await?;
        let mut running = stage.store(&table);
        running.until(|status| status.counts.written == 3).await;
        stage.topic_tool("clean", &["--delete"])?;
        stage.topic_tool("clean", &["--create", "--partitions", &PARTITIONS.to_string()])?;
        // More than there was: the old position lies within the new topic.
        let anew = connect(&stage.cx, &stage.cluster).await?;
        let more = vec![(input.clone(), batch(&["1", "2", "3", "4", "5"]))];
        stage.cx.run(anew.enqueue(more)?).await??;
        let stuck = until_stuck(&mut running, "created anew").await?;
        ensure!(stuck.class == ErrorClass::Invalid, "{stuck:?}");
        running.drain().await;
        ensure!(rows_of(&table).len() == 3, "{:?}", rows_of(&table));
        let stage = Stage { log: anew, ..stage };
        stage.check_refused(&table, "millstream tasks reset").await
    })
}

#[test]
fn a_table_rolled_back_under_a_log_is_refused() -> Result<()> {
    on_kafka(async |stage| {
        stage.ensure_topics(&["clean", "dead"]).await?;
        let (table, input) = (SharedTable::default(), partition("clean", 0));
        stage.append(&input, &["a", "b", "c"]).await?;
        stage.store_all(&table, 3).await;
        let older = table.lock().expect("no test panics with the lock").positions.clone();
        stage.append(&input, &["d", "misfit", "f"]).await?;
        stage.store_all(&table, 5).await;

        table.lock().expect("no test panics with the lock").positions = older;
        stage.check_refused(&table, "set back to an older snapshot").await?;
        *table.lock().expect("no test panics with the lock") = Table::default();
        stage.check_refused(&table, "bring the table back").await
    })
}
