use std::io;

use millstream_model::{ErrorClass, OffsetRange, TopicName, TopicPartition};

use super::*;

const fn place(partition: u32, index: u32) -> Place {
    Place { partition: PartitionId(partition), index }
}

fn run(partition: u32, start: u64, end: u64) -> Appended {
    let topic = TopicName::new("events").expect("a legal name");
    let offsets = OffsetRange::new(Offset(start), Offset(end));
    Appended { partition: TopicPartition::new(topic, partition), offsets }
}

#[test]
fn a_record_is_found_at_its_own_offset_also_where_others_lie_between() {
    let appended = vec![run(0, 7, 9), run(2, 3, 4), run(2, 10, 12), run(2, 20, 21)];
    let outcome = Outcome::new(vec![PartitionId(0), PartitionId(2)], Ok(appended));
    let found: Vec<_> =
        [(0, 1), (2, 0), (2, 1), (2, 2), (2, 3)].map(|(p, i)| outcome.of(place(p, i))).to_vec();
    assert_eq!(found, [8, 3, 10, 11, 20].map(|at| RecordOutcome::Appended(Offset(at))));
}

#[test]
fn a_record_without_an_outcome_of_its_own_is_unknown() {
    let refused = RecordOutcome::Refused(ErrorClass::Invalid);
    let outcomes = vec![vec![refused], vec![RecordOutcome::Appended(Offset(5)), refused]];
    let error = EnqueueError::Records { outcomes, source: io::Error::other("too large") };
    // The batch of partition 1 was empty and not handed over.
    let outcome = Outcome::new(vec![PartitionId(0), PartitionId(2)], Err(error));
    assert_eq!(outcome.of(place(0, 0)), refused);
    assert_eq!(outcome.of(place(2, 0)), RecordOutcome::Appended(Offset(5)));
    assert_eq!(outcome.of(place(2, 1)), refused);
    assert_eq!(outcome.of(place(1, 0)), RecordOutcome::Unknown);
    assert_eq!(outcome.of(place(0, 1)), RecordOutcome::Unknown);
}
