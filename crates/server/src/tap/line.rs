//! The lines of a tap: one JSON object each, on the wire and as `--format json` prints records.

use std::collections::BTreeMap;

use millstream_model::{Offset, Record, TopicPartition, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// One line on the wire.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// A record.
    Record(Box<Row>),
    /// Records that were deleted before they could be shown.
    Deleted(Deleted),
    /// How much was looked at, where what is shown does not tell.
    Looked(Looked),
    /// Nothing more was asked for: the last line.
    End,
    /// The tap cannot go on: the last line.
    Failed(String),
}

/// Offsets of a partition that were deleted before they could be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Deleted {
    /// The topic.
    pub(crate) topic: String,
    /// The partition.
    pub(crate) partition: u32,
    /// The first of them.
    pub(crate) start: u64,
    /// The offset after the last.
    pub(crate) end: u64,
}

/// How far a tap has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Looked {
    /// The records that were looked at.
    pub(crate) records: u64,
    /// Those of them that were shown.
    pub(crate) shown: u64,
    /// Where that leaves the tap.
    pub(crate) place: Place,
}

/// Where a tap is in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    /// On its way to where the topic ended when the tap began.
    UnderWay,
    /// There, and it goes on with what comes.
    Following,
    /// There, and it ends.
    End,
}

/// One record.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Its topic.
    pub(crate) topic: String,
    /// Its partition.
    pub(crate) partition: u32,
    /// Its offset.
    pub(crate) offset: u64,
    /// When it was accepted, in milliseconds since 1970.
    pub(crate) accepted_ms: i64,
    /// What routes it; absent when nothing does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// The request that brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<String>,
    /// The W3C trace parent of that request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trace_parent: Option<String>,
    /// Its other headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
    /// Its value, if that is JSON; absent for a tombstone, as `text` is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Box<RawValue>>,
    /// Its value, if that is no JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
}

impl Row {
    /// Shows a record.
    pub(super) fn new(partition: &TopicPartition, offset: Offset, record: Record<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ours = [header::REQUEST_ID, header::TRACE_PARENT];
        let others = record.headers.iter().filter(|(name, _)| !ours.contains(name));
        let value = record.value.and_then(json_line);
        Self {
            topic: partition.topic.to_string(),
            partition: partition.partition.0,
            offset: offset.0,
            accepted_ms: record.timestamp.as_millis(),
            key: record.key.map(text),
            request_id: record.headers.get(header::REQUEST_ID).map(text),
            trace_parent: record.headers.get(header::TRACE_PARENT).map(text),
            headers: others.map(|(name, value)| (name.to_owned(), text(value))).collect(),
            text: record.value.filter(|_| value.is_none()).map(text),
            value,
        }
    }

    /// Returns the value as text; `None` for a tombstone.
    pub(crate) fn value_text(&self) -> Option<&str> {
        self.value.as_deref().map(RawValue::get).or(self.text.as_deref())
    }
}

/// Returns JSON on one line, its numbers and texts as they are; `None` when it is no JSON.
fn json_line(value: &[u8]) -> Option<Box<RawValue>> {
    let json: &RawValue = serde_json::from_slice(value).ok()?;
    let text = json.get();
    if !text.contains(['\n', '\r', '\t', ' ']) {
        return Some(json.to_owned());
    }
    let (mut line, mut is_text, mut is_escaped) = (String::with_capacity(text.len()), false, false);
    for c in text.chars() {
        if is_text || !c.is_ascii_whitespace() {
            line.push(c);
        }
        is_text ^= c == '"' && !is_escaped;
        is_escaped = is_text && c == '\\' && !is_escaped;
    }
    RawValue::from_string(line).ok()
}
