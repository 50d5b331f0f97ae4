use millstream_log::OffsetBatch;
use millstream_model::{
    HeadersBuilder, Offset, Record, RecordBatch, RecordBatchBuilder, Timestamp, header,
};

use super::{BATCHES_MAX, NAMED_MAX, Trail};

fn batch(records: &[(i64, &str, &str)]) -> OffsetBatch {
    let mut builder = RecordBatchBuilder::new();
    for (millis, request, trace) in records {
        let mut headers = HeadersBuilder::new().with(header::REQUEST_ID, request.as_bytes());
        if !trace.is_empty() {
            headers.push(header::TRACE_PARENT, trace.as_bytes());
        }
        builder.push(Record {
            timestamp: Timestamp::from_millis(*millis),
            key: None,
            value: Some(b"{}"),
            headers: headers.as_headers(),
        });
    }
    OffsetBatch { first: Offset(0), records: builder.finish() }
}

#[test]
fn a_commit_names_each_request_and_each_trace_once() {
    let mut trail = Trail::default();
    trail.add(&batch(&[(7, "a", "t1"), (5, "b", ""), (9, "a", "t1")]));
    trail.add(&batch(&[(8, "c", "t2")]));
    assert_eq!(trail.requests, ["a", "b", "c"]);
    assert_eq!(trail.traces, ["t1", "t2"]);
    let accepted: Vec<i64> = trail.accepted.iter().map(|at| at.as_millis()).collect();
    assert_eq!(accepted, [5, 8], "the oldest record of each batch counts");
}

#[test]
fn what_a_commit_names_and_keeps_is_bounded_and_never_too_young() {
    let mut trail = Trail::default();
    for at in 0..2 * BATCHES_MAX {
        let millis = i64::try_from(3 * BATCHES_MAX - at).unwrap();
        trail.add(&batch(&[(millis, &format!("request-{at}"), &format!("trace-{at}"))]));
    }
    assert_eq!(trail.requests.len(), NAMED_MAX);
    assert_eq!(trail.traces.len(), NAMED_MAX);
    assert_eq!(trail.accepted.len(), BATCHES_MAX);
    let oldest = i64::try_from(BATCHES_MAX + 1).unwrap();
    assert_eq!(trail.accepted.last().unwrap().as_millis(), oldest);
}

#[test]
fn headers_that_are_no_text_name_nothing() {
    let mut builder = RecordBatchBuilder::new();
    let headers = HeadersBuilder::new().with(header::REQUEST_ID, &[0xff, 0xfe]);
    let timestamp = Timestamp::EPOCH;
    builder.push(Record { timestamp, key: None, value: None, headers: headers.as_headers() });
    let mut trail = Trail::default();
    trail.add(&OffsetBatch { first: Offset(0), records: builder.finish() });
    trail.add(&OffsetBatch { first: Offset(1), records: RecordBatch::default() });
    assert!(trail.requests.is_empty() && trail.traces.is_empty());
    assert_eq!(trail.accepted.len(), 1, "an empty batch has no delay");
}
