use millstream_model::TopicName;
use proptest::prelude::*;

use super::*;

/// What version 1 wrote for [`sample`]; what is stored must stay readable.
const FIXTURE: &[u8] = include_bytes!("../../../test-data/positions/manifest-v1.bin");

fn sample() -> Manifest {
    let written = |partition, first, last| Written {
        topic: "it-events-clean".to_owned(),
        partition,
        first,
        last,
        crc: 0x0102_0304,
    };
    let offset = |partition, text: &str| MovedOffset {
        input: TopicPartition::new(TopicName::new("events").unwrap(), partition),
        offset: 1234,
        before: if partition == 0 { -1 } else { 1200 },
        leader_epoch: if partition == 0 { -1 } else { 7 },
        text: text.to_owned(),
    };
    let offsets = vec![offset(0, "millstream/1 renamed"), offset(3, "")];
    Manifest {
        is_owed: true,
        written: vec![written(0, 5, 9), written(2, 1 << 40, 1 << 41)],
        moved: vec![Moved { group: "it-events.clean".to_owned(), offsets }],
    }
}

fn decode(bytes: &[u8]) -> Result<Manifest, Malformed> {
    Manifest::decode(&Bytes::copy_from_slice(bytes))
}

#[test]
fn version_1_is_written_and_read_byte_for_byte() {
    assert_eq!(sample().encode(), FIXTURE);
    assert_eq!(decode(FIXTURE), Ok(sample()));
}

#[test]
fn a_manifest_cut_short_or_prolonged_is_refused() {
    for len in 0..FIXTURE.len() {
        assert!(decode(&FIXTURE[..len]).is_err(), "{len} bytes");
    }
    assert!(decode(&[FIXTURE, &[0]].concat()).is_err());
}

#[test]
fn another_version_unknown_flags_and_impossible_counts_are_refused() {
    for (at, value) in [(0, 2), (1, 2), (2, 1), (3, 1), (6, 1), (7, 0x80)] {
        let mut bytes = FIXTURE.to_vec();
        bytes[at] = value;
        assert!(decode(&bytes).is_err(), "byte {at} = {value}");
    }
}

#[test]
fn offsets_that_cannot_be_are_refused() {
    let mut backwards = sample();
    backwards.written[0].last = 4;
    assert!(decode(&backwards.encode()).is_err());
    let mut negative = sample();
    negative.moved[0].offsets[0].offset = -1;
    assert!(decode(&negative.encode()).is_err());
}

#[test]
fn the_flag_is_kept() {
    for is_owed in [false, true] {
        let manifest = Manifest { is_owed, ..sample() };
        assert_eq!(decode(&manifest.encode()), Ok(manifest));
    }
}

#[test]
fn names_that_kafkas_client_does_not_take_are_refused() {
    for name in ["", "a\0b", "a/b", "ä"] {
        let mut topic = sample();
        topic.written[0].topic = name.to_owned();
        assert!(decode(&topic.encode()).is_err(), "{name:?}");
    }
    let mut group = sample();
    group.moved[0].group = "a\0b".to_owned();
    assert!(decode(&group.encode()).is_err());
    let mut text = sample();
    text.moved[0].offsets[0].text = "a\0b".to_owned();
    assert!(decode(&text.encode()).is_err());
}

#[test]
fn the_checksum_tells_values_and_keys_apart() {
    let all = [
        crc_of(Some(b"key"), Some(b"value")),
        crc_of(Some(b"key"), Some(b"other")),
        crc_of(Some(b"other"), Some(b"value")),
        crc_of(None, None),
    ];
    for (index, crc) in all.iter().enumerate() {
        assert!(!all[..index].contains(crc), "{index}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic_and_what_it_takes_is_written_the_same(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        at in 0..FIXTURE.len(),
        value: u8,
    ) {
        prop_assert!(decode(&bytes).is_err() || bytes[0] == VERSION);
        let mut changed = FIXTURE.to_vec();
        changed[at] = value;
        if let Ok(manifest) = decode(&changed) {
            prop_assert_eq!(manifest.encode(), changed);
        }
    }
}
