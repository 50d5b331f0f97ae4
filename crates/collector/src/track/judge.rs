//! Judges every event of a body, in slices, so that a large one does not hold up the others.

use std::mem::size_of;
use std::ops::Range;

use http::StatusCode;

use super::form::Declared;
use crate::answer::Problem;
use crate::body::{Received, overloaded};
use crate::json::{Captured, Events, Fault, Form};
use crate::worker::Lane;

/// An event that will be stored.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Its place among the request's events, from zero.
    pub(super) index: u32,
    /// Where it stands in the body.
    pub(super) range: Range<usize>,
    /// What routes it.
    pub(super) key: Option<Captured>,
}

/// The events of a body, judged.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) form: Form,
    pub(super) accepted: Vec<Accepted>,
    /// Indexes and faults of those that will not be stored.
    pub(super) rejected: Vec<(u32, Fault)>,
}

impl Judgement {
    /// Returns the bytes this takes in memory.
    pub(super) fn bytes_held(&self) -> usize {
        self.accepted.len() * size_of::<Accepted>()
            + self.rejected.len() * size_of::<(u32, Fault)>()
    }

    fn len(&self) -> usize {
        self.accepted.len() + self.rejected.len()
    }
}

/// The bytes that are judged before other requests of the worker get their turn: about a quarter
/// of a millisecond.
const SLICE_BYTES: usize = 256 << 10;

/// Judges what was received. An error means that nothing of it is accepted.
pub(super) async fn judge(
    lane: &Lane,
    received: &mut Received,
    declared: Declared,
) -> Result<Judgement, Problem> {
    let body = received.bytes.clone();
    let form = declared.form(&body, |body| Form::sniff(body, &mut lane.walker()));
    let mut events = Events::new(&body, form);
    let (accepted, rejected) = (Vec::new(), Vec::new());
    let mut judgement = Judgement { form, accepted, rejected };
    let mut slice_end = SLICE_BYTES;
    while judge_slice(lane, &mut events, &mut judgement, slice_end)? {
        slice_end = events.bytes_walked() + SLICE_BYTES;
        received.share.grow_to(body.len() + judgement.bytes_held()).map_err(overloaded)?;
        tokio::task::yield_now().await;
    }
    Ok(judgement)
}

/// Judges events up to about `slice_end`; returns whether there are more.
fn judge_slice(
    lane: &Lane,
    events: &mut Events<'_>,
    judgement: &mut Judgement,
    slice_end: usize,
) -> Result<bool, Problem> {
    let events_max = lane.shared.config.request_events_max;
    let mut walker = lane.walker();
    while let Some(judged) = events.next(&mut walker).map_err(unreadable)? {
        let index = judgement.len();
        if index == events_max {
            return Err(too_many(events_max));
        }
        let index = u32::try_from(index).expect("request_events_max is far below 2^32");
        match judged.verdict {
            Ok(routing) => {
                let key = routing.into_key();
                judgement.accepted.push(Accepted { index, range: judged.range, key });
            }
            Err(fault) => judgement.rejected.push((index, fault)),
        }
        if events.bytes_walked() >= slice_end {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Refuses a body that cannot be split into events.
pub(super) fn unreadable(fault: Fault) -> Problem {
    let detail = format!("{}, at byte {}; nothing was stored", fault.reason.message(), fault.at);
    Problem::new(StatusCode::BAD_REQUEST, fault.reason.code(), detail)
        .with_number("at", fault.at as u128)
}

fn too_many(events_max: usize) -> Problem {
    let detail = format!("more than request_events_max, {events_max}; nothing was stored");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_events", detail)
        .with_number("request_events_max", events_max as u128)
}
