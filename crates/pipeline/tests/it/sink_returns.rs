//! A sink that was away for longer than `orphan_hold`: the log has released its tasks meanwhile.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_log::journal::{self, Journal};
use millstream_log::memory::MemoryLog;
use millstream_log::{FetchLimits, Log, LogAdmin, Owner, TopicConfig, TopicKind};
use millstream_model::{ByteSize, ErrorClass, Offset, Timestamp, TopicPartition};
use millstream_pipeline::processor::Surroundings;
use millstream_pipeline::{SinkWorker, TaskState};
use millstream_runtime::disk::RealDisk;
use millstream_runtime::{Clock, Context, Rng, TaskKind, spawn};

use crate::memory_sink::{MemorySink, Table};
use crate::sink::sink_settings;
use crate::stage::{Running, batch, partition, topic_name};

const WEEK_AND_MORE: Duration = Duration::from_secs(8 * 86_400);

/// A log that can be told that the sink's tasks left the configuration long ago.
enum Home {
    Memory(MemoryLog),
    Journal { journal: Journal, dir: tempfile::TempDir, clock: Clock, seed: u64 },
}

impl Home {
    fn memory() -> Self {
        let clock = Clock::manual(Timestamp::from_millis(1_000));
        Self::Memory(MemoryLog::new(clock, Rng::from_seed(7)))
    }

    fn journal() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let clock = Clock::manual(Timestamp::from_millis(1_000_000));
        let journal = open_journal(dir.path().join("journal"), &clock, 1);
        Self::Journal { journal, dir, clock, seed: 1 }
    }

    fn log(&self) -> Arc<dyn Log> {
        match self {
            Self::Memory(log) => Arc::new(log.clone()),
            Self::Journal { journal, .. } => Arc::new(journal.clone()),
        }
    }

    fn admin(&self) -> Arc<dyn LogAdmin> {
        self.log().admin()
    }

    /// Lets the log run for longer than `orphan_hold` without the sink.
    async fn release_sink(&mut self) {
        match self {
            Self::Memory(log) => {
                for task in sink_settings().tasks {
                    log.release_task(&task.task);
                }
            }
            Self::Journal { journal, dir, clock, seed } => {
                journal.close();
                *seed += 1;
                *journal = open_journal(dir.path().join("journal"), clock, *seed);
                clock.advance(WEEK_AND_MORE);
                journal.maintain().await;
            }
        }
        let tasks = self.admin().tasks(&cx()).await.expect("the log answers");
        assert!(tasks.is_empty(), "{tasks:?} hold records back still");
    }
}

fn open_journal(dir: PathBuf, clock: &Clock, seed: u64) -> Journal {
    let config = journal::Config {
        disk_free_min: ByteSize(0),
        reserve_bytes: ByteSize(0),
        // Records go when a test trims them, rounds come when it asks for them.
        retention: 100 * WEEK_AND_MORE,
        retention_interval: Duration::from_secs(3600),
        ..journal::Config::default()
    };
    let (disk, clock, rng) = (Arc::new(RealDisk), clock.clone(), Rng::from_seed(seed));
    let settings = journal::Settings { dir, disk, clock, rng };
    Journal::open(config, settings).expect("it opens")
}

fn cx() -> Context {
    Context::background()
}

async fn create_topics(home: &Home) {
    for (topic, partitions, kind) in
        [("clean", 2, TopicKind::Events), ("dead", 1, TopicKind::DeadLetters)]
    {
        let config = TopicConfig { partitions, kind, retention: None };
        home.admin().ensure_topic(&cx(), &topic_name(topic), &config).await.expect("created");
    }
}

async fn append(home: &Home, values: &[&str]) {
    let append = home.log().enqueue(vec![(partition("clean", 0), batch(values))]);
    append.expect("there is room").await.expect("it is durable");
}

async fn values(home: &Home, of: &TopicPartition) -> Vec<String> {
    let log = home.log();
    let start = log.bounds(&cx(), of).await.expect("it exists").start;
    let mut reader = log.reader(&cx(), of, start).await.expect("it is readable");
    let mut values = Vec::new();
    loop {
        let limits = FetchLimits { bytes_max: 1 << 20, wait_max: Duration::ZERO };
        let fetched = reader.fetch(&cx(), limits).await.expect("it is readable");
        if fetched.is_empty() {
            return values;
        }
        let records = fetched.batches.iter().flat_map(|batch| batch.iter());
        values.extend(records.map(|(_, record)| {
            String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned()
        }));
    }
}

fn start(home: &Home, table: &Arc<Mutex<Table>>) -> Running {
    let sink = MemorySink::of(table);
    let clock = Clock::manual(Timestamp::from_millis(1_000));
    let surroundings = Surroundings { log: home.log(), clock, rng: Rng::from_seed(11) };
    let mut settings = sink_settings();
    settings.config.commit_interval = Duration::from_millis(10);
    let (worker, status) = SinkWorker::new(settings, sink, surroundings);
    let cx = cx();
    let run = cx.clone();
    let task = spawn(&cx, TaskKind("sink"), async move { worker.run(&run).await });
    Running { cx, status, task }
}

fn rows(table: &Mutex<Table>) -> Vec<String> {
    table.lock().expect("no test panics with the lock").rows.clone()
}

/// Stores three records, one of them rejected, and registers it all.
async fn store_and_leave(home: &Home, table: &Arc<Mutex<Table>>) {
    create_topics(home).await;
    append(home, &["a", "misfit", "b"]).await;
    let mut running = start(home, table);
    running.until_done(3).await;
    running.drain().await;
    assert_eq!(values(home, &partition("dead", 0)).await, ["misfit"]);
}

async fn goes_on_where_it_was(mut home: Home) {
    let table = Arc::default();
    store_and_leave(&home, &table).await;
    home.release_sink().await;
    append(&home, &["c", "misfit too"]).await;
    let mut running = start(&home, &table);
    running.until_done(5).await;
    running.drain().await;
    assert_eq!(values(&home, &partition("dead", 0)).await, ["misfit", "misfit too"]);
    assert_eq!(rows(&table), ["clean-0@0 a", "clean-0@2 b", "clean-0@3 c"]);
}

#[tokio::test]
async fn a_sink_that_returns_goes_on_and_writes_no_dead_letter_twice() {
    goes_on_where_it_was(Home::memory()).await;
    goes_on_where_it_was(Home::journal()).await;
}

/// The sink was stopped for good between its commit and the registration of it.
async fn writes_what_it_had_not(mut home: Home) {
    let table: Arc<Mutex<Table>> = Arc::default();
    store_and_leave(&home, &table).await;
    append(&home, &["misfit late"]).await;
    commit_alone(&home, &table).await;
    home.release_sink().await;
    for _ in 0..2 {
        let mut running = start(&home, &table);
        running.until_done(4).await;
        running.drain().await;
        assert_eq!(values(&home, &partition("dead", 0)).await, ["misfit", "misfit late"]);
    }
}

/// Commits what is there to the table, and does not tell the log.
async fn commit_alone(home: &Home, table: &Arc<Mutex<Table>>) {
    use millstream_pipeline::Sink as _;
    let mut sink = MemorySink::of(table);
    let input = partition("clean", 0);
    let opened = sink.open(&cx(), std::slice::from_ref(&input)).await.expect("it opens");
    let stored = opened.positions.iter().find(|stored| stored.partition == input);
    let log = home.log();
    let start = log.bounds(&cx(), &input).await.expect("it exists").start;
    let from = stored.map_or(start, |stored| stored.next);
    let mut reader = log.reader(&cx(), &input, from).await.expect("it is readable");
    let limits = FetchLimits { bytes_max: 1 << 20, wait_max: Duration::ZERO };
    let fetched = reader.fetch(&cx(), limits).await.expect("it is readable");
    for batch in &fetched.batches {
        sink.write(&cx(), &input, batch, fetched.next).await.expect("it is staged");
    }
    sink.commit(&cx()).await.expect("it is committed");
}

#[tokio::test]
async fn dead_letters_that_a_sink_left_unwritten_are_written_once_when_it_returns() {
    writes_what_it_had_not(Home::memory()).await;
    writes_what_it_had_not(Home::journal()).await;
}

/// The records that the sink had not read are gone.
async fn refuses_a_gap(mut home: Home) {
    let table = Arc::default();
    store_and_leave(&home, &table).await;
    home.release_sink().await;
    append(&home, &["c", "d"]).await;
    trim(&home, 4).await;
    let stuck = until_stuck(&home, &table).await;
    assert_eq!((stuck.step.as_str(), stuck.class), ("open", ErrorClass::Invalid));
    assert!(stuck.reason.contains("before its first readable offset 4"), "{}", stuck.reason);
    assert_eq!(rows(&table).len(), 2, "nothing is skipped silently");
}

#[tokio::test]
async fn a_sink_that_returns_after_its_records_were_deleted_is_refused() {
    refuses_a_gap(Home::memory()).await;
    refuses_a_gap(Home::journal()).await;
}

/// The sink's very first commit was not registered, and what it rejected is gone.
async fn refuses_lost_dead_letters(mut home: Home) {
    let table = Arc::default();
    create_topics(&home).await;
    append(&home, &["a", "misfit", "b"]).await;
    let task = sink_settings().tasks.remove(0);
    let owner = Owner { task: task.task, inputs: vec![task.input], renamed_from: None };
    home.log().open(&cx(), &owner).await.expect("it opens");
    commit_alone(&home, &table).await;
    home.release_sink().await;
    trim(&home, 2).await;
    let stuck = until_stuck(&home, &table).await;
    assert_eq!((stuck.step.as_str(), stuck.class), ("register", ErrorClass::Invalid));
    for part in ["record 1 of clean-0", "begins at offset 2", "`orphan_hold`", "another name"] {
        assert!(stuck.reason.contains(part), "{part}: {}", stuck.reason);
    }
    assert!(values(&home, &partition("dead", 0)).await.is_empty());
}

#[tokio::test]
async fn dead_letters_that_cannot_be_written_any_more_are_named_and_nothing_goes_on() {
    refuses_lost_dead_letters(Home::memory()).await;
    refuses_lost_dead_letters(Home::journal()).await;
}

async fn trim(home: &Home, before: u64) {
    let trimmed = home.admin().trim(&cx(), &partition("clean", 0), Offset(before)).await;
    trimmed.expect("nobody holds it");
}

async fn until_stuck(home: &Home, table: &Arc<Mutex<Table>>) -> millstream_pipeline::Stuck {
    let mut running = start(home, table);
    let status = running.until(|status| matches!(status.state, TaskState::Stuck(_))).await;
    running.drain().await;
    match status.state {
        TaskState::Stuck(stuck) => stuck,
        other => unreachable!("waited for it: {other:?}"),
    }
}
