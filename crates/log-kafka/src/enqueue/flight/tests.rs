use std::sync::Arc;

use futures::FutureExt as _;
use millstream_log::{Append, Appended, EnqueueError, Landed, RecordOutcome};
use millstream_model::{
    ErrorClass, Headers, Offset, OffsetRange, Record, RecordBatch, RecordBatchBuilder, Timestamp,
    TopicName, TopicPartition,
};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};

use super::{Flight, Tag, Waiting, offset_of};

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

fn at(start: u64, end: u64) -> Landed {
    Landed::At(OffsetRange::new(Offset(start), Offset(end)))
}

/// Where each run landed, with the number of its partition.
fn landed(appended: &[Appended]) -> Vec<(u32, Landed)> {
    appended.iter().map(|run| (run.partition.partition.0, run.landed)).collect()
}

#[test]
fn an_append_resolves_with_the_last_of_its_records() {
    let (mut append, [mut a, mut b, mut c]) = flight();
    b.settle(Ok(Some(Offset(8))));
    c.settle(Ok(Some(Offset(3))));
    assert!((&mut append).now_or_never().is_none(), "resolved before its last record");
    a.settle(Ok(Some(Offset(7))));
    let appended = append.now_or_never().expect("all are reported").expect("all were stored");
    assert_eq!(landed(&appended), [(2, at(7, 9)), (1, at(3, 4))]);
}

#[test]
fn a_batch_that_others_wrote_between_is_told_in_runs() {
    let (append, [mut a, mut b, mut c]) = flight();
    a.settle(Ok(Some(Offset(7))));
    b.settle(Ok(Some(Offset(12))));
    c.settle(Ok(Some(Offset(3))));
    let appended = append.now_or_never().expect("all are reported").expect("all were stored");
    assert_eq!(landed(&appended), [(2, at(7, 8)), (2, at(12, 13)), (1, at(3, 4))]);
}

#[test]
fn a_record_whose_offset_the_brokers_forgot_is_stored_and_not_at_offset_zero() {
    assert_eq!(offset_of(0), Some(Offset(0)));
    for unknown in [-1, -1001, i64::MIN] {
        assert_eq!(offset_of(unknown), None);
    }
    let (append, [mut a, mut b, mut c]) = flight();
    a.settle(Ok(None));
    b.settle(Ok(None));
    c.settle(Ok(Some(Offset(0))));
    let appended = append.now_or_never().expect("all are reported").expect("all were stored");
    assert_eq!(landed(&appended), [(2, Landed::Somewhere(2)), (1, at(0, 1))]);

    let (append, [mut a, mut b, mut c]) = flight();
    a.settle(Ok(Some(Offset(5))));
    b.settle(Ok(None));
    c.refused(ClientError::MessageProduction(Code::MessageSizeTooLarge));
    let error = append.now_or_never().expect("all are reported").expect_err("one was refused");
    let EnqueueError::Records { outcomes, .. } = &error else { unreachable!("{error:?}") };
    let stored = vec![RecordOutcome::Appended(Some(Offset(5))), RecordOutcome::Appended(None)];
    assert_eq!(*outcomes, [stored, vec![RecordOutcome::Refused(ErrorClass::Invalid)]]);
    assert_eq!(error.to_string(), "1 of 3 records were not appended for sure");
}

#[test]
fn a_part_that_was_stored_is_told_record_by_record() {
    let (append, [mut a, mut b, c]) = flight();
    a.settle(Ok(Some(Offset(7))));
    b.refused(ClientError::MessageProduction(Code::MessageSizeTooLarge));
    drop(c);
    let error = append.now_or_never().expect("all are reported").expect_err("one was refused");
    let EnqueueError::Records { outcomes, .. } = &error else { unreachable!("{error:?}") };
    let refused = RecordOutcome::Refused(ErrorClass::Invalid);
    assert_eq!(
        *outcomes,
        [vec![RecordOutcome::Appended(Some(Offset(7))), refused], vec![RecordOutcome::Unknown]]
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
