use millstream_model::{Incarnation, LogId, LogPosition, TopicId, TopicName};
use uuid::Uuid;

use super::*;

fn place(offset: u64) -> LogPosition {
    LogPosition {
        log: LogId(Uuid::from_u128(1)),
        topic: TopicId(Uuid::from_u128(2)),
        incarnation: Incarnation(3),
        offset: Offset(offset),
    }
}

fn at(offset: u64) -> Position {
    let (next, checksum) = (place(offset), u32::try_from(offset).unwrap());
    Position { next, checksum, forwarded: offset, refused: 0, refusals: Vec::new() }
}

fn partition() -> TopicPartition {
    TopicPartition::new(TopicName::new("events").unwrap(), 0)
}

/// Compares on a journal that holds the offsets 10 to 100.
fn check(
    local: Option<&Position>,
    remote: Option<&Position>,
    expected: &Result<Agreement, Disagreement>,
) {
    let bounds = Bounds { start: place(10), end: place(100) };
    assert_eq!(&compare(&partition(), local, remote, &bounds), expected);
}

#[test]
fn who_agrees_goes_on() {
    check(None, None, &Ok(Agreement::Begin));
    check(Some(&at(20)), Some(&at(20)), &Ok(Agreement::Same));
    check(Some(&at(20)), Some(&at(30)), &Ok(Agreement::Ahead));
    check(None, Some(&at(30)), &Ok(Agreement::Ahead));
    check(Some(&at(20)), Some(&at(100)), &Ok(Agreement::Ahead));
    check(None, Some(&at(10)), &Ok(Agreement::Ahead));
}

#[test]
fn a_cluster_that_was_taken_back_is_refused() {
    let (partition, local) = (partition(), Offset(20));
    let forgotten = Disagreement::Forgotten { partition: partition.clone(), local };
    check(Some(&at(20)), None, &Err(forgotten));
    let rolled_back = Disagreement::RolledBack { partition, local, remote: Offset(15) };
    check(Some(&at(20)), Some(&at(15)), &Err(rolled_back));
}

#[test]
fn a_disk_that_went_its_own_way_is_refused() {
    let other = Disagreement::OtherRecord { partition: partition(), remote: Offset(20) };
    let checksum = Position { checksum: 7, ..at(20) };
    check(Some(&at(20)), Some(&checksum), &Err(other.clone()));
    let next = LogPosition { incarnation: Incarnation(4), ..place(20) };
    check(Some(&at(20)), Some(&Position { next, ..at(20) }), &Err(other));
    let (remote, end) = (Offset(101), Offset(100));
    let beyond = Disagreement::BeyondEnd { partition: partition(), remote, end };
    check(Some(&at(20)), Some(&at(101)), &Err(beyond));
    let next = LogPosition { log: LogId(Uuid::from_u128(9)), ..place(20) };
    let other = Disagreement::OtherJournal { partition: partition() };
    check(None, Some(&Position { next, ..at(20) }), &Err(other));
}

#[test]
fn records_that_are_gone_are_named() {
    let (from, start) = (Offset(9), Offset(10));
    let gone = Disagreement::Gone { partition: partition(), from, start };
    check(Some(&at(9)), Some(&at(9)), &Err(gone.clone()));
    check(None, Some(&at(9)), &Err(gone));
}

#[test]
fn only_what_this_process_left_is_what_it_finds() {
    let mut known = Known::default();
    let check = |known: &Known, found: Option<&Position>| known.check(&partition(), found);
    assert_eq!(check(&known, Some(&at(50))), Ok(()), "another process was there before");
    known.settle(Some(&at(50)));
    assert_eq!(check(&known, Some(&at(50))), Ok(()));
    known.attempt(&at(60));
    assert_eq!(check(&known, Some(&at(50))), Ok(()), "lost");
    assert_eq!(check(&known, Some(&at(60))), Ok(()), "committed");
    let moved = Disagreement::MovedByAnother {
        partition: partition(),
        known: Offset(50),
        remote: Offset(55),
    };
    assert_eq!(check(&known, Some(&at(55))), Err(moved));
    known.refused();
    assert!(check(&known, Some(&at(60))).is_err(), "a refused transaction is not there");
    assert!(matches!(check(&known, Some(&at(40))), Err(Disagreement::RolledBack { .. })));
    assert!(matches!(check(&known, None), Err(Disagreement::Forgotten { .. })));
}
