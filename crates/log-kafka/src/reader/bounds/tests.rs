use millstream_log::PositionRefused;
use millstream_model::{
    Incarnation, LogId, LogPosition, Offset, TopicId, TopicName, TopicPartition,
};
use uuid::Uuid;

use super::{EpochOffset, Observed, Place};

const LOG: LogId = LogId(Uuid::from_u128(1));
const TOPIC: TopicId = TopicId(Uuid::from_u128(2));

fn at(offset: u64, incarnation: u64) -> LogPosition {
    let (offset, incarnation) = (Offset(offset), Incarnation(incarnation));
    LogPosition { log: LOG, topic: TOPIC, incarnation, offset }
}

/// Records from 10 in epoch 3 to 20 in epoch 5.
fn check(position: LogPosition) -> Result<(), PositionRefused> {
    let start = EpochOffset { offset: 10, epoch: 3 };
    let end = EpochOffset { offset: 20, epoch: 5 };
    let topic = TopicName::new("events").expect("a legal name");
    Observed::new(TOPIC, start, end).check(LOG, &TopicPartition::new(topic, 0), position)
}

#[test]
fn a_position_within_the_bounds_and_epochs_is_taken() {
    for good in [at(10, 1), at(10, 4), at(10, 6), at(11, 4), at(15, 5), at(20, 4), at(20, 6)] {
        assert_eq!(check(good), Ok(()), "{good:?}");
    }
}

#[test]
fn a_position_outside_the_bounds_is_refused() {
    assert!(matches!(check(at(21, 6)), Err(PositionRefused::BeyondEnd { .. })));
    assert!(matches!(check(at(u64::MAX, 6)), Err(PositionRefused::BeyondEnd { .. })));
    assert!(matches!(check(at(9, 4)), Err(PositionRefused::BeforeStart { .. })));
    assert!(matches!(check(at(0, 0)), Err(PositionRefused::BeforeStart { .. })));
}

#[test]
fn a_position_of_an_epoch_that_cannot_stand_there_is_refused() {
    for bad in [at(10, 0), at(11, 3), at(15, 0), at(15, 7), at(20, u64::MAX)] {
        assert!(matches!(check(bad), Err(PositionRefused::OtherHistory { .. })), "{bad:?}");
    }
}

#[test]
fn a_position_of_another_log_or_topic_is_refused() {
    let log = LogId(Uuid::from_u128(9));
    assert!(matches!(
        check(LogPosition { log, ..at(15, 5) }),
        Err(PositionRefused::OtherLog { .. })
    ));
    let topic = TopicId(Uuid::from_u128(9));
    assert!(matches!(
        check(LogPosition { topic, ..at(15, 5) }),
        Err(PositionRefused::OtherTopic { .. })
    ));
}

#[test]
fn an_epoch_survives_its_way_through_a_position() {
    for epoch in [0, 1, 7, i32::MAX] {
        let place = Place { offset: Offset(5), epoch: Some(epoch) };
        assert_eq!(Place::of(place.position(LOG, TOPIC)), place);
    }
    let start = Place { offset: Offset(0), epoch: Some(7) };
    assert_eq!(start.position(LOG, TOPIC).incarnation, Incarnation::NONE);
}

#[test]
fn an_empty_partition_begins_where_it_ends() {
    let (start, end) = (EpochOffset { offset: 7, epoch: -1 }, EpochOffset { offset: 7, epoch: 2 });
    let observed = Observed::new(TOPIC, start, end);
    assert_eq!(observed.start.position(LOG, TOPIC), observed.end.position(LOG, TOPIC));
}
