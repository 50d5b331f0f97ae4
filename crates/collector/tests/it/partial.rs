//! A log that answers for each record, as Kafka does: so does the collector for each event.

use anyhow::Result;
use futures::FutureExt as _;
use millstream_log::memory::MemoryLog;
use millstream_log::{Append, EnqueueError, Log as _, RecordOutcome};
use millstream_model::{
    ErrorClass, OffsetRange, Record, RecordBatch, RecordBatchBuilder, TopicPartition,
};
use serde_json::json;

use crate::rig::{Answer, Faults, Rig, config, post};

const REFUSED: RecordOutcome = RecordOutcome::Refused(ErrorClass::Invalid);
const NOT_STORED: RecordOutcome = RecordOutcome::Refused(ErrorClass::Transient);

/// Stores every record but those that fail, and answers for each.
pub(crate) fn enqueue(
    log: &MemoryLog,
    faults: &Faults,
    records: &[(TopicPartition, RecordBatch)],
) -> Result<Append, EnqueueError> {
    let mut outcomes = Vec::new();
    for (partition, batch) in records {
        let outcome = |record| outcome(log, faults, partition, record);
        outcomes.push(batch.iter().map(outcome).collect::<Vec<_>>());
    }
    let (done, append) = Append::channel();
    let source = std::io::Error::other("a fault of the test");
    done.send(Err(EnqueueError::Records { outcomes, source })).expect("it is awaited below");
    Ok(append)
}

fn outcome(
    log: &MemoryLog,
    faults: &Faults,
    partition: &TopicPartition,
    record: Record<'_>,
) -> RecordOutcome {
    let value = std::str::from_utf8(record.value.expect("no tombstones")).expect("JSON");
    if let Some((_, outcome)) = faults.iter().find(|(text, _)| value.contains(text)) {
        return *outcome;
    }
    let mut alone = RecordBatchBuilder::new();
    alone.push(record);
    let append = log.enqueue(vec![(partition.clone(), alone.finish())]).expect("there is room");
    let appended = append.now_or_never().expect("nothing holds the log").expect("it is open");
    RecordOutcome::Appended(appended[0].landed.offsets().map(OffsetRange::start))
}

/// Posts three events to a log on which those that hold `"x"` fail so.
async fn answer_with(outcome: RecordOutcome, body: &str) -> Result<(Answer, Vec<String>)> {
    let rig = Rig::start(config()).await?;
    rig.fail("\"x\"", outcome);
    let answer = rig.client().await?.track(body).await?;
    Ok((answer, rig.values()?))
}

#[tokio::test]
async fn an_event_that_the_log_refuses_for_good_is_rejected_and_the_others_are_accepted()
-> Result<()> {
    let body = r#"[{"n":0},{"x":1},7,{"n":3}]"#;
    let (answer, stored) = answer_with(REFUSED, body).await?;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json()?,
        json!({"accepted": 2, "rejected": 2, "results": [
            {"index": 1, "status": "rejected", "reason": "refused_by_log"},
            {"index": 2, "status": "rejected", "reason": "not_an_object", "at": 17},
        ]})
    );
    assert_eq!(stored, [r#"{"n":0}"#, r#"{"n":3}"#]);
    Ok(())
}

#[tokio::test]
async fn what_is_to_be_sent_again_is_named_with_its_reason_and_a_time() -> Result<()> {
    for (outcome, reason) in
        [(NOT_STORED, "not_stored"), (RecordOutcome::Unknown, "outcome_unknown")]
    {
        let body = r#"[{"n":0},{"x":1},7,{"n":3}]"#;
        let (answer, stored) = answer_with(outcome, body).await?;
        assert_eq!((answer.status, answer.code()?.as_str()), (503, "partly_stored"));
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        let json = answer.json()?;
        assert!(json["retry_after_ms"].is_u64(), "{json}");
        assert_eq!([&json["accepted"], &json["rejected"], &json["retry"]], [2, 1, 1]);
        assert_eq!(json["results"][0], json!({"index": 1, "status": "retry", "reason": reason}));
        assert_eq!(json["results"][1]["reason"], "not_an_object");
        assert_eq!(stored.len(), 2);
    }
    Ok(())
}

#[tokio::test]
async fn a_request_of_which_nothing_is_stored_says_so() -> Result<()> {
    for (outcome, body, status, code) in [
        (REFUSED, r#"{"x":1}"#, 400, "refused_by_log"),
        (REFUSED, r#"[{"x":1},{"x":2}]"#, 400, "all_rejected"),
        (NOT_STORED, r#"[{"x":1},{"x":2}]"#, 503, "not_stored"),
        (RecordOutcome::Unknown, r#"[{"x":1},{"x":2}]"#, 503, "outcome_unknown"),
    ] {
        let (answer, stored) = answer_with(outcome, body).await?;
        assert_eq!((answer.status, answer.code()?.as_str()), (status, code), "{outcome:?}");
        assert!(stored.is_empty(), "{stored:?}");
    }
    Ok(())
}

#[tokio::test]
async fn all_results_name_the_place_of_each_event_that_is_stored() -> Result<()> {
    let rig = Rig::start(config()).await?;
    rig.fail("\"x\"", RecordOutcome::Unknown);
    let body = r#"[{"n":0},{"x":1},{"n":2},{"n":3}]"#;
    let mut client = rig.client().await?;
    let request = String::from_utf8(post("", body))?.replacen("/track", "/track?results=all", 1);
    client.send(request).await?;
    let answer = client.answer().await?.json()?;
    let results = answer["results"].as_array().expect("a list");
    assert_eq!(results.len(), 4);
    let stored = rig.stored()?;
    for index in [0, 2, 3] {
        let found = stored.iter().find(|stored| stored.value == format!("{{\"n\":{index}}}"));
        let found = found.expect("accepted means stored");
        let result = &results[index];
        assert_eq!(result["status"], "accepted");
        assert_eq!(
            [&result["partition"], &result["offset"]],
            [&json!(found.partition), &json!(found.offset.0)]
        );
    }
    assert_eq!(results[1]["status"], "retry");
    Ok(())
}

#[tokio::test]
async fn an_event_that_is_stored_nobody_knows_where_is_accepted_without_an_offset() -> Result<()> {
    let rig = Rig::start(config()).await?;
    rig.fail("\"x\"", RecordOutcome::Appended(None));
    let mut client = rig.client().await?;
    let request = post("", r#"[{"n":0},{"x":1}]"#);
    let request = String::from_utf8(request)?.replacen("/track", "/track?results=all", 1);
    client.send(request).await?;
    let answer = client.answer().await?;
    assert_eq!(answer.status, 200);
    let json = answer.json()?;
    assert_eq!([&json["accepted"], &json["rejected"]], [2, 0]);
    let result = &json["results"][1];
    assert_eq!([&result["status"], &result["offset"]], [&json!("accepted"), &json!(null)]);
    Ok(())
}
