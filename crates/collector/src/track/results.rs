//! What a client is told about each of its events.

use std::fmt::Write as _;

use bytes::Bytes;
use http::StatusCode;
use millstream_model::TopicName;

use super::RETRY_AFTER_DOUBT;
use super::fates::{Fate, Fates, Tally};
use super::judge::{self, Judgement};
use crate::answer::{self, Answer, Problem};
use crate::budget::Share;
use crate::json::{Fault, Form};

/// Which events an answer lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// Those that were rejected.
    Rejected,
    /// All, with where they were stored: `?results=all`.
    All,
}

/// The bytes one listed event takes at most, but for the topic's name: the words are 83, and no
/// number has more than 20 digits.
const ENTRY_BYTES_MAX: usize = 160;

/// The reason for an event that the log refuses for good.
pub(crate) const REFUSED_BY_LOG: &str = "refused_by_log";

const REFUSED_ALONE: &str = "the log refuses the event for good, as larger than its topic takes; \
                             nothing was stored";
const NOT_STORED: &str = "the log could not take the events marked `retry` in results; none of the \
                          request is stored, send those again";
const PARTLY_STORED: &str = "the events marked `retry` in results are not stored, or may not be: \
                             send those again; the others are settled";

/// Reads the query.
pub(super) fn detail_of(query: Option<&str>) -> Result<Detail, Problem> {
    let Some(query) = query else { return Ok(Detail::Rejected) };
    let found = query.split('&').find_map(|pair| pair.strip_prefix("results="));
    match found {
        None | Some("rejected") => Ok(Detail::Rejected),
        Some("all") => Ok(Detail::All),
        Some(_) => {
            let detail = "results takes `rejected` (the default) or `all`";
            Err(Problem::new(StatusCode::BAD_REQUEST, "query", detail))
        }
    }
}

/// Returns what the answer's list may take.
pub(super) fn bytes_max(judgement: &Judgement, detail: Detail, topic: &TopicName) -> usize {
    let accepted = match detail {
        Detail::Rejected => 0,
        Detail::All => judgement.accepted.len() * (ENTRY_BYTES_MAX + topic.as_str().len()),
    };
    accepted + judgement.rejected.len() * ENTRY_BYTES_MAX
}

/// Answers a body without a single good event.
pub(super) fn nothing_accepted(
    judgement: &Judgement,
    body: &[u8],
    share: Share,
) -> Result<Answer, Problem> {
    match (judgement.form, judgement.rejected.as_slice()) {
        (Form::Array, []) => Ok(answer::json(StatusCode::OK, all_accepted(0))),
        _ if body.trim_ascii().is_empty() => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "empty_body",
            "the body is empty; send an event, an array of events or one event a line",
        )),
        (Form::One, [(_, fault)]) => Err(judge::unreadable(*fault)),
        (_, rejected) => {
            let mut listed = String::from("[");
            for (index, fault) in rejected {
                push_rejected(&mut listed, *index, *fault);
            }
            close_list(&mut listed);
            Err(all_rejected(rejected.len(), &listed, share))
        }
    }
}

/// Answers a request whose events were all accepted, none of them listed.
pub(super) fn all_accepted(count: usize) -> Bytes {
    if count == 1 {
        return Bytes::from_static(b"{\"accepted\":1,\"rejected\":0,\"results\":[]}\n");
    }
    format!("{{\"accepted\":{count},\"rejected\":0,\"results\":[]}}\n").into()
}

/// Everything an answer to a request is made of once the log has settled it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Results<'a> {
    pub(super) judgement: &'a Judgement,
    pub(super) fates: Fates<'a>,
    pub(super) detail: Detail,
    pub(super) topic: &'a str,
}

impl Results<'_> {
    /// Answers each event. What is to be sent again makes it a 503: a client that reads no more
    /// than the status would lose those events by a 200, and at most doubles others by this.
    pub(super) fn answer(&self, tally: Tally, mut share: Share) -> Result<Answer, Problem> {
        let (events, refused) = (self.judgement.accepted.len(), tally.refused);
        if tally.unknown == events && events > 0 {
            return Err(outcome_unknown());
        }
        let list = self.list();
        if tally.stored < events && share.grow_to(list.len()).is_err() {
            // No room to say which: without its list the client must take all of them for open.
            return Err(outcome_unknown());
        }
        share.shrink_to(list.len());
        let rejected = self.judgement.rejected.len() + refused;
        if tally.retry() > 0 {
            let problem = match tally.stored + tally.unknown {
                0 => Problem::full("not_stored", NOT_STORED, RETRY_AFTER_DOUBT),
                _ => Problem::full("partly_stored", PARTLY_STORED, RETRY_AFTER_DOUBT),
            };
            return Err(problem
                .with_number("accepted", tally.stored as u128)
                .with_number("rejected", rejected as u128)
                .with_number("retry", tally.retry() as u128)
                .with_json("results", &list)
                .holding(share));
        }
        if tally.stored == 0 && self.judgement.form == Form::One {
            return Err(Problem::new(StatusCode::BAD_REQUEST, REFUSED_BY_LOG, REFUSED_ALONE));
        }
        if tally.stored == 0 {
            return Err(all_rejected(rejected, &list, share));
        }
        let accepted = tally.stored;
        let text =
            format!("{{\"accepted\":{accepted},\"rejected\":{rejected},\"results\":{list}}}\n");
        Ok(answer::json(StatusCode::OK, answer::held(text, share)))
    }

    /// Lists what the request asked for and every event that is not stored, in order.
    fn list(&self) -> String {
        let mut list = String::from("[");
        let mut rejected = self.judgement.rejected.iter().peekable();
        for (event, fate) in self.judgement.accepted.iter().zip(self.fates.iter()) {
            while let Some((index, fault)) = rejected.next_if(|(index, _)| *index < event.index) {
                push_rejected(&mut list, *index, *fault);
            }
            self.push_fate(&mut list, event.index, fate);
        }
        for (index, fault) in rejected {
            push_rejected(&mut list, *index, *fault);
        }
        close_list(&mut list);
        list
    }

    fn push_fate(&self, out: &mut String, index: u32, fate: Fate) {
        let topic = self.topic;
        let written = match fate {
            Fate::Stored(..) if self.detail == Detail::Rejected => return,
            Fate::Stored(partition, offset) => {
                let offset = offset.map_or_else(|| "null".to_owned(), |offset| offset.to_string());
                write!(
                    out,
                    "{{\"index\":{index},\"status\":\"accepted\",\"topic\":\"{topic}\",\
                     \"partition\":{partition},\"offset\":{offset}}},",
                )
            }
            Fate::Refused => write!(
                out,
                "{{\"index\":{index},\"status\":\"rejected\",\"reason\":\"{REFUSED_BY_LOG}\"}},",
            ),
            Fate::NotStored => {
                write!(out, "{{\"index\":{index},\"status\":\"retry\",\"reason\":\"not_stored\"}},",)
            }
            Fate::Unknown => write!(
                out,
                "{{\"index\":{index},\"status\":\"retry\",\"reason\":\"outcome_unknown\"}},",
            ),
        };
        written.expect("a string takes all that is written");
    }
}

/// Says that nobody knows what became of the events.
pub(super) fn outcome_unknown() -> Problem {
    let detail = "the events may be stored or not: send the request again; events with a \
                  message_id can be told from their first copy";
    Problem::full("outcome_unknown", detail, RETRY_AFTER_DOUBT)
}

fn all_rejected(count: usize, list: &str, share: Share) -> Problem {
    let detail = format!("all {count} events were rejected; see results");
    Problem::new(StatusCode::BAD_REQUEST, "all_rejected", detail)
        .with_number("accepted", 0)
        .with_number("rejected", count as u128)
        .with_json("results", list)
        .holding(share)
}

fn push_rejected(out: &mut String, index: u32, fault: Fault) {
    let (code, at) = (fault.reason.code(), fault.at);
    write!(out, "{{\"index\":{index},\"status\":\"rejected\",\"reason\":\"{code}\",\"at\":{at}}},")
        .expect("a string takes all that is written");
}

/// Ends a list whose entries each end in a comma.
fn close_list(out: &mut String) {
    if out.ends_with(',') {
        out.pop();
    }
    out.push(']');
}
