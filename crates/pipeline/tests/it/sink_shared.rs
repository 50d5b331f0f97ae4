//! Several workers store into one table, and one of them dies: what it left is done by another.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use millstream_pipeline::sink::Settings;
use millstream_pipeline::{TaskState, TaskStatus};

use crate::memory_sink::{Failure, Table};
use crate::sink::{sink_settings, start_with};
use crate::stage::{Stage, partition};

type SharedTable = Arc<Mutex<Table>>;

/// A worker that owns one partition.
fn settings_of(number: usize) -> Settings {
    let mut settings = sink_settings();
    settings.tasks = vec![settings.tasks.swap_remove(number)];
    settings
}

fn commits(table: &SharedTable) -> u64 {
    table.lock().expect("no test panics with the lock").commits
}

/// Lets a worker of the other partition commit, twice.
async fn commit_elsewhere(stage: &Stage, table: &SharedTable) {
    let before = commits(table);
    for read in 1..=2 {
        stage.append(&partition("clean", 1), &["c"]).await;
        let mut running = start_with(stage, table, settings_of(1));
        running.until_done(read).await;
        running.drain().await;
    }
    assert_eq!(commits(table), before + 2);
}

/// Lets one worker after the other take everything over; dead letters must be these, in order.
async fn check_dead_letters(stage: &Stage, table: &SharedTable, expected: &[&str]) {
    for _ in 0..2 {
        let mut running = start_with(stage, table, sink_settings());
        running.until(|status| status.state == TaskState::Idle && status.lag() == 0).await;
        running.drain().await;
        assert_eq!(stage.values(&partition("dead", 0)), expected);
    }
    assert_eq!(table.lock().expect("no test panics with the lock").rows.len(), 4, "rows are once");
}

#[tokio::test(start_paused = true)]
async fn dead_letters_of_a_killed_worker_are_written_after_others_committed() {
    let (stage, table) = (Stage::new().await, SharedTable::default());
    table.lock().unwrap().failures = vec![Failure::Silent];
    stage.append(&partition("clean", 0), &["a", "misfit", "b"]).await;
    let running = start_with(&stage, &table, settings_of(0));
    while commits(&table) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    running.kill().await;
    commit_elsewhere(&stage, &table).await;
    assert!(stage.values(&partition("dead", 0)).is_empty(), "nobody had the partition since");
    check_dead_letters(&stage, &table, &["misfit"]).await;
}

#[tokio::test(start_paused = true)]
async fn dead_letters_that_a_killed_worker_wrote_in_part_are_completed_and_not_doubled() {
    let (stage, table) = (Stage::new().await, SharedTable::default());
    let dead = partition("dead", 0);
    stage.log.set_batch_bytes_max(&dead.topic, 1_000);
    let large = format!("misfit {}", "x".repeat(2_000));
    let values = ["a", "misfit 1", "misfit 2", &large, "misfit 3", "b"];
    stage.append(&partition("clean", 0), &values).await;
    let mut running = start_with(&stage, &table, settings_of(0));
    let is_stuck = |status: &TaskStatus| matches!(&status.state, TaskState::Stuck(_));
    running.until(is_stuck).await;
    // Long enough to get as far as the one that is too large.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(stage.values(&dead), values[1..3]);
    running.kill().await;
    commit_elsewhere(&stage, &table).await;
    stage.log.set_batch_bytes_max(&dead.topic, 10_000);
    check_dead_letters(&stage, &table, &values[1..5]).await;
}
