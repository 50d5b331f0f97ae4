//! `POST /track`: one event, an array or lines in; durable records and a result per event out.
//!
//! ```text
//!  head ──▶ form ──▶ body (budget, time) ──▶ judge each event ──▶ one append ──▶ answer
//!    415      413, 503, 408, 400             400 if none is good    503             200
//! ```
//!
//! A bad event never refuses its batch. Nothing is answered 200 before the append that holds the
//! accepted events is durable.

mod form;
mod judge;
mod results;

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use hyper::body::Incoming;
use millstream_log::EnqueueError;
use millstream_model::partitioner::partition_of;
use millstream_model::record::RECORD_OVERHEAD_BYTES;
use millstream_model::{HeadersBuilder, Offset, PartitionId, Record};
use millstream_runtime::Context;
use millstream_runtime::crash_point::crash_point;
use tokio::time::Instant;

use crate::answer::{self, Answer, Problem};
use crate::body::{self, Arriving, Received};
use crate::combiner::{Batch, Outcome, first_offset};
use crate::request_context::record_headers;
use crate::routes::Refused;
use crate::track::form::Declared;
use crate::track::judge::Accepted;
use crate::track::results::Detail;
use crate::worker::Lane;

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
    let beside = judgement.bytes_held() + results::bytes_max(&judgement, detail, topic);
    share.grow_to(bytes.len() + encoded + beside).map_err(body::overloaded)?;
    let mut answer_share = share.split(beside);
    if judgement.accepted.is_empty() {
        return results::nothing_accepted(&judgement, &bytes, answer_share);
    }

    let begin = Instant::now();
    // From here on only the encoded records are held, until the log has settled them.
    share.shrink_to(encoded);
    let (places, settling) = lane
        .combiner
        .add(share, |batch| write(lane, batch, &judgement.accepted, (&bytes, &headers), detail));
    drop((bytes, headers));
    let outcome = settling.settled().await;
    lane.shared.metrics.durable.record(begin.elapsed());
    let stored = check(&outcome, lane)?;

    crash_point("collector.before_answer");
    lane.shared.metrics.accepted.increment(judgement.accepted.len() as u64);
    if judgement.rejected.is_empty() && detail == Detail::Rejected {
        return Ok(answer::json(StatusCode::OK, results::all_accepted(judgement.accepted.len())));
    }
    let offsets = places.map(|places| {
        places.into_iter().map(|place| (place.partition, stored.offset_of(place))).collect()
    });
    let text = results::listed(&judgement, offsets, topic.as_str());
    answer_share.shrink_to(text.len());
    Ok(answer::json(StatusCode::OK, answer::held(text, answer_share)))
}

/// Where a record stands in its append.
#[derive(Debug, Clone, Copy)]
struct Place {
    partition: PartitionId,
    index: u32,
}

/// Writes the accepted events of a request into a batch.
fn write(
    lane: &Lane,
    batch: &mut Batch,
    accepted: &[Accepted],
    (body, headers): (&[u8], &HeadersBuilder),
    detail: Detail,
) -> Option<Vec<Place>> {
    let timestamp = lane.shared.settings.clock.now();
    let partitions = lane.shared.settings.topic.partitions;
    let mut places = (detail == Detail::All).then(|| Vec::with_capacity(accepted.len()));
    for event in accepted {
        let value = &body[event.range.clone()];
        let key = event.key.as_ref().map(|key| key.bytes(body));
        let partition = partition_of(key.unwrap_or(value), partitions);
        let headers = headers.as_headers();
        let index = batch.push(partition, Record { timestamp, key, value: Some(value), headers });
        if let Some(places) = &mut places {
            places.push(Place { partition, index });
        }
    }
    places
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

/// An append that is durable.
#[derive(Debug)]
struct Stored<'a>(&'a [millstream_log::Appended]);

impl Stored<'_> {
    fn offset_of(&self, place: Place) -> Offset {
        let first = first_offset(self.0, place.partition);
        first.expect("an append answers for each of its partitions").plus(place.index.into())
    }
}

/// Tells the client what became of the append.
fn check<'a>(outcome: &'a Arc<Outcome>, lane: &Lane) -> Result<Stored<'a>, Problem> {
    let unavailable = StatusCode::SERVICE_UNAVAILABLE;
    let error = match &**outcome {
        Ok(appended) => return Ok(Stored(appended)),
        Err(error) => error,
    };
    Err(match error {
        EnqueueError::Full { retry_after } => {
            let detail = "the log is full; nothing was stored, send the request again later";
            let reasons = lane.shared.settings.readiness.why_full();
            Problem::full("log_full", detail, *retry_after).with_texts("reasons", &reasons)
        }
        EnqueueError::Closed => {
            let detail = "the node is stopping; nothing was stored, send the request again";
            Problem::full("stopping", detail, RETRY_AFTER_DOUBT)
        }
        EnqueueError::Storage(_) | EnqueueError::Unknown | EnqueueError::Records { .. } => {
            let detail = "the events may be stored or not: send the request again; events with a \
                          message_id can be told from their first copy";
            Problem::full("outcome_unknown", detail, RETRY_AFTER_DOUBT)
        }
        EnqueueError::TooLarge { bytes, bytes_max } => {
            let detail = format!(
                "the events take {bytes} bytes in the log, more than an append's {bytes_max}; \
                 nothing was stored, send fewer in one request"
            );
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "append_too_large", detail)
        }
        EnqueueError::UnknownPartition(partition) => {
            let detail = format!("{partition} does not exist; nothing was stored");
            Problem::new(unavailable, "topic_missing", detail)
        }
    })
}

/// When to come back after a failure that says nothing about when it ends.
const RETRY_AFTER_DOUBT: std::time::Duration = std::time::Duration::from_secs(1);
