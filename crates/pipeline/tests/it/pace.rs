//! When a processor commits: control records alone, and records that are gathered.

use std::time::Duration;

use millstream_log::Log;
use millstream_log::memory::Gaps;
use millstream_model::Offset;
use millstream_pipeline::{TaskState, TaskStatus};
use tokio::time::Instant;

use crate::stage::{Stage, partition, settings};

const EVENT: &str = r#"{"user_id":"a"}"#;

async fn consumed(stage: &Stage) -> Offset {
    let committed = stage.log.committed(&stage.cx, &settings(0).task).await;
    let committed = committed.expect("the log answers").unwrap_or_default();
    committed.consumed.get(&partition("events", 0)).map_or(Offset::ZERO, |next| next.offset)
}

async fn end(stage: &Stage) -> Offset {
    let bounds = stage.log.bounds(&stage.cx, &partition("events", 0)).await;
    bounds.expect("the partition exists").end.offset
}

#[tokio::test(start_paused = true)]
async fn behind_the_last_record_control_records_are_consumed_too() {
    let stage = Stage::new().await;
    stage.log.set_gaps(Gaps::ControlRecords);
    let mut running = stage.process(settings(0));
    for round in 1..4 {
        stage.append_in_transaction(&partition("events", 0), &[EVENT]).await;
        let is_done = |status: &TaskStatus| {
            status.counts.read == round && status.lag() == 0 && status.state == TaskState::Idle
        };
        running.until(is_done).await;
        assert_eq!(consumed(&stage).await, end(&stage).await);
    }
    running.drain().await;
    assert_eq!(stage.values(&partition("clean", 0)), [EVENT; 3]);
    assert!(stage.values(&partition("dead", 0)).is_empty());
}

#[tokio::test(start_paused = true)]
async fn control_records_alone_are_committed_at_most_once_a_second() {
    let stage = Stage::new().await;
    stage.log.set_gaps(Gaps::ControlRecords);
    let mut running = stage.process(settings(0));
    running.until(|status| status.state == TaskState::Idle).await;
    let mut seen = vec![consumed(&stage).await];
    let began = Instant::now();
    for _ in 0..100 {
        // An aborted transaction leaves offsets that nobody ever reads.
        stage.abort_transaction(&partition("events", 0), &["lost"]).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        seen.push(consumed(&stage).await);
    }
    seen.dedup();
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!((5..=seconds + 2).contains(&seen.len()), "{} in {seconds} s: {seen:?}", seen.len());
    running.until(|status| status.state == TaskState::Idle).await;
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_between_control_records_neither_loses_nor_doubles() {
    let stage = Stage::new().await;
    stage.log.set_gaps(Gaps::ControlRecords);
    let mut expected = Vec::new();
    for round in 0..40_usize {
        let event = format!("{{\"user_id\":\"u\",\"n\":{round}}}");
        stage.append_in_transaction(&partition("events", 0), &[&event]).await;
        stage.abort_transaction(&partition("events", 0), &["lost"]).await;
        expected.push(event);
        let running = stage.process(settings(0));
        for _ in 0..round {
            tokio::time::advance(Duration::from_millis(50)).await;
            tokio::task::yield_now().await;
        }
        running.kill().await;
    }
    let mut running = stage.process(settings(0));
    let is_done = |status: &TaskStatus| status.counts.read == 40 && status.lag() == 0;
    running.until(is_done).await;
    running.drain().await;
    assert_eq!(stage.values(&partition("clean", 0)), expected);
}

#[tokio::test(start_paused = true)]
async fn where_transactions_are_slow_records_are_gathered_for_one() {
    for (interval, transactions) in [(Duration::ZERO, 20), (Duration::from_millis(100), 2)] {
        let stage = Stage::new().await;
        stage.log.set_gaps(Gaps::ControlRecords);
        let mut settings = settings(0);
        settings.transaction_interval = interval;
        let mut running = stage.process(settings);
        running.until(|status| status.state == TaskState::Idle).await;
        for _ in 0..20 {
            stage.append(&partition("events", 0), &[EVENT]).await;
            tokio::time::sleep(Duration::from_millis(9)).await;
        }
        running.until(|status| status.counts.read == 20).await;
        // Each transaction leaves its records and one control record.
        let bounds = stage.log.bounds(&stage.cx, &partition("clean", 0)).await.unwrap();
        assert_eq!(bounds.end.offset, Offset(20 + transactions), "{interval:?}");
        assert_eq!(stage.values(&partition("clean", 0)), [EVENT; 20]);
        running.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_gathered_is_no_more_than_a_batch() {
    let stage = Stage::new().await;
    stage.log.set_gaps(Gaps::ControlRecords);
    let mut settings = settings(0);
    settings.transaction_interval = Duration::from_secs(5);
    settings.config.batch_bytes_max = millstream_model::ByteSize::kib(1);
    let event = format!("{{\"user_id\":\"{}\"}}", "x".repeat(400));
    stage.append(&partition("events", 0), &[event.as_str(); 12]).await;
    let began = Instant::now();
    let mut running = stage.process(settings);
    running.until(|status| status.counts.read >= 9).await;
    assert!(began.elapsed() < Duration::from_secs(5), "a full batch does not wait");
    running.until(|status| status.counts.read == 12).await;
    running.drain().await;
    assert_eq!(stage.values(&partition("clean", 0)).len(), 12);
}
