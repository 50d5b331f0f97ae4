use millstream_model::{
    Incarnation, LogId, LogPosition, Offset, TopicId, TopicName, TopicPartition,
};
use uuid::Uuid;

use super::*;
use crate::positions::identity;
use crate::positions::manifest::Manifest;

const COMMITTED: Outcome = Outcome::Committed;
const ABORTED: Outcome = Outcome::Aborted;
const GONE: Outcome = Outcome::Gone;

#[test]
fn only_a_transaction_that_ended_in_both_ways_is_torn() {
    let torn = |outcomes: &[Outcome]| is_torn(false, outcomes.iter().copied());
    assert!(torn(&[COMMITTED, ABORTED]));
    assert!(torn(&[GONE, ABORTED, COMMITTED]));
    let absent = [COMMITTED, Outcome::Absent];
    for whole in [&[][..], &[COMMITTED, COMMITTED], &[ABORTED, ABORTED], &[GONE, ABORTED], &absent]
    {
        assert!(!torn(whole), "{whole:?}");
    }
}

#[test]
fn a_completion_that_was_aborted_is_owed_still() {
    let torn = |outcomes: &[Outcome]| is_torn(true, outcomes.iter().copied());
    assert!(torn(&[ABORTED, ABORTED]));
    assert!(!torn(&[COMMITTED, COMMITTED]));
}

fn position(offset: u64) -> LogPosition {
    LogPosition {
        log: LogId(Uuid::from_u128(1)),
        topic: TopicId(Uuid::from_u128(2)),
        incarnation: Incarnation(3),
        offset: Offset(offset),
    }
}

#[test]
fn an_offset_is_judged_by_what_the_group_has_now() {
    let task = TaskId::new("app.pipeline.clean.0").unwrap();
    let moved = |before, offset: u64| MovedOffset {
        input: TopicPartition::new(TopicName::new("events").unwrap(), 0),
        offset: i64::try_from(offset).unwrap(),
        before,
        leader_epoch: 2,
        text: identity::encode(&task, &position(offset)),
    };
    let ours = |offset| Some(GroupOffset::Ours(task.clone(), position(offset)));
    for (moved, found, wanted) in [
        (moved(10, 20), ours(20), COMMITTED),
        (moved(10, 20), ours(10), ABORTED),
        // A person set the task back, and that transaction was torn.
        (moved(30, 20), ours(30), ABORTED),
        (moved(-1, 20), ours(20), COMMITTED),
        // Only what else became of the transaction tells whether it was ever there.
        (moved(-1, 20), Some(GroupOffset::None), Outcome::Absent),
        (moved(10, 20), Some(GroupOffset::None), GONE),
        (moved(20, 20), ours(20), GONE),
        (moved(10, 20), ours(15), GONE),
        (moved(10, 20), Some(GroupOffset::Renamed), GONE),
        (moved(10, 20), Some(GroupOffset::Foreign(Offset(20))), GONE),
        (moved(-1, 20), None, GONE),
    ] {
        assert_eq!(outcome_of(&moved, found.as_ref()), wanted, "{moved:?} {found:?}");
    }
}

#[test]
fn each_partition_is_judged_by_its_last_range() {
    let range = |topic: &str, partition, first, last| Written {
        topic: topic.to_owned(),
        partition,
        first,
        last,
        crc: 0,
    };
    let written = vec![
        range("clean", 0, 1, 2),
        range("clean", 1, 1, 2),
        range("clean", 0, 8, 9),
        range("positions", 4, 3, 3),
    ];
    let manifest = Manifest { written, ..Manifest::default() };
    let own = range("positions", 4, 7, 7);
    let ends = Attempt { own: own.clone(), manifest }.ends();
    assert_eq!(ends, [range("clean", 0, 8, 9), range("clean", 1, 1, 2), own]);
}
