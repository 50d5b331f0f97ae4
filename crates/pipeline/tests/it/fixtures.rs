//! What was stored by a released version is read by this one.

use std::path::PathBuf;

use millstream_model::record::RecordBatch;
use millstream_model::{
    HeadersBuilder, Incarnation, LogId, LogPosition, Offset, Record, RecordBatchBuilder, Timestamp,
    TopicId, header,
};
use millstream_pipeline::Counts;
use millstream_pipeline::counts::Beginning;
use millstream_pipeline::spool::{Position, Refusal};
use uuid::Uuid;

use crate::stage::partition;

fn stored(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("test-data").join(name);
    std::fs::read(&path).expect("the fixture is committed")
}

/// One record of each shape: plain, without key, tombstone, empty key and value, headers.
fn records() -> RecordBatch {
    let headers = HeadersBuilder::new()
        .with(header::ORIGIN, b"events/3/42")
        .with(header::REASON, "zu groß".as_bytes())
        .with(header::REASON, b"");
    let record = |millis, key, value| Record {
        timestamp: Timestamp::from_millis(millis),
        key,
        value,
        headers: millstream_model::Headers::EMPTY,
    };
    let mut batch = RecordBatchBuilder::new();
    batch.push(record(1_795_342_272_345, Some(b"u1"), Some(br#"{"user_id":"u1"}"#)));
    batch.push(record(-1, None, Some(b"\xff\x00")));
    batch.push(record(0, Some(b"k"), None));
    batch.push(record(i64::MAX, Some(b""), Some(b"")));
    let with_headers = record(1, Some(b"u2"), Some(b"[]"));
    batch.push(Record { headers: headers.as_headers(), ..with_headers });
    batch.finish()
}

#[test]
fn records_of_version_1_are_read_and_written() {
    let bytes = stored("record/1/batch.bin");
    let decoded = RecordBatch::decode(bytes.clone().into(), 5).expect("version 1 is readable");
    assert!(decoded.iter().eq(records().iter()));
    assert_eq!(*records().as_bytes(), bytes);
}

#[test]
fn counts_of_version_1_are_read_and_written() {
    let bytes = stored("counts/1/counts.bin");
    let counts = Counts {
        read: 10,
        written: 6,
        rejected: 3,
        filtered: 2,
        deduplicated: 1,
        created: 1,
        replayed: 1,
    };
    assert_eq!(Counts::decode(&bytes), Ok(counts));
    assert_eq!(counts.encode(), bytes);
}

#[test]
fn a_beginning_of_version_1_is_read_and_written() {
    let bytes = stored("beginning/1/beginning.bin");
    let inputs = [
        (partition("events", 3), Offset(1_795_342_272_345)),
        (partition("users", 0), Offset::ZERO),
    ];
    let beginning = Beginning { inputs: inputs.into() };
    assert_eq!(Beginning::decode(&bytes), Ok(beginning.clone()));
    assert_eq!(beginning.encode(), bytes);
}

#[test]
fn a_position_of_a_spool_of_version_1_is_read_and_written() {
    let bytes = stored("spool/1/position.bin");
    let next = LogPosition {
        log: LogId(Uuid::from_u128(0x0123_4567_89ab_cdef_0011_2233_4455_6677)),
        topic: TopicId(Uuid::from_u128(0x8899_aabb_ccdd_eeff_7766_5544_3322_1100)),
        incarnation: Incarnation(0xfeed_beef_cafe_f00d),
        offset: Offset(1_795_342_272_345),
    };
    let position = Position {
        next,
        checksum: 0xe306_9283,
        forwarded: 1_795_342_272_300,
        refused: 45,
        refusals: vec![
            Refusal::new(Offset(1_795_342_272_340), "larger than the topic takes"),
            Refusal::new(Offset(1_795_342_272_344), "zu groß"),
        ],
    };
    assert_eq!(Position::decode(&bytes), Ok(position.clone()));
    assert_eq!(position.encode(), bytes);
}
