//! What a spool guarantees, whatever happens to the journal, the cluster and the disk.

use std::time::Duration;

use millstream_log::memory::{Fullness, Gaps, Limits, MemoryLog, Outcome};
use millstream_log::{Log, Owner};
use millstream_model::{ErrorClass, Offset, Timestamp};
use millstream_pipeline::spool::Position;
use millstream_pipeline::{Counts, DeadLetter, TaskState};
use millstream_runtime::{Clock, Rng};

use crate::spool_stage::{SpoolStage, input, letters, values};
use crate::stage::task_id;

const GOOD: [&str; 3] = ["a", "b", "c"];

#[tokio::test(start_paused = true)]
async fn what_is_accepted_is_forwarded_in_order_and_the_journal_knows() {
    let stage = SpoolStage::new().await;
    stage.accept(&GOOD).await;
    let mut running = stage.start();
    running.until_done(3).await;
    stage.accept(&["d"]).await;
    let status = running.until_done(4).await;
    assert_eq!(stage.forwarded(), ["a", "b", "c", "d"]);
    assert_eq!(status.counts, Counts { read: 4, written: 4, ..Counts::default() });
    running.drain().await;
    let task = task_id("test.spool.events.0");
    let here = stage.local.committed(&stage.cx, &task).await.unwrap().unwrap();
    assert_eq!(here.consumed[&input()].offset, Offset(4));
    assert_eq!(Counts::of_committed(&here).unwrap().written, 4);
    let there = stage.remote.log.committed(&stage.cx, &stage.settings().remote_task).await;
    let there = Position::of_committed(&there.unwrap().unwrap()).unwrap();
    assert_eq!(there, stage.registered().await);
    assert_eq!(there.unwrap().next, here.consumed[&input()]);
}

#[tokio::test(start_paused = true)]
async fn records_keep_their_key_time_and_headers() {
    let stage = SpoolStage::new().await;
    stage.accept(&GOOD).await;
    stage.forward_until(3).await;
    let records = |log: &MemoryLog| -> Vec<_> {
        log.records(&input()).iter().map(|batch| batch.records.clone()).collect()
    };
    assert_eq!(records(&stage.local), records(&stage.remote.log));
}

#[tokio::test(start_paused = true)]
async fn the_journal_is_told_at_most_once_an_interval() {
    let stage = SpoolStage::new().await;
    stage.accept(&GOOD).await;
    let mut running = stage.start();
    running.until_done(3).await;
    assert_eq!(stage.registered().await, None, "a sync for each transaction would be too many");
    running.until(|status| status.state == TaskState::Idle).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(stage.registered().await.map(|at| at.next.offset), Some(Offset(3)));
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_on_either_side_neither_loses_nor_doubles() {
    for outcome in [Outcome::Lost, Outcome::Committed] {
        for gaps in [Gaps::None, Gaps::ControlRecords] {
            let stage = SpoolStage::new().await;
            stage.remote.log.set_gaps(gaps);
            stage.remote.log.fail_next_transact(outcome);
            stage.remote.log.fail_next_transact(outcome);
            stage.local.fail_next_transact(outcome);
            stage.accept(&GOOD).await;
            let mut running = stage.start();
            running.until_done(3).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            stage.accept(&["d"]).await;
            running.until_done(4).await;
            running.drain().await;
            assert_eq!(stage.forwarded(), ["a", "b", "c", "d"], "{outcome:?} {gaps:?}");
            assert_eq!(stage.registered().await.map(|at| at.forwarded), Some(4));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_between_the_two_commits_doubles_nothing() {
    let stage = SpoolStage::new().await;
    for round in 1..4_u64 {
        stage.accept(&GOOD).await;
        let mut running = stage.start();
        running.until_done(round * 3).await;
        // Committed in the cluster, and the journal was not told.
        running.kill().await;
        let known = stage.registered().await.map_or(0, |at| at.forwarded);
        assert_eq!(known, (round - 1) * 3);
    }
    stage.forward_until(9).await;
    assert_eq!(stage.forwarded(), GOOD.repeat(3));
    assert_eq!(stage.registered().await.map(|at| at.forwarded), Some(9));
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_moment_neither_loses_nor_doubles() {
    let stage = SpoolStage::new().await;
    let mut expected = Vec::new();
    for round in 0..60_usize {
        let value = round.to_string();
        stage.accept(&[&value]).await;
        expected.push(value);
        let running = stage.start();
        // Each round the task gets a little further before it is dropped.
        for _ in 0..round {
            tokio::time::advance(Duration::from_millis(7)).await;
            tokio::task::yield_now().await;
        }
        running.kill().await;
    }
    stage.forward_until(60).await;
    assert_eq!(stage.forwarded(), expected);
}

#[tokio::test(start_paused = true)]
async fn with_the_cluster_away_nothing_is_refused_and_it_catches_up_in_order() {
    let stage = SpoolStage::new().await;
    stage.remote.gate.set_away(true);
    let mut running = stage.start();
    let mut expected = Vec::new();
    for round in 0..60 {
        let value = round.to_string();
        stage.accept(&[&value]).await;
        expected.push(value);
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let status = running.until(|status| status.lag() == 60).await;
    let TaskState::Stuck(stuck) = status.state else { panic!("it shows: {:?}", status.state) };
    assert_eq!((stuck.step.as_str(), stuck.class), ("open", ErrorClass::Transient));
    assert!(stuck.reason.contains("no broker answers"), "{}", stuck.reason);
    assert_eq!(status.oldest, Some(Timestamp::from_millis(5)));
    stage.remote.gate.set_away(false);
    let status = running.until_done(60).await;
    assert_eq!((status.oldest, status.lag()), (None, 0));
    assert_eq!(stage.forwarded(), expected);
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_forwarded_is_kept_even_if_the_cluster_was_never_there() {
    let mut stage = SpoolStage::new().await;
    stage.remote.gate.set_away(true);
    let running = stage.start();
    stage.accept(&GOOD).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let trimmed = stage.local.admin().trim(&stage.cx, &input(), Offset(1)).await;
    assert!(trimmed.is_err(), "the journal knows who has yet to read it");
    running.kill().await;
    stage.local = stage.local.restart();
    stage.remote.gate.set_away(false);
    stage.forward_until(3).await;
    assert_eq!(stage.forwarded(), GOOD);
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_missing_is_waited_for() {
    let mut stage = SpoolStage::new().await;
    let clock = Clock::manual(Timestamp::from_millis(1_000));
    stage.remote.log = MemoryLog::new(clock, Rng::from_seed(5));
    stage.accept(&GOOD).await;
    let mut running = stage.start();
    let status = running.until(|status| matches!(status.state, TaskState::Stuck(_))).await;
    let TaskState::Stuck(stuck) = status.state else { unreachable!("waited for it") };
    assert!(stuck.reason.contains("create the topic"), "{}", stuck.reason);
    assert!(values(&stage.local, &letters()).is_empty());
    stage.make_topics().await;
    running.until_done(3).await;
    assert_eq!(stage.forwarded(), GOOD);
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_refused_for_good_is_a_dead_letter_and_blocks_nothing() {
    let stage = SpoolStage::new().await;
    stage.remote.gate.refuse("bad");
    stage.accept(&["a", "b", "bad 1", "c", "bad 2", "bad 3", "d"]).await;
    let mut running = stage.start();
    let status = running.until_done(7).await;
    assert_eq!(status.counts, Counts { read: 7, written: 4, rejected: 3, ..Counts::default() });
    running.drain().await;
    assert_eq!(stage.forwarded(), ["a", "b", "c", "d"]);
    assert_eq!(values(&stage.local, &letters()), ["bad 1", "bad 2", "bad 3"]);
    let batches = stage.local.records(&letters());
    let (_, letter) = batches[0].iter().next().unwrap();
    let letter = DeadLetter::parse(letter.headers).unwrap();
    assert_eq!(letter.origin.to_string(), "events/0/2");
    assert_eq!((letter.pipeline.as_str(), letter.step.as_str()), ("spool", "0:forward"));
    assert!(letter.reason.contains("larger than the topic takes"), "{}", letter.reason);
}

#[tokio::test(start_paused = true)]
async fn a_record_larger_than_a_transaction_is_a_dead_letter() {
    let mut stage = SpoolStage::new().await;
    let limits = Limits { transaction_bytes_max: 2_000, ..Limits::default() };
    let clock = Clock::manual(Timestamp::from_millis(1_000));
    stage.remote.log = MemoryLog::with_limits(clock, Rng::from_seed(5), limits);
    stage.make_topics().await;
    let large = "x".repeat(3_000);
    let values_in: Vec<String> = (0..40).map(|n| format!("{n} {}", "y".repeat(500))).collect();
    for (index, value) in values_in.iter().enumerate() {
        stage.accept(&[value]).await;
        if index == 17 {
            stage.accept(&[&large]).await;
        }
    }
    stage.forward_until(41).await;
    assert_eq!(stage.forwarded(), values_in);
    assert_eq!(values(&stage.local, &letters()), [large]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_written_once_whatever_crashes() {
    // Lost or committed without an answer in the cluster, then the same in the journal; or a kill.
    for remote in [None, Some(Outcome::Lost), Some(Outcome::Committed)] {
        for local in [None, Some(Outcome::Lost), Some(Outcome::Committed)] {
            let stage = SpoolStage::new().await;
            stage.remote.gate.refuse("bad");
            stage.accept(&["bad"]).await;
            remote.into_iter().for_each(|outcome| stage.remote.log.fail_next_transact(outcome));
            local.into_iter().for_each(|outcome| stage.local.fail_next_transact(outcome));
            stage.forward_until(1).await;
            stage.accept(&["a"]).await;
            stage.forward_until(2).await;
            assert_eq!(values(&stage.local, &letters()), ["bad"], "{remote:?} {local:?}");
            assert_eq!(stage.forwarded(), ["a"]);
        }
    }
    let stage = SpoolStage::new().await;
    stage.remote.gate.refuse("bad");
    stage.accept(&["bad"]).await;
    stage.local.hold();
    let mut running = stage.start();
    stage.local.release();
    running.until(|status| status.counts.rejected == 1).await;
    running.kill().await;
    stage.accept(&["a"]).await;
    stage.forward_until(2).await;
    assert_eq!(values(&stage.local, &letters()), ["bad"]);
}

#[tokio::test(start_paused = true)]
async fn without_room_for_a_dead_letter_the_line_waits() {
    let stage = SpoolStage::new().await;
    stage.remote.gate.refuse("bad");
    stage.accept(&["bad", "a"]).await;
    stage.local.set_fullness(Fullness::NoRecords);
    let mut running = stage.start();
    let status = running.until(|status| matches!(status.state, TaskState::Stuck(_))).await;
    let TaskState::Stuck(stuck) = status.state else { unreachable!("waited for it") };
    assert_eq!((stuck.step.as_str(), stuck.class), ("register", ErrorClass::Overloaded));
    assert!(stage.forwarded().is_empty());
    stage.local.set_fullness(Fullness::Room);
    running.until_done(2).await;
    running.drain().await;
    assert_eq!(values(&stage.local, &letters()), ["bad"]);
    assert_eq!(stage.forwarded(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_wiped_disk_starts_anew_and_skips_nothing() {
    let mut stage = SpoolStage::new().await;
    stage.accept(&GOOD).await;
    stage.forward_until(3).await;
    let clock = Clock::manual(Timestamp::from_millis(1_000));
    stage.local = MemoryLog::new(clock, Rng::from_seed(77));
    stage.make_topics().await;
    stage.accept(&["d", "e"]).await;
    stage.forward_until(2).await;
    assert_eq!(stage.forwarded(), ["a", "b", "c", "d", "e"]);
}

#[tokio::test(start_paused = true)]
async fn a_fenced_forwarder_goes_on_when_nobody_moved_its_position() {
    let stage = SpoolStage::new().await;
    let mut running = stage.start();
    running.until(|status| status.state == TaskState::Idle).await;
    let task = stage.settings().remote_task;
    let thief = Owner { task, inputs: Vec::new(), renamed_from: None };
    stage.remote.log.open(&stage.cx, &thief).await.expect("the thief opens");
    stage.accept(&GOOD).await;
    running.until_done(3).await;
    assert_eq!(stage.forwarded(), GOOD);
    running.drain().await;
}
