use proptest::prelude::*;

use super::*;

/// What version 1 wrote for [`sample`]; what is stored must stay readable.
const FIXTURE: &[u8] = include_bytes!("../../../test-data/positions/task-v1.bin");

/// What version 1 wrote for a task that goes on as `app.new.clean.3`.
const RENAMED_FIXTURE: &[u8] = include_bytes!("../../../test-data/positions/renamed-v1.bin");

fn sample() -> TaskRecord {
    let input = TopicPartition::new(TopicName::new("events").unwrap(), 3);
    let position = LogPosition {
        log: LogId(Uuid::from_u128(0x1111)),
        topic: TopicId(Uuid::from_u128(0x2222)),
        incarnation: Incarnation(5),
        offset: Offset(1234),
    };
    let inputs = BTreeMap::from([(input, position)]);
    TaskRecord { epoch: Epoch(7), began: true, is_released: false, inputs }
}

#[test]
fn version_1_is_written_and_read_byte_for_byte() {
    assert_eq!(sample().encode(), FIXTURE);
    assert_eq!(TaskRecord::decode(FIXTURE), Ok(sample()));
}

#[test]
fn a_record_cut_short_or_prolonged_is_refused() {
    for len in 0..FIXTURE.len() {
        assert!(TaskRecord::decode(&FIXTURE[..len]).is_err(), "{len} bytes");
    }
    assert!(TaskRecord::decode(&[FIXTURE, &[0]].concat()).is_err());
}

#[test]
fn another_version_and_unknown_flags_are_refused() {
    for (at, value) in [(0, 2), (1, 4), (2, 1)] {
        let mut bytes = FIXTURE.to_vec();
        bytes[at] = value;
        assert!(TaskRecord::decode(&bytes).is_err(), "byte {at} = {value}");
    }
}

#[test]
fn a_renamed_task_is_written_and_read_byte_for_byte() {
    let to = TaskId::new("app.new.clean.3").unwrap();
    assert_eq!(encode_renamed(&to), RENAMED_FIXTURE);
    assert_eq!(Told::decode(RENAMED_FIXTURE), Ok(Told::Renamed(to)));
    assert_eq!(Told::decode(FIXTURE), Ok(Told::Task(sample())));
    for len in 0..RENAMED_FIXTURE.len() {
        assert!(Told::decode(&RENAMED_FIXTURE[..len]).is_err(), "{len} bytes");
    }
    assert!(Told::decode(&[RENAMED_FIXTURE, &[0]].concat()).is_err());
    for (at, value) in [(0, 2), (1, 5), (2, 1), (4, 0), (5, b'/')] {
        let mut bytes = RENAMED_FIXTURE.to_vec();
        bytes[at] = value;
        assert!(Told::decode(&bytes).is_err(), "byte {at} = {value}");
    }
}

#[test]
fn keys_tell_tasks_and_sources_apart() {
    let task = TaskId::new("app.pipeline.clean.0").unwrap();
    let source = SourceId::new("file/with/slashes").unwrap();
    let last = Key::Manifest(task.clone());
    for key in [Key::Task(task.clone()), Key::Source(task, source), last] {
        assert_eq!(Key::decode(key.encode().as_bytes()), Ok(key));
    }
    for text in ["", "/", "/source", "a task", "a task/", "\u{0}"] {
        assert!(Key::decode(text.as_bytes()).is_err(), "{text:?}");
    }
    assert!(Key::decode(b"\xff").is_err());
}

#[test]
fn a_position_comes_back() {
    let position = Bytes::from_static(b"17");
    assert_eq!(encode_position(&position), b"\x0117");
    assert_eq!(decode_position(b"\x0117"), Ok(position));
    assert_eq!(decode_position(b"\x01"), Ok(Bytes::new()));
    assert!(decode_position(b"").is_err() && decode_position(b"\x0217").is_err());
    assert!(decode_position(&[1; SOURCE_POSITION_BYTES_MAX + 2]).is_err());
}

proptest! {
    #[test]
    fn records_round_trip(
        epoch: u64,
        began: bool,
        is_released: bool,
        inputs in proptest::collection::btree_map(
            ("[a-z]{1,20}", any::<u32>()),
            (any::<u128>(), any::<u128>(), any::<u64>(), any::<u64>()),
            0..4,
        ),
    ) {
        let inputs = inputs.into_iter().map(|((topic, partition), (log, id, incarnation, offset))| {
            let position = LogPosition {
                log: LogId(Uuid::from_u128(log)),
                topic: TopicId(Uuid::from_u128(id)),
                incarnation: Incarnation(incarnation),
                offset: Offset(offset),
            };
            (TopicPartition::new(TopicName::new(&topic).unwrap(), partition), position)
        });
        let record =
            TaskRecord { epoch: Epoch(epoch), began, is_released, inputs: inputs.collect() };
        prop_assert_eq!(TaskRecord::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, at in 0..FIXTURE.len(), value: u8) {
        // What comes back is whatever it is: only a panic is wrong.
        let mut changed = FIXTURE.to_vec();
        changed[at] = value;
        for bytes in [&bytes, &changed] {
            match Told::decode(bytes) {
                Ok(Told::Task(record)) => {
                    prop_assert_eq!(TaskRecord::decode(&record.encode()), Ok(record));
                }
                Ok(Told::Renamed(to)) => {
                    prop_assert_eq!(Told::decode(&encode_renamed(&to)), Ok(Told::Renamed(to)));
                }
                Err(_malformed) => {}
            }
        }
        let _decoded = (Key::decode(&bytes), decode_position(&bytes));
    }
}
