//! What a sink worker guarantees, against a sink that fails in every way it may.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use millstream_log::memory::{Fullness, Outcome};
use millstream_log::{Log, OffsetBatch};
use millstream_model::{ErrorClass, LogPosition, TopicPartition};
use millstream_pipeline::sink::{
    CommitId, Config, Settings, SinkCommit, SinkError, SinkOpened, SinkPosition, SinkReject,
    SinkTask, Staged,
};
use millstream_pipeline::{Counts, DeadLetter, Sink, SinkWorker, TaskState};
use millstream_runtime::{Context, TaskKind, spawn};
use tokio::time::Instant;

use crate::stage::{PARTITIONS, Running, Stage, partition, task_id, topic_name};

/// What is durable in the sink, whatever happens to its worker.
#[derive(Debug, Default)]
struct Table {
    rows: Vec<String>,
    positions: BTreeMap<TopicPartition, SinkPosition>,
    last_commit: Option<(CommitId, Vec<SinkReject>)>,
    commits: u64,
    /// What happens to the next commits.
    failures: Vec<Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// Nothing is stored, and the answer is an error.
    Lost,
    /// All is stored, and the answer is an error.
    Stored,
    /// All is stored, and the answer never comes.
    Silent,
}

/// A sink in memory; rows that hold `misfit` are rejected.
#[derive(Debug, Default)]
struct MemorySink {
    table: Arc<Mutex<Table>>,
    rows: Vec<String>,
    positions: BTreeMap<TopicPartition, SinkPosition>,
    rejected: Vec<SinkReject>,
    since: Option<Instant>,
    inputs: Vec<TopicPartition>,
}

#[derive(Debug, thiserror::Error)]
#[error("the test wants it so")]
struct Wanted;

impl millstream_model::Classify for Wanted {
    fn class(&self) -> ErrorClass {
        ErrorClass::Transient
    }
}

impl MemorySink {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no test panics with the lock")
    }

    fn store(&mut self, id: &CommitId) {
        let mut table = self.table.lock().expect("no test panics with the lock");
        table.rows.append(&mut self.rows);
        table.positions.clone_from(&self.positions);
        table.last_commit = Some((id.clone(), self.rejected.clone()));
        table.commits += 1;
    }
}

#[async_trait]
impl Sink for MemorySink {
    async fn open(
        &mut self,
        _cx: &Context,
        inputs: &[TopicPartition],
    ) -> Result<SinkOpened, SinkError> {
        self.rows.clear();
        self.rejected.clear();
        self.since = None;
        self.inputs = inputs.to_vec();
        let stored = self.table().positions.clone();
        self.positions = stored;
        let positions = self.positions.values().cloned().collect();
        Ok(SinkOpened { positions, last_commit: self.table().last_commit.clone() })
    }

    async fn write(
        &mut self,
        _cx: &Context,
        partition: &TopicPartition,
        batch: &OffsetBatch,
        next: LogPosition,
    ) -> Result<(), SinkError> {
        let position = self.positions.entry(partition.clone()).or_insert(SinkPosition {
            partition: partition.clone(),
            next,
            rows: 0,
            rejected: 0,
        });
        position.next = next;
        for (offset, record) in batch.iter() {
            let text = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
            if text.contains("misfit") {
                let (field, reason) = (Some("f".to_owned()), "does not fit".to_owned());
                let partition = partition.clone();
                self.rejected.push(SinkReject { partition, offset, field, reason });
                position.rejected += 1;
            } else {
                self.rows.push(format!("{partition}@{offset} {text}"));
                position.rows += 1;
            }
        }
        self.since.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn staged(&self) -> Staged {
        let (rows, rejected) = (self.rows.len() as u64, self.rejected.len() as u64);
        Staged { rows, rejected, bytes: rows * 100, since: self.since }
    }

    async fn commit(&mut self, cx: &Context) -> Result<SinkCommit, SinkError> {
        let id = CommitId(format!("commit-{}", self.table().commits));
        let failure = self.table().failures.pop();
        if failure != Some(Failure::Lost) {
            self.store(&id);
        }
        match failure {
            None => {}
            Some(Failure::Silent) => return Err(SinkError::new("commit", cx.cancelled().await)),
            Some(Failure::Lost | Failure::Stored) => return Err(SinkError::new("commit", Wanted)),
        }
        self.since = None;
        let positions = self.positions.values().cloned().collect();
        Ok(SinkCommit { id, positions, rejected: std::mem::take(&mut self.rejected) })
    }
}

fn sink_settings() -> Settings {
    let task = |number| SinkTask {
        task: task_id(&format!("test.sink.{number}")),
        renamed_from: None,
        input: partition("clean", number),
    };
    Settings {
        name: task_id("test.sink"),
        sink: "table".to_owned(),
        tasks: (0..PARTITIONS).map(task).collect(),
        dead_letters: topic_name("dead"),
        dead_letter_partitions: 1,
        config: Config::default(),
    }
}

fn start(stage: &Stage, table: &Arc<Mutex<Table>>) -> Running {
    let sink = MemorySink { table: Arc::clone(table), ..MemorySink::default() };
    let (worker, status) = SinkWorker::new(sink_settings(), sink, stage.surroundings());
    let cx = stage.cx.child();
    let task = {
        let cx = cx.clone();
        spawn(&stage.cx, TaskKind("sink"), async move { worker.run(&cx).await })
    };
    Running { cx, status, task }
}

/// Appends to both partitions, `misfit` to the first.
async fn append(stage: &Stage) {
    stage.append(&partition("clean", 0), &["a", "misfit", "b"]).await;
    stage.append(&partition("clean", 1), &["c"]).await;
}

/// Checks that what [`append`] appended is stored once, and registered in the log.
async fn check_stored(stage: &Stage, table: &Arc<Mutex<Table>>) {
    let mut rows = table.lock().expect("no test panics with the lock").rows.clone();
    rows.sort();
    assert_eq!(rows, ["clean-0@0 a", "clean-0@2 b", "clean-1@0 c"]);
    assert_eq!(stage.values(&partition("dead", 0)), ["misfit"]);
    let batches = stage.log.records(&partition("dead", 0));
    let (_, record) = batches[0].iter().next().expect("a dead letter");
    let letter = DeadLetter::parse(record.headers).expect("a dead letter");
    assert_eq!(letter.origin.to_string(), "clean/0/1");
    assert_eq!((letter.step.as_str(), letter.pipeline.as_str()), ("0:sink", "table"));
    let committed = stage.log.committed(&stage.cx, &task_id("test.sink.0")).await;
    let committed = committed.expect("the log answers").expect("the task began");
    let expected = Counts { read: 3, written: 2, rejected: 1, ..Counts::default() };
    assert_eq!(Counts::of_committed(&committed), Ok(expected));
    assert_eq!(committed.consumed[&partition("clean", 0)].offset.0, 3);
}

#[tokio::test(start_paused = true)]
async fn rows_are_committed_and_registered_and_rejects_become_dead_letters() {
    let (stage, table) = (Stage::new().await, Arc::default());
    append(&stage).await;
    let mut running = start(&stage, &table);
    let status = running.until_done(4).await;
    assert_eq!((status.counts.read, status.counts.written, status.counts.rejected), (4, 3, 1));
    check_stored(&stage, &table).await;
    running.drain().await;
    assert_eq!(table.lock().unwrap().commits, 1, "an empty commit is skipped");
}

#[tokio::test(start_paused = true)]
async fn a_commit_in_doubt_neither_loses_nor_doubles() {
    for failures in [
        vec![Failure::Lost],
        vec![Failure::Stored],
        vec![Failure::Silent],
        vec![Failure::Stored, Failure::Lost, Failure::Lost],
    ] {
        let (stage, table) = (Stage::new().await, Arc::<Mutex<Table>>::default());
        table.lock().unwrap().failures = failures.clone();
        append(&stage).await;
        let mut running = start(&stage, &table);
        running.until_done(4).await;
        check_stored(&stage, &table).await;
        running.drain().await;
        assert!(table.lock().unwrap().failures.is_empty(), "{failures:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_registration_in_doubt_neither_loses_nor_doubles_dead_letters() {
    for outcome in [Outcome::Lost, Outcome::Committed] {
        let (stage, table) = (Stage::new().await, Arc::default());
        stage.log.fail_next_transact(outcome);
        stage.log.fail_next_transact(outcome);
        append(&stage).await;
        let mut running = start(&stage, &table);
        running.until_done(4).await;
        check_stored(&stage, &table).await;
        running.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_moment_neither_loses_nor_doubles() {
    let (stage, table) = (Stage::new().await, Arc::default());
    for round in 0..60_u32 {
        let text = if round % 5 == 0 { format!("misfit {round}") } else { format!("row {round}") };
        stage.append(&partition("clean", round % 2), &[&text]).await;
        let running = start(&stage, &table);
        tokio::time::advance(std::time::Duration::from_millis(u64::from(round * 40))).await;
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        running.kill().await;
    }
    let mut running = start(&stage, &table);
    running.until_done(60).await;
    running.drain().await;
    let mut found: Vec<String> = table.lock().unwrap().rows.clone();
    let rows = found.len();
    found.sort();
    found.dedup();
    assert_eq!((found.len(), rows), (48, 48), "each row once");
    let mut dead = stage.values(&partition("dead", 0));
    dead.sort();
    dead.dedup();
    assert_eq!((dead.len(), stage.values(&partition("dead", 0)).len()), (12, 12));
}

#[tokio::test(start_paused = true)]
async fn a_drain_commits_what_is_staged() {
    let (stage, table) = (Stage::new().await, Arc::<Mutex<Table>>::default());
    let mut running = start(&stage, &table);
    running.until(|status| status.state == TaskState::Idle).await;
    append(&stage).await;
    running.until(|status| status.state == TaskState::Running).await;
    running.drain().await;
    // Staged or not yet read: the next start finds the rest.
    let mut running = start(&stage, &table);
    running.until_done(4).await;
    check_stored(&stage, &table).await;
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn dead_letters_wait_for_room_and_rows_are_not_committed_again() {
    let (stage, table) = (Stage::new().await, Arc::default());
    append(&stage).await;
    stage.log.set_fullness(Fullness::NoRecords);
    let mut running = start(&stage, &table);
    let status = running.until(|status| matches!(status.state, TaskState::Stuck(_))).await;
    let TaskState::Stuck(stuck) = status.state else { unreachable!("waited for it") };
    assert_eq!((stuck.step.as_str(), stuck.class), ("register", ErrorClass::Overloaded));
    stage.log.set_fullness(Fullness::Room);
    running.until_done(4).await;
    check_stored(&stage, &table).await;
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_lost_its_rows_is_refused_with_the_remedy() {
    let (stage, table) = (Stage::new().await, Arc::<Mutex<Table>>::default());
    append(&stage).await;
    let mut running = start(&stage, &table);
    running.until_done(4).await;
    running.drain().await;
    let older = table.lock().unwrap().positions.clone();

    *table.lock().unwrap() = Table::default();
    check_refused(&stage, &table, "bring the table back").await;

    let mut set_back = older;
    let position = set_back.get_mut(&partition("clean", 0)).expect("stored");
    position.next.offset = millstream_model::Offset(1);
    table.lock().unwrap().positions = set_back;
    check_refused(&stage, &table, "set back to an older snapshot").await;
}

async fn check_refused(stage: &Stage, table: &Arc<Mutex<Table>>, remedy: &str) {
    let mut running = start(stage, table);
    let status = running.until(|status| matches!(status.state, TaskState::Stuck(_))).await;
    let TaskState::Stuck(stuck) = status.state else { unreachable!("waited for it") };
    assert_eq!((stuck.step.as_str(), stuck.class), ("open", ErrorClass::Invalid));
    assert!(stuck.reason.contains(remedy), "{}", stuck.reason);
    running.drain().await;
    let rows = table.lock().expect("no test panics with the lock").rows.len();
    assert!(rows <= 3, "nothing is stored twice");
}
