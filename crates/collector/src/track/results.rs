//! What a client is told about each of its events.

use std::fmt::Write as _;

use bytes::Bytes;
use http::StatusCode;
use millstream_model::{Offset, PartitionId, TopicName};

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
            let detail = format!("all {} events were rejected; see results", rejected.len());
            Err(Problem::new(StatusCode::BAD_REQUEST, "all_rejected", detail)
                .with_number("accepted", 0)
                .with_number("rejected", rejected.len() as u128)
                .with_json("results", &listed)
                .holding(share))
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

/// Where the accepted events were stored, in their order.
pub(super) type Stored = Vec<(PartitionId, Offset)>;

/// Lists the rejected events and, if `stored` is given, the accepted ones, in order.
pub(super) fn listed(judgement: &Judgement, stored: Option<Stored>, topic: &str) -> String {
    let Judgement { accepted, rejected, .. } = judgement;
    let mut text =
        format!("{{\"accepted\":{},\"rejected\":{},\"results\":[", accepted.len(), rejected.len());
    let mut rejected = rejected.iter().peekable();
    for (event, (partition, offset)) in accepted.iter().zip(stored.unwrap_or_default()) {
        while let Some((index, fault)) = rejected.next_if(|(index, _)| *index < event.index) {
            push_rejected(&mut text, *index, *fault);
        }
        write!(
            text,
            "{{\"index\":{},\"status\":\"accepted\",\"topic\":\"{topic}\",\
             \"partition\":{partition},\"offset\":{offset}}},",
            event.index,
        )
        .expect("a string takes all that is written");
    }
    for (index, fault) in rejected {
        push_rejected(&mut text, *index, *fault);
    }
    close_list(&mut text);
    text.push_str("}\n");
    text
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
