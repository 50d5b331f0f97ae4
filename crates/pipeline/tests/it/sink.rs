//! What a sink worker guarantees, against a sink that fails in every way it may.

use std::sync::{Arc, Mutex};

use millstream_log::Log;
use millstream_log::memory::{Fullness, Gaps, Outcome};
use millstream_model::ErrorClass;
use millstream_pipeline::sink::{Config, Settings, SinkTask};
use millstream_pipeline::{Counts, DeadLetter, SinkWorker, TaskState};
use millstream_runtime::{TaskKind, spawn};

use crate::memory_sink::{Failure, MemorySink, Table};
use crate::stage::{PARTITIONS, Running, Stage, partition, task_id, topic_name};

pub(crate) fn sink_settings() -> Settings {
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
    start_with(stage, table, sink_settings())
}

/// Starts a worker; several may share a table.
pub(crate) fn start_with(stage: &Stage, table: &Arc<Mutex<Table>>, settings: Settings) -> Running {
    let sink = MemorySink::of(table);
    let (worker, status) = SinkWorker::new(settings, sink, stage.surroundings());
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

#[tokio::test(start_paused = true)]
async fn behind_the_last_row_control_records_are_no_lag_and_no_commit_of_the_table() {
    let (stage, table) = (Stage::new().await, Arc::default());
    stage.log.set_gaps(Gaps::ControlRecords);
    let input = partition("clean", 0);
    for round in 0..3_u64 {
        stage.append_in_transaction(&input, &["a", "misfit"]).await;
        let mut running = start(&stage, &table);
        let end = stage.log.bounds(&stage.cx, &input).await.expect("it exists").end.offset;
        let is_done = |status: &millstream_pipeline::TaskStatus| {
            status.state == TaskState::Idle && status.lag() == 0 && status.counts.read > 2 * round
        };
        running.until(is_done).await;
        let committed = stage.log.committed(&stage.cx, &task_id("test.sink.0")).await;
        let committed = committed.expect("the log answers").expect("the task began");
        assert_eq!(committed.consumed[&input].offset, end);
        let stored = table.lock().unwrap().positions[&input].next.offset;
        assert!(stored < end, "the table stands at its last row");
        // Started again without anything new: not taken for a table that was set back.
        running.drain().await;
        let mut running = start(&stage, &table);
        let idle = running.until(|status| status.state == TaskState::Idle && status.lag() == 0);
        idle.await;
        running.drain().await;
    }
    let table = table.lock().unwrap();
    assert_eq!((table.commits, table.rows.len()), (3, 3));
    assert_eq!(stage.values(&partition("dead", 0)), ["misfit"; 3]);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_that_a_broker_rejects_are_halved_and_one_too_large_alone_stops_the_sink() {
    let (stage, table) = (Stage::new().await, Arc::default());
    let (input, dead) = (partition("clean", 0), partition("dead", 0));
    stage.log.set_batch_bytes_max(&dead.topic, 1_000);
    let misfits: Vec<String> = (0..20).map(|n| format!("misfit {n}")).collect();
    let texts: Vec<&str> = misfits.iter().map(String::as_str).collect();
    stage.append(&input, &texts).await;
    let mut running = start(&stage, &table);
    running.until_done(20).await;
    assert_eq!(stage.values(&dead), misfits);
    let large = format!("misfit {}", "x".repeat(2_000));
    stage.append(&input, &["misfit a", &large, "misfit b"]).await;
    let stuck = |status: &millstream_pipeline::TaskStatus| matches!(&status.state, TaskState::Stuck(stuck) if stuck.step == "register");
    running.until(stuck).await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(stage.values(&dead).len(), 21, "what is before it is written once, it never");
    stage.log.set_batch_bytes_max(&dead.topic, 10_000);
    running.until_done(23).await;
    assert_eq!(stage.values(&dead)[20..], ["misfit a".to_owned(), large, "misfit b".to_owned()]);
    assert_eq!(table.lock().unwrap().commits, 2, "rows are not committed again");
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_created_anew_under_a_sink_is_refused_before_anything_is_committed() {
    let (stage, table) = (Stage::new().await, Arc::<Mutex<Table>>::default());
    let input = partition("clean", 0);
    append(&stage).await;
    let mut running = start(&stage, &table);
    running.until_done(4).await;
    // Staged, and not yet committed when the topic goes.
    stage.append(&input, &["d"]).await;
    running.until(|status| status.state == TaskState::Running).await;
    stage.log.delete_topic(&input.topic);
    let stage = Stage::on(stage.log.clone()).await;
    stage.append(&input, &["1", "2", "3", "4", "5", "6"]).await;
    let refused = |status: &millstream_pipeline::TaskStatus| matches!(&status.state, TaskState::Stuck(stuck) if stuck.reason.contains("created anew"));
    let status = running.until(refused).await;
    let TaskState::Stuck(stuck) = status.state else { unreachable!("waited for it") };
    assert_eq!(stuck.class, ErrorClass::Invalid);
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(table.lock().unwrap().commits, 1, "nothing of either topic is committed");
    running.drain().await;
    check_refused(&stage, &table, "created anew").await;
}
