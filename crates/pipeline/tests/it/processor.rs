//! What a processor guarantees, whatever happens to its transactions.

use std::time::Duration;

use millstream_log::memory::{Fullness, Gaps, Limits, MemoryLog, Outcome};
use millstream_log::{Log, Owner};
use millstream_model::{ByteSize, ErrorClass, Offset, Timestamp};
use millstream_pipeline::counts::Beginning;
use millstream_pipeline::processor::Settings;
use millstream_pipeline::step::{StepConfig, default};
use millstream_pipeline::{Counts, DeadLetter, TaskState};
use millstream_runtime::{Clock, Rng};

use crate::stage::{Stage, partition, settings, topic_name};

const GOOD: [&str; 3] =
    [r#"{"user_id":"a","n":1}"#, r#"{"user_id":"b","n":2}"#, r#"{"user_id":"c","n":3}"#];

#[tokio::test(start_paused = true)]
async fn good_events_keep_their_order_and_bad_ones_are_dead_letters_with_the_reason() {
    let stage = Stage::new().await;
    let input = partition("events", 1);
    stage.append(&input, &[GOOD[0], "{\"n\":0}", GOOD[1], "not json", GOOD[2]]).await;
    let mut running = stage.process(settings(1));
    let status = running.until_done(5).await;
    assert_eq!(stage.values(&partition("clean", 1)), GOOD);
    assert_eq!(stage.values(&partition("dead", 0)), ["{\"n\":0}", "not json"]);
    let expected = Counts { read: 5, written: 3, rejected: 2, ..Counts::default() };
    assert_eq!(status.counts, expected);
    let batches = stage.log.records(&partition("dead", 0));
    let letters: Vec<_> = batches
        .iter()
        .flat_map(|batch| batch.iter())
        .map(|(_, record)| DeadLetter::parse(record.headers).expect("a dead letter"))
        .collect();
    assert_eq!(letters[0].origin.to_string(), "events/1/1");
    assert_eq!(letters[0].step, "1:require");
    assert_eq!(letters[0].field.as_deref(), Some("user_id"));
    assert_eq!(letters[1].origin.to_string(), "events/1/3");
    assert_eq!(letters[1].step, "0:parse");
    let committed = stage.log.committed(&stage.cx, &settings(1).task).await.unwrap().unwrap();
    assert_eq!(Counts::of_committed(&committed), Ok(expected));
    assert_eq!(committed.consumed[&input].offset.0, 5);
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_task_notes_for_ever_where_it_began() {
    for outcome in [None, Some(Outcome::Lost), Some(Outcome::Committed)] {
        let stage = Stage::new().await;
        let input = partition("events", 0);
        stage.append(&input, &GOOD).await;
        stage.log.admin().trim(&stage.cx, &input, Offset(2)).await.unwrap();
        outcome.into_iter().for_each(|outcome| stage.log.fail_next_transact(outcome));
        let mut running = stage.process(settings(0));
        running.until_done(3).await;
        running.drain().await;

        stage.log.admin().trim(&stage.cx, &input, Offset(3)).await.unwrap();
        stage.append(&input, &GOOD).await;
        let mut running = stage.process(settings(0));
        let status = running.until_done(6).await;
        assert_eq!((status.counts.read, status.counts.written), (4, 4), "{outcome:?}");
        let committed = stage.log.committed(&stage.cx, &settings(0).task).await.unwrap().unwrap();
        assert_eq!(Beginning::of_committed(&committed), Ok(Beginning::at(input, Offset(2))));
        running.drain().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_neither_loses_nor_doubles() {
    for outcome in [Outcome::Lost, Outcome::Committed] {
        for gaps in [Gaps::None, Gaps::ControlRecords] {
            let stage = Stage::new().await;
            stage.log.set_gaps(gaps);
            stage.log.fail_next_transact(outcome);
            stage.log.fail_next_transact(outcome);
            stage.append(&partition("events", 0), &GOOD).await;
            let mut running = stage.process(settings(0));
            running.until_done(3).await;
            stage.append(&partition("events", 0), &["{}"]).await;
            let status = running.until_done(4).await;
            assert_eq!(stage.values(&partition("clean", 0)), GOOD, "{outcome:?} {gaps:?}");
            assert_eq!(stage.values(&partition("dead", 0)), ["{}"], "{outcome:?} {gaps:?}");
            assert_eq!((status.counts.read, status.counts.written), (4, 3));
            running.drain().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fenced_owner_drops_its_work_and_reopens() {
    let stage = Stage::new().await;
    let mut running = stage.process(settings(0));
    running.until(|status| status.state == TaskState::Idle).await;
    let Settings { task, input, .. } = settings(0);
    let thief = Owner { task, inputs: vec![input], renamed_from: None };
    stage.log.open(&stage.cx, &thief).await.expect("the thief opens");
    stage.append(&partition("events", 0), &GOOD).await;
    running.until_done(3).await;
    assert_eq!(stage.values(&partition("clean", 0)), GOOD);
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_log_stops_the_pipeline_and_drops_nothing() {
    let stage = Stage::new().await;
    stage.append(&partition("events", 0), &["{}", GOOD[0]]).await;
    stage.log.set_fullness(Fullness::NoRecords);
    let mut running = stage.process(settings(0));
    let status = running.until(|status| matches!(status.state, TaskState::Stuck(_))).await;
    let TaskState::Stuck(stuck) = status.state else { unreachable!("waited for it") };
    assert_eq!((stuck.step.as_str(), stuck.class), ("transact", ErrorClass::Overloaded));
    assert!(stage.values(&partition("dead", 0)).is_empty());
    stage.log.set_fullness(Fullness::Room);
    running.until_done(2).await;
    assert_eq!(stage.values(&partition("dead", 0)), ["{}"]);
    assert_eq!(stage.values(&partition("clean", 0)), [GOOD[0]]);
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_stuck_task_can_be_drained() {
    let stage = Stage::new().await;
    stage.append(&partition("events", 0), &GOOD).await;
    stage.log.set_fullness(Fullness::NoRecords);
    let mut running = stage.process(settings(0));
    running.until(|status| matches!(status.state, TaskState::Stuck(_))).await;
    running.drain().await;
    assert!(stage.values(&partition("clean", 0)).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_moment_neither_loses_nor_doubles() {
    let mut expected = Vec::new();
    let stage = Stage::new().await;
    for round in 0..40_usize {
        let event = format!("{{\"user_id\":\"u\",\"n\":{round}}}");
        stage.append(&partition("events", 0), &[&event]).await;
        expected.push(event);
        let running = stage.process(settings(0));
        // Each round the task gets a little further before it is dropped.
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        running.kill().await;
    }
    let mut running = stage.process(settings(0));
    let status = running.until_done(40).await;
    assert_eq!(stage.values(&partition("clean", 0)), expected);
    assert_eq!(status.counts.written, 40);
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_the_transaction_it_began() {
    let stage = Stage::new().await;
    stage.log.hold();
    let mut running = stage.process(settings(0));
    running.until(|status| status.state == TaskState::Idle).await;
    stage.log.release();
    stage.append(&partition("events", 0), &GOOD).await;
    stage.log.hold();
    running.until(|status| status.state == TaskState::Running).await;
    running.cx.cancel();
    stage.log.release();
    running.drain().await;
    let clean = stage.values(&partition("clean", 0));
    assert!(clean.is_empty() || clean == GOOD, "all of it or nothing: {clean:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_log_refuses_as_too_large_is_halved_and_then_a_dead_letter() {
    let limits = Limits { transaction_bytes_max: 3500, ..Limits::default() };
    let clock = Clock::manual(Timestamp::EPOCH);
    let stage = Stage::on(MemoryLog::with_limits(clock, Rng::from_seed(3), limits)).await;
    let mut settings = settings(0);
    // The default makes every event larger than it came; one of them too large for the log.
    let value = "x".repeat(700);
    let fields = vec![("pad".to_owned(), value.as_str().into())];
    settings.cleaner.steps = vec![StepConfig::Default(default::Config { fields })];
    let large = format!("{{\"user_id\":\"{}\"}}", "y".repeat(1500));
    stage.append(&partition("events", 0), &[GOOD[0], GOOD[1], &large, GOOD[2]]).await;
    let mut running = stage.process(settings);
    let status = running.until_done(4).await;
    let clean = stage.values(&partition("clean", 0));
    assert_eq!(clean.len(), 3, "{clean:?}");
    for (clean, good) in clean.iter().zip(GOOD) {
        assert_eq!(*clean, good.replace('}', &format!(",\"pad\":\"{value}\"}}")));
    }
    assert_eq!(stage.values(&partition("dead", 0)), [large]);
    assert_eq!((status.counts.written, status.counts.rejected), (3, 1));
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_broker_rejects_is_halved_and_then_a_dead_letter_with_the_reason() {
    let stage = Stage::new().await;
    stage.log.set_gaps(Gaps::ControlRecords);
    stage.log.set_batch_bytes_max(&topic_name("clean"), 400);
    let events: Vec<String> = (0..40).map(|n| format!("{{\"user_id\":\"u\",\"n\":{n}}}")).collect();
    let large = format!("{{\"user_id\":\"{}\"}}", "y".repeat(500));
    let mut texts: Vec<&str> = events.iter().map(String::as_str).collect();
    texts.insert(17, &large);
    stage.append(&partition("events", 0), &texts).await;
    let mut running = stage.process(settings(0));
    let status = running.until_done(41).await;
    assert_eq!(stage.values(&partition("clean", 0)), events, "in order, each once");
    assert_eq!(stage.values(&partition("dead", 0)), [large]);
    assert_eq!((status.counts.written, status.counts.rejected), (40, 1));
    let batches = stage.log.records(&partition("dead", 0));
    let (_, record) = batches[0].iter().next().expect("a dead letter");
    let letter = DeadLetter::parse(record.headers).expect("a dead letter");
    assert_eq!(letter.origin.to_string(), "events/0/17");
    assert!(letter.reason.contains("log rejects a record"), "{}", letter.reason);
    running.drain().await;
}

/// What two owners of one task that take each other for gone do to the log.
#[tokio::test(start_paused = true)]
async fn two_workers_that_both_believe_in_a_task_do_not_fence_each_other_in_turn() {
    let pause = Duration::from_secs(10);
    let stage = Stage::new().await;
    stage.log.set_gaps(Gaps::ControlRecords);
    stage.log.set_fence_pause(pause);
    let began = tokio::time::Instant::now();
    let mut first = stage.process(settings(0));
    first.until(|status| status.state == TaskState::Idle).await;
    let mut second = stage.process(settings(0));
    second.until(|status| status.state == TaskState::Idle).await;
    let mut expected = Vec::new();
    for n in 0..200 {
        let event = format!("{{\"user_id\":\"u\",\"n\":{n}}}");
        stage.append(&partition("events", 0), &[&event]).await;
        expected.push(event);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    while stage.values(&partition("clean", 0)).len() < expected.len() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(stage.values(&partition("clean", 0)), expected);
    // Each of them opens at most once in a pause.
    let pauses = began.elapsed().as_secs() / pause.as_secs() + 1;
    let opened = epoch(&stage).await - 1;
    assert!(opened <= 2 + 2 * pauses, "{opened} times in {pauses} pauses");
    // The news that the task is the other's end the one before it opens again.
    first.kill().await;
    second.drain().await;
}

#[tokio::test(start_paused = true)]
async fn a_fenced_owner_that_hears_in_time_that_its_task_is_lost_never_opens_it_again() {
    let stage = Stage::new().await;
    stage.log.set_fence_pause(Duration::from_secs(10));
    let mut zombie = stage.process(settings(0));
    zombie.until(|status| status.state == TaskState::Idle).await;
    let mut owner = stage.process(settings(0));
    owner.until(|status| status.state == TaskState::Idle).await;
    stage.append(&partition("events", 0), &GOOD).await;
    zombie.until(|status| status.state == TaskState::Opening).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    zombie.kill().await;
    owner.until_done(3).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(epoch(&stage).await, 3, "opened once by each, and by this test");
    assert_eq!(stage.values(&partition("clean", 0)), GOOD);
    owner.drain().await;
}

/// Opens the task once more and returns which opening that is.
async fn epoch(stage: &Stage) -> u64 {
    let Settings { task, input, .. } = settings(0);
    let owner = Owner { task, inputs: vec![input], renamed_from: None };
    stage.log.open(&stage.cx, &owner).await.expect("it opens").epoch.0
}

#[tokio::test(start_paused = true)]
async fn outputs_that_outgrow_a_transaction_are_committed_in_parts() {
    let stage = Stage::new().await;
    let mut settings = settings(0);
    let fields = vec![("pad".to_owned(), "x".repeat(600).into())];
    settings.cleaner.steps = vec![StepConfig::Default(default::Config { fields })];
    settings.config.batch_bytes_max = ByteSize::kib(1);
    settings.config.transaction_bytes_max = ByteSize::kib(2);
    let events: Vec<String> = (0..50).map(|n| format!("{{\"n\":{n}}}")).collect();
    let texts: Vec<&str> = events.iter().map(String::as_str).collect();
    stage.append(&partition("events", 0), &texts).await;
    let mut running = stage.process(settings);
    running.until_done(50).await;
    let clean = stage.values(&partition("clean", 0));
    assert_eq!(clean.len(), 50);
    for (n, clean) in clean.iter().enumerate() {
        assert!(clean.starts_with(&format!("{{\"n\":{n},")), "{clean}");
    }
    assert!(stage.values(&partition("dead", 0)).is_empty());
    running.drain().await;
}

#[tokio::test(start_paused = true)]
async fn with_another_number_of_partitions_records_are_routed_by_key() {
    let stage = Stage::new().await;
    let mut settings = settings(0);
    settings.cleaner.input_partitions = PARTITIONS_OF_ANOTHER_TOPIC;
    let events: Vec<String> = (0..20).map(|n| format!("{{\"user_id\":\"u{n}\"}}")).collect();
    let texts: Vec<&str> = events.iter().map(String::as_str).collect();
    stage.append(&partition("events", 0), &texts).await;
    let mut running = stage.process(settings);
    running.until_done(20).await;
    for number in 0..2 {
        let expected: Vec<_> = events
            .iter()
            .filter(|event| {
                let routed = millstream_model::partitioner::partition_of(event.as_bytes(), 2);
                routed.0 == number
            })
            .cloned()
            .collect();
        assert!(!expected.is_empty());
        assert_eq!(stage.values(&partition("clean", number)), expected);
    }
    running.drain().await;
}

const PARTITIONS_OF_ANOTHER_TOPIC: u32 = 3;

#[tokio::test(start_paused = true)]
async fn a_position_that_does_not_fit_the_log_is_stuck_with_the_remedy() {
    let stage = Stage::new().await;
    stage.append(&partition("events", 0), &GOOD).await;
    let mut running = stage.process(settings(0));
    running.until_done(3).await;
    running.drain().await;
    // The task began, but of this input it has no position.
    let mut other = settings(0);
    other.input = partition("events", 1);
    let mut running = stage.process(other);
    let status = running.until(|status| matches!(status.state, TaskState::Stuck(_))).await;
    let TaskState::Stuck(stuck) = status.state else { unreachable!("waited for it") };
    assert_eq!((stuck.step.as_str(), stuck.class), ("open", ErrorClass::Invalid));
    assert!(stuck.reason.contains("tasks reset"), "{}", stuck.reason);
    running.drain().await;
}
