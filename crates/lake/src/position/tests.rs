//! Tests of the encoding of positions and rejections.

use super::*;

/// Version 2, as tables out there hold it.
const FIXTURE: &str = include_str!("../../test-data/table/2/positions.json").trim_ascii();

/// Version 2 with sinks that were renamed.
const RENAMED_FIXTURE: &str = include_str!("../../test-data/table/2/renamed.json").trim_ascii();

/// Version 1, which knew neither beginnings nor others.
const FIXTURE_1: &str = include_str!("../../test-data/table/1/positions.json").trim_ascii();

/// Rejections, unchanged since version 1.
const REJECTED_FIXTURE: &str = include_str!("../../test-data/table/1/rejected.json").trim_ascii();

fn map() -> PositionMap {
    let position = |next, incarnation, rows, rejected| PartitionPosition {
        begin: Offset::ZERO,
        next: Offset(next),
        incarnation,
        rows,
        rejected,
    };
    let partitions = [
        (PartitionId(0), position(120_394, 0x9f, 120_394, 0)),
        (PartitionId(1), position(99, 0x9f, 97, 2)),
        (PartitionId(3), position(0, 0, 0, 0)),
        (PartitionId(7), position(5, 0x9f, 8, 0)),
        (
            PartitionId(9),
            PartitionPosition { begin: Offset(999_000), ..position(1_000_000, 0x9f, 990, 0) },
        ),
    ];
    let sink = SinkPositions {
        log: LogId(Uuid::from_u128(1)),
        topic: TopicName::new("events-clean").unwrap(),
        topic_id: TopicId(Uuid::from_u128(2)),
        partitions: partitions.into(),
    };
    let others = Some(Others { added: 30, removed: 4 });
    let sinks = [("events".to_owned(), sink)].into();
    PositionMap { sequence: 12, others, sinks, renamed: Vec::new() }
}

#[test]
fn version_2_reads_and_writes_as_it_always_did() {
    assert_eq!(map().encode(), FIXTURE);
    assert_eq!(PositionMap::decode(FIXTURE).unwrap(), map());
    assert_eq!(PositionMap::decode("none").unwrap(), PositionMap::default());
}

#[test]
fn a_map_with_renamed_sinks_reads_and_writes_as_it_always_did() {
    let mut expected = map();
    expected.note_renamed("shop", "store");
    expected.note_renamed("store", "events");
    assert_eq!(expected.encode(), RENAMED_FIXTURE);
    assert_eq!(PositionMap::decode(RENAMED_FIXTURE).unwrap(), expected);
}

#[test]
fn a_name_that_came_back_counts_again_and_old_renames_are_forgotten() {
    let mut map = map();
    map.note_renamed("a", "b");
    map.note_renamed("b", "a");
    assert_eq!((map.renamed_to("a"), map.renamed_to("b")), (None, Some("a")));
    for number in 0..RENAMES_MAX {
        map.note_renamed(&format!("old{number}"), &format!("new{number}"));
    }
    assert_eq!(map.renamed.len(), RENAMES_MAX);
    assert_eq!((map.renamed_to("b"), map.renamed_to("old0")), (None, Some("new0")));
}

#[test]
fn version_1_is_read_as_begun_at_the_start_and_silent_about_others() {
    let mut expected = map();
    expected.others = None;
    expected.sinks.get_mut("events").unwrap().partitions.remove(&PartitionId(9));
    assert_eq!(PositionMap::decode(FIXTURE_1).unwrap(), expected);
}

#[test]
fn what_is_no_map_is_refused_not_guessed() {
    let broken = |from: &str, to: &str| PositionMap::decode(&FIXTURE.replace(from, to));
    assert!(matches!(PositionMap::decode(""), Err(DecodeError::Json(_))));
    assert!(matches!(broken("\"v\":2", "\"v\":3"), Err(DecodeError::Version(3))));
    assert!(matches!(broken("3:0@1", "3:0@2"), Err(DecodeError::Partition(_))));
    assert!(matches!(broken("1:99-2", "1:99-100"), Err(DecodeError::Partition(_))));
    assert!(matches!(broken("^999000", "^1000001"), Err(DecodeError::Partition(_))));
    assert!(matches!(broken("0:120394", "0:x"), Err(DecodeError::Partition(_))));
    assert!(matches!(broken("events-clean", "a/b"), Err(DecodeError::Topic(_))));
}

#[test]
fn a_partition_costs_at_most_20_bytes() {
    let mut map = map();
    let sink = map.sinks.get_mut("events").unwrap();
    sink.partitions.clear();
    let empty = map.encode().len();
    let sink = map.sinks.get_mut("events").unwrap();
    for partition in 0..64 {
        // Billions of records, a few rejected, after a restart of the log.
        let next = 9_876_543_210 + u64::from(partition);
        // Half of them begun late.
        let begin = Offset((u64::from(partition) % 2) * 1_234_567_890);
        let rows = next - begin.0 - (1 - u64::from(partition) % 2) * 12;
        let next = Offset(next);
        let position = PartitionPosition { begin, next, incarnation: 7, rows, rejected: 0 };
        sink.partitions.insert(PartitionId(partition), position);
    }
    let each = (map.encode().len() - empty) / 64;
    assert!(each <= 20, "{each}");
}

#[test]
fn random_maps_survive_the_round_trip() {
    let mut rng = millstream_runtime::Rng::from_seed(3);
    for _ in 0..500 {
        let mut map = map();
        let sink = map.sinks.get_mut("events").unwrap();
        for _ in 0..rng.below(20) {
            let shift = rng.below(63);
            let next = Offset(rng.next_u64() >> 1 >> shift);
            let begin = Offset(rng.below(2) * rng.below(next.0 + 1));
            let rows = rng.next_u64() >> 1 >> rng.below(63);
            let (incarnation, rejected) = (rng.below(3), rng.below(2) * rng.below(1000));
            let position = PartitionPosition { begin, next, incarnation, rows, rejected };
            let partition = u32::try_from(rng.below(100)).unwrap();
            sink.partitions.insert(PartitionId(partition), position);
        }
        assert_eq!(PositionMap::decode(&map.encode()).unwrap(), map);
    }
}

#[test]
fn rejections_of_one_cause_are_stored_together_and_come_back_in_order() {
    let rejection = |offset, field: Option<&str>| Rejection {
        offset: Offset(offset),
        field: field.map(str::to_owned),
        reason: "wrong type".to_owned(),
    };
    let rejected = vec![rejection(1, Some("n")), rejection(2, None), rejection(9, Some("n"))];
    let partitions = [(PartitionId(4), rejected)].into();
    let rejections: Rejections = [("events".to_owned(), partitions)].into();
    let text = encode_rejections(&rejections);
    assert_eq!(text.matches("wrong type").count(), 2, "{text}");
    assert_eq!(decode_rejections(&text).unwrap(), rejections);
    assert_eq!(text, REJECTED_FIXTURE);
}
