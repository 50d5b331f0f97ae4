use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream_lake::{Config as TableConfig, IcebergSink, PartitionBy, Seams};
use millstream_log::memory::{Gaps, MemoryLog, Outcome};
use millstream_log::{Owner, TopicConfig, TopicKind, TransactError, Transaction};
use millstream_model::{Headers, Record, RecordBatch, RecordBatchBuilder, TaskId, Timestamp};
use millstream_pipeline::event::Limits;
use millstream_pipeline::processor::{Config, Settings, Surroundings};
use millstream_pipeline::schema::{Column, ColumnType, Schema};
use millstream_pipeline::sink::SinkTask;
use millstream_pipeline::step::{StepConfig, require};
use millstream_pipeline::{Processor, SinkWorker, TaskStatus, cleaner, sink};
use millstream_runtime::{Clock, Rng, TaskHandle, TaskKind, spawn};
use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::accounting::{Books, reconcile};
use crate::flow::{FlowTopic, processor_task, sink_name};

const PARTITIONS: u32 = 2;

/// A log with control records between its records, and a table.
struct Stage {
    log: MemoryLog,
    cx: Context,
    dir: TempDir,
    flow: Flow,
}

/// A task that runs until it is drained.
struct Running {
    cx: Context,
    status: watch::Receiver<TaskStatus>,
    task: TaskHandle<Result<(), millstream_pipeline::Failure>>,
}

impl Running {
    async fn until_read(&mut self, read: u64) {
        let reached = self.status.wait_for(|status| status.counts.read >= read);
        reached.await.expect("the task lives");
    }

    async fn drain(mut self) {
        self.cx.cancel();
        self.task.join().await.expect("no panic").expect("no failure");
    }
}

fn batch(values: &[&str]) -> RecordBatch {
    let mut batch = RecordBatchBuilder::new();
    for value in values {
        let (timestamp, headers) = (Timestamp::EPOCH, Headers::EMPTY);
        batch.push(Record { timestamp, key: None, value: Some(value.as_bytes()), headers });
    }
    batch.finish()
}

impl Stage {
    async fn new() -> Self {
        let log = MemoryLog::new(Clock::manual(Timestamp::EPOCH), Rng::from_seed(5));
        log.set_gaps(Gaps::ControlRecords);
        let cx = Context::background();
        let mut topics = Vec::new();
        for (name, partitions, kind) in [
            ("events", PARTITIONS, TopicKind::Events),
            ("clean", PARTITIONS, TopicKind::Events),
            ("dead", 1, TopicKind::DeadLetters),
        ] {
            let config = TopicConfig { partitions, kind, retention: None };
            let ensured = log.admin().ensure_topic(&cx, &topic_name(name).unwrap(), &config).await;
            ensured.unwrap();
            topics.push(FlowTopic { name: name.to_owned(), partitions });
        }
        let pipeline = FlowPipeline {
            name: "events".to_owned(),
            from: "events".to_owned(),
            to: "clean".to_owned(),
            dead_letters: "dead".to_owned(),
        };
        let sink = FlowSink {
            name: "events".to_owned(),
            from: "clean".to_owned(),
            table: "events".to_owned(),
            dead_letters: "dead".to_owned(),
        };
        let (pipelines, sinks) = (vec![pipeline], vec![sink]);
        let flow =
            Flow { collected: "events".to_owned(), topics, pipelines, sinks, ..Flow::default() };
        Self { log, cx, dir: tempfile::tempdir().unwrap(), flow }
    }

    fn partition(&self, topic: &str, number: u32) -> TopicPartition {
        TopicPartition::new(topic_name(topic).unwrap(), number)
    }

    async fn append(&self, topic: &str, number: u32, values: &[&str]) {
        let to = self.partition(topic, number);
        self.log.enqueue(vec![(to, batch(values))]).unwrap().await.unwrap();
    }

    /// Appends as a task of somebody else, which leaves control records behind.
    async fn transact(&self, topic: &str, values: &[&str]) -> Result<(), TransactError> {
        let task = TaskId::new("stranger").unwrap();
        let owner = Owner { task, inputs: Vec::new(), renamed_from: None };
        let mut opened = self.log.open(&self.cx, &owner).await.unwrap();
        let records = vec![(self.partition(topic, 0), batch(values))];
        opened.writer.transact(&self.cx, Transaction { records, ..Transaction::default() }).await
    }

    fn surroundings(&self) -> Surroundings {
        let (log, clock) = (Arc::new(self.log.clone()), Clock::system());
        Surroundings { log, clock, rng: Rng::from_seed(1) }
    }

    fn process(&self, number: u32) -> Running {
        let fields = vec!["user".to_owned()];
        let settings = Settings {
            task: processor_task("events", number),
            renamed_from: None,
            input: self.partition("events", number),
            output: topic_name("clean").unwrap(),
            dead_letters: topic_name("dead").unwrap(),
            dead_letter_partitions: 1,
            cleaner: cleaner::Settings {
                pipeline: "events".to_owned(),
                steps: vec![StepConfig::Require(require::Config { fields })],
                schema: None,
                limits: Limits::default(),
                input_partitions: PARTITIONS,
                output_partitions: PARTITIONS,
            },
            keeping: None,
            transaction_interval: Duration::ZERO,
            config: Config::default(),
        };
        let (processor, status) = Processor::new(settings, self.surroundings()).unwrap();
        let cx = self.cx.child();
        let task = {
            let cx = cx.clone();
            spawn(&self.cx, TaskKind("processor"), async move { processor.run(&cx).await })
        };
        Running { cx, status, task }
    }

    fn iceberg(&self) -> IcebergSink {
        let column = Column::new("user", ColumnType::Long).unwrap().required();
        let columns = Arc::new(Schema::new(vec![column]).unwrap());
        let table =
            TableConfig { partition_by: PartitionBy::None, ..TableConfig::new("events", columns) };
        let settings = millstream_lake::Settings {
            name: "events".to_owned(),
            dir: self.dir.path().to_owned(),
            seams: Seams::default(),
        };
        IcebergSink::new(table, settings).unwrap()
    }

    /// Makes the table, as a sink does that opens.
    async fn with_table(self) -> Self {
        sink::Sink::open(&mut self.iceberg(), &self.cx, &[]).await.unwrap();
        self
    }

    fn store(&self) -> Running {
        let iceberg = self.iceberg();
        let task = |number| SinkTask {
            task: sink_task("events", number),
            renamed_from: None,
            input: self.partition("clean", number),
        };
        let settings = sink::Settings {
            name: sink_name("events"),
            sink: "events".to_owned(),
            tasks: (0..PARTITIONS).map(task).collect(),
            dead_letters: topic_name("dead").unwrap(),
            dead_letter_partitions: 1,
            config: sink::Config {
                commit_interval: Duration::from_millis(10),
                ..sink::Config::default()
            },
        };
        let (worker, status) = SinkWorker::new(settings, iceberg, self.surroundings());
        let cx = self.cx.child();
        let task = {
            let cx = cx.clone();
            spawn(&self.cx, TaskKind("sink"), async move { worker.run(&cx).await })
        };
        Running { cx, status, task }
    }

    async fn books_within(&self, budget: Budget) -> Books {
        self.books_at(self.dir.path(), budget).await
    }

    /// Draws up the books where the tables lie in `dir`.
    async fn books_at(&self, dir: &Path, budget: Budget) -> Books {
        let lake = match Lake::open_read_only(dir).await {
            Ok(lake) => Some(lake),
            Err(LakeError::NoLake { .. }) => None,
            Err(error) => panic!("{error}"),
        };
        let read = survey_within(&self.cx, (&self.log, lake.as_ref()), &self.flow, budget).await;
        reconcile(&read.unwrap())
    }

    async fn books(&self) -> Books {
        self.books_within(Budget::new()).await
    }
}

const GOOD: &str = r#"{"user":1}"#;
/// Clean for the pipeline, and nothing for the table.
const MISFIT: &str = r#"{"user":"one"}"#;

#[tokio::test]
async fn on_a_log_with_gaps_what_is_in_flight_is_counted_at_every_stage() {
    let stage = Stage::new().await.with_table().await;
    for number in 0..PARTITIONS {
        stage.append("events", number, &[GOOD, "{}", MISFIT, GOOD]).await;
    }
    let books = stage.books().await;
    assert!(books.balanced, "{:?}", books.faults);
    assert_eq!((books.lines[0].accepted, books.lines[0].in_flight), (8, 8), "none began");

    // One partition processed in many transactions, each with a control record behind it.
    let mut running = stage.process(0);
    running.until_read(4).await;
    for round in 1..=5 {
        stage.append("events", 0, &[GOOD]).await;
        running.until_read(4 + round).await;
    }
    running.drain().await;
    let books = stage.books().await;
    assert!(books.balanced, "{:?}", books.faults);
    let line = &books.lines[0];
    assert_eq!((line.accepted, line.dead_lettered, line.in_flight), (13, 1, 4 + 8));

    let mut sink = stage.store();
    sink.until_read(8).await;
    sink.drain().await;
    let books = stage.books().await;
    assert!(books.balanced, "{:?}", books.faults);
    let line = &books.lines[0];
    assert_eq!((line.accepted, line.stored, line.dead_lettered), (13, 7, 2));
    assert_eq!((line.in_flight, line.at_least, line.before), (4, false, 0));

    // More of it, with the sink away.
    let mut running = stage.process(1);
    running.until_read(4).await;
    running.drain().await;
    let books = stage.books().await;
    assert!(books.balanced, "{:?}", books.faults);
    assert_eq!((books.lines[0].stored, books.lines[0].in_flight), (7, 3));
}

#[tokio::test]
async fn a_table_keeps_the_offsets_of_a_log_with_gaps_and_each_of_them_once() {
    let stage = Stage::new().await.with_table().await;
    let mut running = stage.process(0);
    for round in 1..=4 {
        stage.append("events", 0, &[GOOD, MISFIT]).await;
        running.until_read(2 * round).await;
    }
    running.drain().await;
    let mut sink = stage.store();
    sink.until_read(8).await;
    sink.drain().await;
    let audit = millstream_lake::Audit::open(stage.dir.path()).await.unwrap();
    let report = audit.tables_deep().await.unwrap().remove(0);
    let deep = report.deep.unwrap();
    assert_eq!((deep.rows, deep.duplicates, deep.missing, deep.surplus), (4, 0, 0, 0));
    assert_eq!((deep.beyond, deep.foreign), (0, 0));
    // A query has a runtime of its own.
    let dir = stage.dir.path().to_owned();
    let query = move || {
        let query = millstream_lake::Query::open(&dir).unwrap();
        query.sql("SELECT _ms_offset FROM events ORDER BY 1").unwrap().to_json()
    };
    let rows = std::thread::spawn(query).join().unwrap();
    let clean = stage.log.records(&stage.partition("clean", 0));
    let offsets: Vec<u64> = clean.iter().map(|batch| batch.first.0).collect();
    assert_eq!(offsets, [0, 3, 6, 9], "the log has gaps");
    let stored: Vec<_> =
        rows.as_array().unwrap().iter().map(|row| row["_ms_offset"].as_u64()).collect();
    assert_eq!(stored, offsets.into_iter().map(Some).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_record_that_nobody_accounts_for_is_found_on_a_log_with_gaps() {
    let stage = Stage::new().await.with_table().await;
    stage.append("events", 0, &[GOOD]).await;
    let mut running = stage.process(0);
    running.until_read(1).await;
    running.drain().await;
    stage.transact("clean", &[GOOD]).await.unwrap();
    let books = stage.books().await;
    assert!(!books.balanced);
    assert!(books.faults[0].contains("2 wait in it, its writers count 1"), "{:?}", books.faults);
}

#[tokio::test]
async fn aborted_transactions_before_the_first_record_are_no_records_before_it() {
    let stage = Stage::new().await.with_table().await;
    for _ in 0..3 {
        stage.log.fail_next_transact(Outcome::Lost);
        stage.transact("clean", &[GOOD, GOOD]).await.unwrap_err();
    }
    stage.append("events", 0, &[GOOD, GOOD]).await;
    let mut running = stage.process(0);
    running.until_read(2).await;
    running.drain().await;
    let mut sink = stage.store();
    sink.until_read(2).await;
    sink.drain().await;
    let books = stage.books().await;
    assert!(books.balanced, "{:?}", books.faults);
    assert_eq!((books.lines[0].stored, books.lines[0].before), (2, 0));
}

#[tokio::test]
async fn a_backlog_beyond_the_bound_is_at_least_what_was_counted() {
    let stage = Stage::new().await.with_table().await;
    for _ in 0..50 {
        stage.append("events", 0, &[GOOD; 1_000]).await;
    }
    let books = stage.books_within(Budget::of_bytes(10_000)).await;
    assert!(books.balanced, "{:?}", books.faults);
    let line = &books.lines[0];
    assert!(line.at_least && line.in_flight > 0 && line.in_flight < 50_000, "{line:?}");
    let books = stage.books().await;
    assert_eq!((books.lines[0].in_flight, books.lines[0].at_least), (50_000, false));
}

#[tokio::test]
async fn where_the_table_is_not_the_books_do_not_say_what_it_stores() {
    let stage = Stage::new().await;
    stage.append("events", 0, &[GOOD, GOOD, GOOD]).await;
    let books = stage.books().await;
    assert!(!books.balanced && books.faults.is_empty(), "{:?}", books.faults);
    assert!(books.absent[0].said().contains("has stored nothing"), "{}", books.absent[0].said());

    let mut running = stage.process(0);
    running.until_read(3).await;
    running.drain().await;
    let mut sink = stage.store();
    sink.until_read(3).await;
    sink.drain().await;
    assert!(stage.books().await.balanced);

    // Another worker sees the same log, and has no tables, or another one with that name.
    let elsewhere = tempfile::tempdir().unwrap();
    let books = stage.books_at(elsewhere.path(), Budget::new()).await;
    assert_eq!((books.balanced, books.lines.len()), (false, 0));
    let absent = &books.absent[0];
    assert_eq!((absent.partitions.as_ref(), absent.registered), (None, 3));

    let other = Stage { dir: elsewhere, ..stage }.with_table().await;
    let books = other.books().await;
    assert_eq!((books.balanced, books.lines.len()), (false, 0));
    let said = books.absent[0].said();
    assert!(said.contains("nothing of partition 0;") && said.contains("3 records"), "{said}");
}

#[tokio::test]
async fn a_topic_that_was_created_anew_is_named_as_the_cause_with_the_remedy() {
    let stage = Stage::new().await.with_table().await;
    stage.append("events", 0, &[GOOD, GOOD, GOOD]).await;
    let mut running = stage.process(0);
    running.until_read(3).await;
    running.drain().await;
    let mut sink = stage.store();
    sink.until_read(3).await;
    sink.drain().await;
    assert!(stage.books().await.balanced);

    for (topic, task) in [("clean", "events.sink.0"), ("events", "events.clean.0")] {
        let name = topic_name(topic).unwrap();
        stage.log.delete_topic(&name);
        let config =
            TopicConfig { partitions: PARTITIONS, kind: TopicKind::Events, retention: None };
        stage.log.admin().ensure_topic(&stage.cx, &name, &config).await.unwrap();
        stage.append(topic, 0, &[GOOD]).await;
        let books = stage.books().await;
        assert!(!books.balanced);
        let cause = books.faults.iter().find(|fault| fault.contains(task));
        let cause = cause.unwrap_or_else(|| panic!("{topic}: {:?}", books.faults));
        assert!(cause.contains("created anew"), "{cause}");
        assert!(cause.contains("`millstream tasks reset`"), "{cause}");
    }
}
