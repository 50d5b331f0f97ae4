//! What a body holds, from the head of its request.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, StatusCode};

use crate::answer::Problem;
use crate::json::Form;

/// What the content type says about the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Declared {
    /// JSON: an array, or one event.
    Json,
    /// One event a line.
    Lines,
    /// Nothing: browsers send beacons as text to avoid a preflight.
    Unknown,
}

/// Reads content type and encoding.
pub(super) fn of_request(parts: &Parts) -> Result<Declared, Problem> {
    check_encoding(&parts.headers)?;
    let Some(content_type) = parts.headers.get(CONTENT_TYPE) else {
        return Ok(Declared::Unknown);
    };
    let essence = content_type.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii();
    let is = |name: &str| essence.eq_ignore_ascii_case(name.as_bytes());
    if is("application/json") {
        Ok(Declared::Json)
    } else if LINES.iter().any(|name| is(name)) {
        Ok(Declared::Lines)
    } else if is("text/plain") || essence.is_empty() {
        Ok(Declared::Unknown)
    } else {
        let detail = format!(
            "content type {} is not taken; use application/json for one event or an array, \
             application/x-ndjson for one event a line",
            String::from_utf8_lossy(essence),
        );
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Err(Problem::new(status, "content_type", detail).with_json(
            "accepted",
            r#"["application/json","application/x-ndjson","application/jsonl","text/plain"]"#,
        ))
    }
}

const LINES: [&str; 4] =
    ["application/x-ndjson", "application/jsonl", "application/ndjson", "application/x-jsonlines"];

fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(encoding) = headers.get(CONTENT_ENCODING) else { return Ok(()) };
    if encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity") {
        return Ok(());
    }
    let detail = format!(
        "content encoding {} is not taken; send the body as it is (identity)",
        String::from_utf8_lossy(encoding.as_bytes()),
    );
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(Problem::new(status, "content_encoding", detail).with_json("accepted", r#"["identity"]"#))
}

impl Declared {
    /// Decides the form once the body is there.
    pub(super) fn form(self, body: &[u8], sniff: impl FnOnce(&[u8]) -> Form) -> Form {
        match self {
            Self::Json => Form::of_json(body),
            Self::Lines => Form::Lines,
            Self::Unknown => sniff(body),
        }
    }
}
