//! Answers: results as JSON, errors as RFC 9457 problems with a stable code.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use crate::budget::Share;

/// An answer on its way out.
pub(crate) type Answer = Response<Full<Bytes>>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// An error as a client sees it (RFC 9457).
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retry_after: Option<Duration>,
    allow: Option<&'static str>,
    /// Further members, each `,"name":value`.
    members: String,
    /// What the answer holds of the budget until the client has taken it.
    share: Option<Share>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        let (retry_after, allow, members) = (None, None, String::new());
        Self { status, code, detail: detail.into(), retry_after, allow, members, share: None }
    }

    /// Nothing was stored because there is no room; `retry_after` tells when there should be.
    pub(crate) fn full(code: &'static str, detail: &str, retry_after: Duration) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        problem.retry_after = Some(retry_after);
        problem.with_number("retry_after_ms", retry_after.as_millis())
    }

    pub(crate) fn with_allow(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }

    pub(crate) fn with_number(mut self, name: &str, value: u128) -> Self {
        write!(self.members, ",\"{name}\":{value}").expect("a string takes all that is written");
        self
    }

    /// Adds a member whose value is JSON already.
    pub(crate) fn with_json(mut self, name: &str, json: &str) -> Self {
        write!(self.members, ",\"{name}\":{json}").expect("a string takes all that is written");
        self
    }

    /// Adds a member that lists texts, if there are any.
    pub(crate) fn with_texts(self, name: &str, texts: &[String]) -> Self {
        if texts.is_empty() {
            return self;
        }
        let mut listed = String::from("[");
        for (index, text) in texts.iter().enumerate() {
            if index > 0 {
                listed.push(',');
            }
            push_json_string(&mut listed, text);
        }
        listed.push(']');
        self.with_json(name, &listed)
    }

    /// Keeps `share` until the client has taken the answer.
    pub(crate) fn holding(mut self, share: Share) -> Self {
        self.share = Some(share);
        self
    }

    pub(crate) fn into_answer(self) -> Answer {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let mut body = String::with_capacity(160 + self.detail.len() + self.members.len());
        write!(
            body,
            "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{},\"code\":\"{}\",\
             \"detail\":",
            self.status.as_u16(),
            self.code,
        )
        .expect("a string takes all that is written");
        push_json_string(&mut body, &self.detail);
        body.push_str(&self.members);
        body.push_str("}\n");

        let body = match self.share {
            Some(share) => held(body, share),
            None => Bytes::from(body),
        };
        let mut answer = with_type(self.status, PROBLEM_JSON, body);
        let headers = answer.headers_mut();
        if let Some(after) = self.retry_after {
            // Whole seconds, rounded up: coming back early is the worse mistake.
            let seconds = after.as_millis().div_ceil(1000).max(1);
            let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        answer
    }
}

/// A text, and its share of the budget for as long as anything refers to it.
#[derive(Debug)]
struct Held {
    text: String,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

/// Makes a body that gives `share` back when it is written.
pub(crate) fn held(text: String, share: Share) -> Bytes {
    Bytes::from_owner(Held { text, _share: share })
}

/// Answers with JSON.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    with_type(status, JSON, body.into())
}

/// Answers without a body.
pub(crate) fn no_content() -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

fn with_type(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

/// Appends `text` as a JSON string.
fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => {
                write!(out, "\\u{:04x}", u32::from(control))
                    .expect("a string takes all that is written");
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests;
