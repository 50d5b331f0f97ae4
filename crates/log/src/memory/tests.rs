use std::time::Duration;

use bytes::Bytes;
use millstream_model::{
    Headers, Offset, Record, RecordBatch, RecordBatchBuilder, SourceId, TaskId, Timestamp,
    TopicName, TopicPartition,
};
use millstream_runtime::{Clock, Context, Rng};

use super::{Fullness, Gaps, MemoryLog, Outcome};
use crate::contract::{FetchLimits, Log, Owner};
use crate::error::{EnqueueError, OpenError, TransactError};
use crate::topic::{TopicConfig, TopicKind};
use crate::transaction::Transaction;

fn batch(values: &[&str]) -> RecordBatch {
    let mut builder = RecordBatchBuilder::new();
    for value in values {
        builder.push(Record {
            timestamp: Timestamp::EPOCH,
            key: None,
            value: Some(value.as_bytes()),
            headers: Headers::EMPTY,
        });
    }
    builder.finish()
}

fn partition() -> TopicPartition {
    TopicPartition::new(TopicName::new("events").unwrap(), 0)
}

async fn log_with_topic() -> (Clock, MemoryLog) {
    let clock = Clock::manual(Timestamp::EPOCH);
    let log = MemoryLog::new(clock.clone(), Rng::from_seed(1));
    let config = TopicConfig {
        partitions: 1,
        kind: TopicKind::Events,
        retention: Some(Duration::from_secs(60)),
    };
    let cx = Context::background();
    log.admin().ensure_topic(&cx, &partition().topic, &config).await.unwrap();
    (clock, log)
}

fn owner() -> Owner {
    Owner { task: TaskId::new("app.task").unwrap(), inputs: Vec::new(), renamed_from: None }
}

fn transaction(value: &str) -> Transaction {
    Transaction {
        records: vec![(partition(), batch(&[value]))],
        positions: vec![(SourceId::new("source").unwrap(), Bytes::from(value.to_owned()))],
        ..Transaction::default()
    }
}

#[tokio::test]
async fn a_transaction_told_as_unknown_is_there_or_not_as_injected() {
    for (outcome, there) in [(Outcome::Lost, false), (Outcome::Committed, true)] {
        let (_, log) = log_with_topic().await;
        let cx = Context::background();
        let mut opened = log.open(&cx, &owner()).await.unwrap();
        log.fail_next_transact(outcome);
        let error = opened.writer.transact(&cx, transaction("a")).await.unwrap_err();
        assert!(!error.is_refusal());
        let again = opened.writer.transact(&cx, transaction("b")).await.unwrap_err();
        assert!(matches!(again, TransactError::Storage(_)), "a writer in doubt is dead: {again}");

        let opened = log.open(&cx, &owner()).await.unwrap();
        assert_eq!(opened.committed.began, there);
        assert_eq!(log.records(&partition()).len(), usize::from(there));
    }
}

#[tokio::test]
async fn control_records_leave_gaps_that_fetch_steps_over() {
    let (_, log) = log_with_topic().await;
    log.set_gaps(Gaps::ControlRecords);
    let cx = Context::background();
    let mut opened = log.open(&cx, &owner()).await.unwrap();
    opened.writer.transact(&cx, transaction("a")).await.unwrap();
    log.fail_next_transact(Outcome::Lost);
    opened.writer.transact(&cx, transaction("lost")).await.unwrap_err();
    let mut opened = log.open(&cx, &owner()).await.unwrap();
    opened.writer.transact(&cx, transaction("b")).await.unwrap();

    let bounds = log.bounds(&cx, &partition()).await.unwrap();
    let mut reader = log.reader(&cx, &partition(), bounds.start).await.unwrap();
    let limits = FetchLimits { bytes_max: 1 << 20, wait_max: Duration::ZERO };
    let fetched = reader.fetch(&cx, limits).await.unwrap();
    let firsts: Vec<_> = fetched.batches.iter().map(|batch| batch.first.0).collect();
    // a, its control record, the lost record, its abort, b, its control record.
    assert_eq!(firsts, [0, 4]);
    let past = reader.fetch(&cx, limits).await.unwrap();
    assert!(past.is_empty());
    assert_eq!((past.next.offset, past.end), (Offset(6), Offset(6)));
    log.reader(&cx, &partition(), past.next).await.unwrap();
}

#[tokio::test]
async fn a_full_log_keeps_the_order_in_which_callers_are_refused() {
    let (_, log) = log_with_topic().await;
    let cx = Context::background();
    let mut opened = log.open(&cx, &owner()).await.unwrap();
    log.set_fullness(Fullness::NoIntake);
    let refused = log.enqueue(vec![(partition(), batch(&["a"]))]).unwrap_err();
    assert!(matches!(refused, EnqueueError::Full { .. }));
    opened.writer.transact(&cx, transaction("a")).await.unwrap();
    log.set_fullness(Fullness::NoEvents);
    let refused = opened.writer.transact(&cx, transaction("b")).await.unwrap_err();
    assert!(matches!(refused, TransactError::Full));
    let only_positions = Transaction { records: Vec::new(), ..transaction("b") };
    opened.writer.transact(&cx, only_positions).await.unwrap();
}

#[tokio::test]
async fn retention_takes_what_is_old_enough() {
    let (clock, log) = log_with_topic().await;
    let cx = Context::background();
    log.enqueue(vec![(partition(), batch(&["old", "old too"]))]).unwrap().await.unwrap();
    clock.advance(Duration::from_secs(61));
    log.enqueue(vec![(partition(), batch(&["new"]))]).unwrap().await.unwrap();
    log.maintain();
    assert_eq!(log.bounds(&cx, &partition()).await.unwrap().start.offset, Offset(2));
}

#[tokio::test]
async fn a_released_task_holds_nothing_back_and_keeps_what_it_committed() {
    let (clock, log) = log_with_topic().await;
    let cx = Context::background();
    let reading = Owner { inputs: vec![partition()], ..owner() };
    log.enqueue(vec![(partition(), batch(&["a", "b"]))]).unwrap().await.unwrap();
    let mut opened = log.open(&cx, &reading).await.unwrap();
    let mark = Transaction { records: Vec::new(), ..transaction("mark") };
    opened.writer.transact(&cx, mark).await.unwrap();
    log.release_task(&reading.task);
    assert!(log.admin().tasks(&cx).await.unwrap().is_empty());
    let fenced = opened.writer.transact(&cx, transaction("late")).await.unwrap_err();
    assert!(matches!(fenced, TransactError::Fenced { .. }), "{fenced}");

    let opened = log.open(&cx, &reading).await.unwrap();
    assert_eq!(opened.committed.positions[&SourceId::new("source").unwrap()], "mark");
    log.release_task(&reading.task);
    clock.advance(Duration::from_secs(61));
    log.maintain();
    assert_eq!(log.bounds(&cx, &partition()).await.unwrap().start.offset, Offset(2));
    let refused = log.open(&cx, &reading).await.unwrap_err();
    assert!(matches!(refused, OpenError::Position(_)), "its records are gone: {refused}");
}
