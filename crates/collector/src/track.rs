//! `POST /track`: one event, an array or lines in; durable records and a result per event out.
//!
//! ```text
//!  head ──▶ form ──▶ body (budget, time) ──▶ judge each event ──▶ one append ──▶ answer
//!    415      413, 503, 408, 400             400 if none is good    503           200, 503
//! ```
//!
//! A bad event never refuses its batch. Nothing is answered 200 before the append that holds the
//! accepted events is durable. Where the log answers for each record, so does the answer: [`fates`].

mod fates;
mod form;
mod judge;
mod results;

use std::mem::size_of;

use http::StatusCode;
use http::request::Parts;
use hyper::body::Incoming;
use millstream_log::EnqueueError;
use millstream_model::partitioner::partition_of;
use millstream_model::record::RECORD_OVERHEAD_BYTES;
use millstream_model::{ByteSize, HeadersBuilder, Record};
use millstream_runtime::Context;
use millstream_runtime::crash_point::crash_point;
use tokio::time::Instant;

use crate::answer::{self, Answer, Problem};
use crate::body::{self, Arriving, Received};
use crate::combiner::Batch;
use crate::outcome::{Place, Verdict};
use crate::request_context::record_headers;
use crate::routes::Refused;
use crate::track::fates::Fates;
use crate::track::form::Declared;
use crate::track::judge::Accepted;
use crate::track::results::{Detail, Results};
use crate::worker::Lane;

pub(crate) use fates::Tally;
pub(crate) use results::REFUSED_BY_LOG;

/// Answers one `POST /track`.
pub(crate) async fn track(
    cx: &Context,
    lane: &Lane,
    parts: &Parts,
    body: Incoming,
) -> Result<Answer, Refused> {
    let arriving = Arriving::new(parts, body, &lane.shared.config);
    let asked = form::of_request(parts)
        .and_then(|declared| Ok((declared, results::detail_of(parts.uri.query())?)));
    let asked = match asked {
        Ok(asked) => asked,
        Err(problem) => return Err(arriving.refuse(problem).await),
    };
    let received = arriving.receive(&lane.shared.budget).await?;
    lane.shared.metrics.body_bytes.increment(received.bytes.len() as u64);
    take(cx, lane, received, asked).await.map_err(Refused::after_body)
}

/// Judges and stores what was received.
async fn take(
    cx: &Context,
    lane: &Lane,
    mut received: Received,
    (declared, detail): (Declared, Detail),
) -> Result<Answer, Problem> {
    let judgement = judge::judge(lane, &mut received, declared).await?;
    for (_, fault) in &judgement.rejected {
        lane.shared.metrics.rejected(fault.reason);
    }
    let topic = &lane.shared.settings.topic.name;
    let headers = record_headers(cx);
    let Received { bytes, mut share } = received;
    let encoded = encoded_bytes(&judgement.accepted, &bytes, &headers);
    let places_bytes = judgement.accepted.len() * size_of::<Place>();
    let beside =
        judgement.bytes_held() + places_bytes + results::bytes_max(&judgement, detail, topic);
    share.grow_to(bytes.len() + encoded + beside).map_err(body::overloaded)?;
    let answer_share = share.split(beside);
    if judgement.accepted.is_empty() {
        return results::nothing_accepted(&judgement, &bytes, answer_share);
    }

    let begin = Instant::now();
    // From here on only the encoded records are held, until the log has settled them.
    share.shrink_to(encoded);
    let (places, settling) = lane
        .combiner
        .add(share, |batch| write(lane, batch, &judgement.accepted, (&bytes, &headers)));
    drop((bytes, headers));
    let outcome = settling.settled().await;
    lane.shared.metrics.durable.record(begin.elapsed());
    let is_stored = match outcome.verdict() {
        Verdict::Failed(error) => return Err(refusal(error, lane)),
        Verdict::Stored => true,
        Verdict::Each => false,
    };

    crash_point("collector.before_answer");
    if is_stored && judgement.rejected.is_empty() && detail == Detail::Rejected {
        lane.shared.metrics.accepted.increment(judgement.accepted.len() as u64);
        return Ok(answer::json(StatusCode::OK, results::all_accepted(judgement.accepted.len())));
    }
    let fates = Fates { places: &places, outcome: &outcome };
    let tally = fates.tally();
    lane.shared.metrics.settled(tally);
    let results = Results { judgement: &judgement, fates, detail, topic: topic.as_str() };
    results.answer(tally, answer_share)
}

/// Writes the accepted events of a request into a batch.
fn write(
    lane: &Lane,
    batch: &mut Batch,
    accepted: &[Accepted],
    (body, headers): (&[u8], &HeadersBuilder),
) -> Vec<Place> {
    let timestamp = lane.shared.settings.clock.now();
    let partitions = lane.shared.settings.topic.partitions;
    let mut write_one = |event: &Accepted| {
        let value = &body[event.range.clone()];
        let key = event.key.as_ref().map(|key| key.bytes(body));
        let partition = partition_of(key.unwrap_or(value), partitions);
        let headers = headers.as_headers();
        batch.push(partition, Record { timestamp, key, value: Some(value), headers })
    };
    accepted.iter().map(&mut write_one).collect()
}

/// The lengths before a header's name and value.
const HEADER_OVERHEAD_BYTES: usize = 6;

/// Returns what the accepted events take as records.
fn encoded_bytes(accepted: &[Accepted], body: &[u8], headers: &HeadersBuilder) -> usize {
    let header = |(name, value): (&str, &[u8])| HEADER_OVERHEAD_BYTES + name.len() + value.len();
    let around = RECORD_OVERHEAD_BYTES + headers.as_headers().iter().map(header).sum::<usize>();
    let one = |event: &Accepted| {
        around + event.range.len() + event.key.as_ref().map_or(0, |key| key.bytes(body).len())
    };
    accepted.iter().map(one).sum()
}

/// Tells the client why its append failed whole.
fn refusal(error: &EnqueueError, lane: &Lane) -> Problem {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    match error {
        EnqueueError::Full { retry_after } => {
            let detail = "the log takes nothing now, it is full or away; nothing was stored, send the \
                          request again later";
            let reasons = lane.shared.settings.readiness.why_full();
            Problem::full("log_full", detail, *retry_after).with_texts("reasons", &reasons)
        }
        EnqueueError::Closed => {
            let detail = "the node is stopping; nothing was stored, send the request again";
            Problem::full("stopping", detail, RETRY_AFTER_DOUBT)
        }
        EnqueueError::Storage(_) | EnqueueError::Unknown | EnqueueError::Records { .. } => {
            results::outcome_unknown()
        }
        EnqueueError::TooLarge { bytes, bytes_max } => {
            let detail = format!(
                "the events take {} in the log, more than an append's {}; nothing was stored, send \
                 fewer in one request",
                ByteSize(*bytes as u64),
                ByteSize(*bytes_max as u64),
            );
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "append_too_large", detail)
        }
        EnqueueError::UnknownPartition(partition) => {
            let detail = format!("{partition} does not exist; nothing was stored");
            Problem::new(unavailable, "topic_missing", detail)
        }
    }
}

/// When to come back after a failure that says nothing about when it ends.
const RETRY_AFTER_DOUBT: std::time::Duration = std::time::Duration::from_secs(1);
