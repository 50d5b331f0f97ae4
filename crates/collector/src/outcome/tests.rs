use std::io;

use millstream_model::{ErrorClass, Offset, OffsetRange, TopicName, TopicPartition};

use super::*;

const fn place(partition: u32, index: u32) -> Place {
    Place { partition: PartitionId(partition), index }
}

fn run(partition: u32, start: u64, end: u64) -> Appended {
    landed(partition, Landed::At(OffsetRange::new(Offset(start), Offset(end))))
}

fn landed(partition: u32, landed: Landed) -> Appended {
    let topic = TopicName::new("events").expect("a legal name");
    Appended { partition: TopicPartition::new(topic, partition), landed }
}

#[test]
fn a_record_is_found_at_its_own_offset_also_where_others_lie_between() {
    let appended = vec![run(0, 7, 9), run(2, 3, 4), run(2, 10, 12), run(2, 20, 21)];
    let outcome = Outcome::new(vec![PartitionId(0), PartitionId(2)], Ok(appended));
    let found: Vec<_> =
        [(0, 1), (2, 0), (2, 1), (2, 2), (2, 3)].map(|(p, i)| outcome.of(place(p, i))).to_vec();
    assert_eq!(found, [8, 3, 10, 11, 20].map(|at| RecordOutcome::Appended(Some(Offset(at)))));
}

#[test]
fn a_record_that_is_stored_nobody_knows_where_counts_as_stored_and_moves_no_other() {
    let appended = vec![run(0, 7, 8), landed(0, Landed::Somewhere(2)), run(0, 10, 11)];
    let outcome = Outcome::new(vec![PartitionId(0)], Ok(appended));
    let found = [0, 1, 2, 3].map(|index| outcome.of(place(0, index)));
    let expected = [Some(7), None, None, Some(10)];
    assert_eq!(found, expected.map(|at| RecordOutcome::Appended(at.map(Offset))));
}

#[test]
fn a_record_without_an_outcome_of_its_own_is_unknown() {
    let refused = RecordOutcome::Refused(ErrorClass::Invalid);
    let outcomes = vec![vec![refused], vec![RecordOutcome::Appended(Some(Offset(5))), refused]];
    let error = EnqueueError::Records { outcomes, source: io::Error::other("too large") };
    // The batch of partition 1 was empty and not handed over.
    let outcome = Outcome::new(vec![PartitionId(0), PartitionId(2)], Err(error));
    assert_eq!(outcome.of(place(0, 0)), refused);
    assert_eq!(outcome.of(place(2, 0)), RecordOutcome::Appended(Some(Offset(5))));
    assert_eq!(outcome.of(place(2, 1)), refused);
    assert_eq!(outcome.of(place(1, 0)), RecordOutcome::Unknown);
    assert_eq!(outcome.of(place(0, 1)), RecordOutcome::Unknown);
}
