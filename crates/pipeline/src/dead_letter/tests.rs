use millstream_model::{RecordBatch, Timestamp};

use super::*;

fn letter() -> DeadLetter {
    let topic = TopicName::new("events").unwrap();
    DeadLetter {
        origin: Origin { partition: TopicPartition::new(topic, 3), offset: Offset(42) },
        pipeline: "clean".to_owned(),
        step: "1:require".to_owned(),
        field: Some("user_id".to_owned()),
        reason: "is missing".to_owned(),
    }
}

fn pushed(letter: &DeadLetter, headers: Headers<'_>) -> RecordBatch {
    let mut batch = RecordBatchBuilder::new();
    let record = Record {
        timestamp: Timestamp::from_millis(7),
        key: Some(b"k"),
        value: Some(b"\xff not json"),
        headers,
    };
    letter.push(record, &mut batch);
    batch.finish()
}

#[test]
fn a_dead_letter_keeps_the_record_and_says_why() {
    let headers = HeadersBuilder::new().with(header::REQUEST_ID, b"r1");
    let batch = pushed(&letter(), headers.as_headers());
    let record = batch.iter().next().unwrap();
    assert_eq!(record.key, Some(b"k".as_slice()));
    assert_eq!(record.value, Some(b"\xff not json".as_slice()));
    assert_eq!(record.timestamp, Timestamp::from_millis(7));
    assert_eq!(record.headers.get(header::REQUEST_ID), Some(b"r1".as_slice()));
    assert_eq!(record.headers.get(header::ORIGIN), Some(b"events/3/42".as_slice()));
    assert_eq!(DeadLetter::parse(record.headers), Ok(letter()));
}

#[test]
fn a_second_rejection_replaces_the_first() {
    let first = pushed(&letter(), Headers::EMPTY);
    let second = DeadLetter { field: None, reason: "other".to_owned(), ..letter() };
    let batch = pushed(&second, first.iter().next().unwrap().headers);
    assert_eq!(DeadLetter::parse(batch.iter().next().unwrap().headers), Ok(second));
}

#[test]
fn a_long_reason_is_cut_at_a_character() {
    let long = DeadLetter { reason: "é".repeat(REASON_BYTES_MAX), ..letter() };
    let batch = pushed(&long, Headers::EMPTY);
    let parsed = DeadLetter::parse(batch.iter().next().unwrap().headers).unwrap();
    assert_eq!(parsed.reason, "é".repeat(REASON_BYTES_MAX / 2));
}

#[test]
fn headers_that_are_no_dead_letter_are_refused() {
    let missing = DeadLetter::parse(Headers::EMPTY);
    assert_eq!(missing, Err(DeadLetterError::Header(header::ORIGIN)));
    for origin in ["", "events", "events/1", "events/x/1", "events/1/2/3", "a b/1/2"] {
        let error = DeadLetterError::Origin(origin.to_owned());
        assert_eq!(Origin::parse(origin), Err(error));
    }
}
