use millstream_log::Log as _;
use millstream_log::memory::{Gaps, MemoryLog};
use millstream_model::Timestamp;
use millstream_runtime::{Clock, Rng};

use super::*;

fn input(topic: &str, partition: u32) -> TopicPartition {
    TopicPartition::new(TopicName::new(topic).unwrap(), partition)
}

fn beginning() -> Beginning {
    let inputs = [(input("events", 3), Offset(1_000_000)), (input("users", 0), Offset::ZERO)];
    Beginning { inputs: inputs.into() }
}

#[test]
fn a_beginning_comes_back_from_its_bytes() {
    for beginning in [Beginning::default(), beginning()] {
        assert_eq!(Beginning::decode(&beginning.encode()), Ok(beginning));
    }
    assert_eq!(beginning().of(&input("events", 3)), Offset(1_000_000));
}

#[test]
fn bytes_that_are_no_beginning_are_refused() {
    let bytes = beginning().encode().to_vec();
    for cut in 2..bytes.len() {
        // One input alone is a whole mark.
        if cut != 1 + 1 + 6 + 4 + 8 {
            assert!(Beginning::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }
    let twice = [&bytes[..], &bytes[1..]].concat();
    assert_eq!(Beginning::decode(&twice), Err(BeginningError::Damaged { at: bytes.len() }));
    assert_eq!(Beginning::decode(&[]), Err(BeginningError::Damaged { at: 0 }));
    assert_eq!(Beginning::decode(&[2]), Err(BeginningError::Version { found: 2 }));
}

#[test]
fn a_task_without_a_mark_began_at_the_start() {
    let beginning = Beginning::of_committed(&Committed::default()).unwrap();
    assert_eq!(beginning.of(&input("events", 0)), Offset::ZERO);
}

#[test]
fn records_before_an_offset_are_known_where_offsets_count_them() {
    let log = MemoryLog::new(Clock::manual(Timestamp::from_millis(1)), Rng::from_seed(1));
    assert_eq!(records_before(&*log.admin(), Offset(7)), Some(7));
    log.set_gaps(Gaps::ControlRecords);
    assert_eq!(records_before(&*log.admin(), Offset(7)), None);
    assert_eq!(records_before(&*log.admin(), Offset::ZERO), Some(0));
}
