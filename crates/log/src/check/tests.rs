//! The rules at their edges; that every log keeps them is shown by the conformance suite.

use bytes::Bytes;
use millstream_model::{
    Incarnation, LogId, LogPosition, Offset, SourceId, TaskId, TopicId, TopicName, TopicPartition,
};
use uuid::Uuid;

use super::Standing;
use crate::contract::Bounds;
use crate::error::{AdminError, OpenError, PositionRefused, TransactError};
use crate::topic::{TopicConfig, TopicKind};
use crate::transaction::{Committed, Transaction};

fn partition() -> TopicPartition {
    TopicPartition::new(TopicName::new("events").unwrap(), 0)
}

fn task() -> TaskId {
    TaskId::new("test.events.clean.0").unwrap()
}

fn at(offset: u64) -> LogPosition {
    let (log, topic) = (LogId(Uuid::from_u128(1)), TopicId(Uuid::from_u128(2)));
    LogPosition { log, topic, incarnation: Incarnation(3), offset: Offset(offset) }
}

fn of_positions(sizes: &[usize]) -> Transaction {
    let name = |number| SourceId::new(&format!("source-{number}")).unwrap();
    let positions = (0..).zip(sizes).map(|(number, size)| (name(number), vec![0; *size].into()));
    Transaction { positions: positions.collect::<Vec<(SourceId, Bytes)>>(), ..Default::default() }
}

#[test]
fn positions_count_towards_the_size_of_a_transaction() {
    assert!(super::transaction_bytes(&of_positions(&[4096, 4096]), 8192).is_ok());
    let error = super::transaction_bytes(&of_positions(&[4096, 4096]), 8191).unwrap_err();
    assert!(matches!(error, TransactError::TooLarge { bytes: 8192, bytes_max: 8191 }), "{error}");
}

#[test]
fn one_position_holds_at_most_four_kibibytes() {
    let error = super::transaction_bytes(&of_positions(&[1, 4097]), 1 << 20).unwrap_err();
    assert!(matches!(&error, TransactError::Position { name, .. } if name == "source-1"));
}

#[test]
fn a_task_never_goes_back_and_reads_only_its_inputs() {
    let offset = Offset(7);
    assert!(super::consumed(Standing::At(offset), offset).is_ok());
    assert!(super::consumed(Standing::Begins, Offset(0)).is_ok());
    assert!(super::consumed(Standing::At(offset), Offset(6)).is_err());
    assert!(super::consumed(Standing::NotAnInput, offset).is_err());
}

#[test]
fn a_position_lies_within_bounds_of_the_same_topic_of_the_same_log() {
    let bounds = Bounds { start: at(10), end: at(20) };
    let check = |position| super::position(&partition(), &position, &bounds);
    assert_eq!((check(at(10)), check(at(20))), (Ok(()), Ok(())));
    assert!(matches!(check(at(9)), Err(PositionRefused::BeforeStart { .. })));
    assert!(matches!(check(at(21)), Err(PositionRefused::BeyondEnd { .. })));
    let other_log = LogPosition { log: LogId(Uuid::from_u128(9)), ..at(15) };
    assert!(matches!(check(other_log), Err(PositionRefused::OtherLog { .. })));
    let other_topic = LogPosition { topic: TopicId(Uuid::from_u128(9)), ..at(15) };
    assert!(matches!(check(other_topic), Err(PositionRefused::OtherTopic { .. })));
}

#[test]
fn a_position_names_the_history_before_it() {
    assert!(super::history(&partition(), &at(5), Incarnation(3)).is_ok());
    let refused = super::history(&partition(), &at(5), Incarnation(4));
    assert!(matches!(refused, Err(PositionRefused::OtherHistory { .. })));
}

#[test]
fn only_a_task_that_never_committed_has_no_place() {
    let mut committed = Committed::default();
    assert_eq!(super::resume(&task(), &committed, &partition()), Ok(None));
    committed.began = true;
    let lost = super::resume(&task(), &committed, &partition());
    assert!(matches!(lost, Err(PositionRefused::Lost { .. })));
    committed.consumed.insert(partition(), at(5));
    assert_eq!(super::resume(&task(), &committed, &partition()), Ok(Some(at(5))));
}

#[test]
fn the_last_task_that_may_be_open_is_opened() {
    assert!(super::one_task_more(&task(), 2, 3).is_ok());
    let refused = super::one_task_more(&task(), 3, 3).unwrap_err();
    assert!(matches!(refused, OpenError::TooManyTasks { tasks_max: 3, .. }));
}

#[test]
fn a_topic_keeps_its_number_of_partitions() {
    let name = TopicName::new("events").unwrap();
    let of = |partitions| TopicConfig { partitions, kind: TopicKind::Events, retention: None };
    assert!(super::topic(&name, &of(super::PARTITIONS_MAX), None).is_ok());
    assert!(super::topic(&name, &of(4), Some(&of(4))).is_ok());
    for impossible in [0, super::PARTITIONS_MAX + 1] {
        let refused = super::topic(&name, &of(impossible), None).unwrap_err();
        assert!(matches!(refused, AdminError::Config { .. }));
    }
    let refused = super::topic(&name, &of(5), Some(&of(4))).unwrap_err();
    assert!(matches!(refused, AdminError::Partitions { found: 4, wanted: 5, .. }));
}

#[test]
fn a_trim_stops_at_the_end_and_at_the_slowest_task() {
    let check = |before, slowest: Option<u64>| {
        let slowest = slowest.map(|offset| (task(), Offset(offset)));
        super::trim(&partition(), Offset(before), Offset(10), slowest)
    };
    assert!(check(10, None).is_ok() && check(10, Some(10)).is_ok());
    assert!(matches!(check(11, None), Err(AdminError::Config { .. })));
    assert!(matches!(check(6, Some(5)), Err(AdminError::PassesPosition { .. })));
}
