use std::sync::Arc;

use futures::FutureExt as _;
use millstream_log::{Append, EnqueueError, RecordOutcome};
use millstream_model::{
    ErrorClass, Headers, Offset, OffsetRange, Record, RecordBatch, RecordBatchBuilder, Timestamp,
    TopicName, TopicPartition,
};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

use super::{Flight, Tag, Waiting};

const RECORD: Record<'_> =
    Record { timestamp: Timestamp::EPOCH, key: None, value: Some(b"x"), headers: Headers::EMPTY };

fn batch(records: usize) -> RecordBatch {
    let mut builder = RecordBatchBuilder::new();
    (0..records).for_each(|_| builder.push(RECORD));
    builder.finish()
}

/// An append of two batches, of two records and of one, and the tags of its records.
fn flight() -> (Append, [Box<Tag>; 3]) {
    let topic = TopicName::new("events").expect("a legal name");
    let records =
        [2, 1].map(|count| (TopicPartition::new(topic.clone(), count), batch(count as usize)));
    let waiting = Arc::new(Waiting::default());
    waiting.records.store(3, std::sync::atomic::Ordering::SeqCst);
    waiting.bytes.store(1000, std::sync::atomic::Ordering::SeqCst);
    let (done, append) = Append::channel();
    let flight = Flight::new(&records, waiting, done);
    let tags = [(0, 0), (0, 1), (1, 0)].map(|place| Box::new(Tag::new(&flight, place, &RECORD)));
    (append, tags)
}

#[test]
fn an_append_resolves_with_the_last_of_its_records() {
    let (mut append, [mut a, mut b, mut c]) = flight();
    b.settle(Ok(Offset(8)));
    c.settle(Ok(Offset(3)));
    assert!((&mut append).now_or_never().is_none(), "resolved before its last record");
    a.settle(Ok(Offset(7)));
    let appended = append.now_or_never().expect("all are reported").expect("all were stored");
    let offsets: Vec<_> = appended.iter().map(|part| part.offsets).collect();
    let expected =
        [(7, 9), (3, 4)].map(|(start, end)| OffsetRange::new(Offset(start), Offset(end)));
    assert_eq!(offsets, expected);
}

#[test]
fn a_batch_that_others_wrote_between_is_told_in_runs() {
    let (append, [mut a, mut b, mut c]) = flight();
    a.settle(Ok(Offset(7)));
    b.settle(Ok(Offset(12)));
    c.settle(Ok(Offset(3)));
    let appended = append.now_or_never().expect("all are reported").expect("all were stored");
    let runs: Vec<_> =
        appended.iter().map(|run| (run.partition.partition.0, run.offsets.start().0)).collect();
    assert_eq!(runs, [(2, 7), (2, 12), (1, 3)]);
    assert!(appended.iter().all(|run| run.offsets.len() == 1));
}

#[test]
fn a_part_that_was_stored_is_told_record_by_record() {
    let (append, [mut a, mut b, c]) = flight();
    a.settle(Ok(Offset(7)));
    b.refused(ClientError::MessageProduction(Code::MessageSizeTooLarge));
    drop(c);
    let error = append.now_or_never().expect("all are reported").expect_err("one was refused");
    let EnqueueError::Records { outcomes, .. } = &error else { unreachable!("{error:?}") };
    let refused = RecordOutcome::Refused(ErrorClass::Invalid);
    assert_eq!(
        *outcomes,
        [vec![RecordOutcome::Appended(Offset(7)), refused], vec![RecordOutcome::Unknown]]
    );
    assert_eq!(error.to_string(), "2 of 3 records were not appended for sure");
}

#[test]
fn an_append_whose_producer_ended_is_unknown() {
    let (append, tags) = flight();
    drop(tags);
    let error = append.now_or_never().expect("all are reported").expect_err("none was stored");
    assert!(matches!(error, EnqueueError::Storage(_)), "{error:?}");
}

#[test]
fn an_append_to_a_topic_that_is_gone_says_so() {
    let (append, tags) = flight();
    for mut tag in tags {
        tag.refused(ClientError::MessageProduction(Code::UnknownTopicOrPartition));
    }
    let error = append.now_or_never().expect("all are reported").expect_err("none was stored");
    assert!(matches!(error, EnqueueError::UnknownPartition(_)), "{error:?}");
}
