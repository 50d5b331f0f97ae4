//! Which records a tap shows: those with a text in their value, or with a value in a field.

use std::fmt;
use std::str::FromStr;

use millstream_model::{Record, header};
use serde_json::Value;

/// The longest filter, in bytes.
const FILTER_BYTES_MAX: usize = 4_096;

/// Chooses records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Filter {
    /// The value has this text in it, as it came.
    Contains(String),
    /// The event has this value at this path.
    Field {
        /// Keys and places in lists, from the outermost.
        path: Vec<String>,
        /// What stands there: a text without its quotes, or anything else as JSON has it.
        value: String,
    },
    /// The record has this beside its value.
    Beside(Beside, String),
}

/// What a record has beside its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    /// The routing key.
    Key,
    /// The id of the request that brought it.
    RequestId,
    /// The whole trace parent, or the trace's id in it.
    TraceParent,
}

const BESIDE: [(&str, Beside); 3] = [
    ("@key", Beside::Key),
    ("@request_id", Beside::RequestId),
    ("@trace_parent", Beside::TraceParent),
];

impl Filter {
    /// Tells whether a record is one of those.
    pub(crate) fn matches(&self, record: Record<'_>) -> bool {
        match self {
            Self::Contains(text) => {
                let value = record.value.unwrap_or_default();
                value.windows(text.len()).any(|window| window == text.as_bytes())
            }
            Self::Field { path, value } => {
                let event = record.value.and_then(|value| serde_json::from_slice(value).ok());
                let event: Value = event.unwrap_or_default();
                find(&event, path).is_some_and(|found| is_value(found, value))
            }
            Self::Beside(Beside::Key, key) => record.key == Some(key.as_bytes()),
            Self::Beside(Beside::RequestId, id) => {
                record.headers.get(header::REQUEST_ID) == Some(id.as_bytes())
            }
            Self::Beside(Beside::TraceParent, trace) => {
                let found = record.headers.get(header::TRACE_PARENT).unwrap_or_default();
                found == trace.as_bytes() || trace_id(found) == Some(trace.as_bytes())
            }
        }
    }
}

/// Returns the trace's id: `<version>-<trace id>-<parent id>-<flags>`.
fn trace_id(parent: &[u8]) -> Option<&[u8]> {
    parent.split(|byte| *byte == b'-').nth(1)
}

fn find<'v>(event: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(event, |inside, key| match inside {
        Value::Object(fields) => fields.get(key),
        Value::Array(items) => items.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

fn is_value(found: &Value, value: &str) -> bool {
    match found {
        Value::String(text) => text == value,
        // As it is written in JSON, which is not how every value prints itself.
        other => value.parse::<Value>().is_ok_and(|value| value == *other),
    }
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > FILTER_BYTES_MAX {
            return Err(format!("write a text of 1 to {FILTER_BYTES_MAX} bytes, or `field=value`"));
        }
        let is_path = |path: &&str| {
            let legal = |c: char| c.is_alphanumeric() || "_-.@$".contains(c);
            !path.is_empty() && path.chars().all(legal)
        };
        let field = text.split_once('=').filter(|(path, _)| is_path(path));
        let Some((path, value)) = field else { return Ok(Self::Contains(text.to_owned())) };
        if !path.starts_with('@') {
            let path = path.split('.').map(str::to_owned).collect();
            return Ok(Self::Field { path, value: value.to_owned() });
        }
        match BESIDE.iter().find(|(name, _)| *name == path) {
            Some((_, beside)) => Ok(Self::Beside(*beside, value.to_owned())),
            None => {
                let names = BESIDE.map(|(name, _)| name).join(", ");
                Err(format!("`{path}` is not beside a record; use {names}"))
            }
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contains(text) => f.write_str(text),
            Self::Field { path, value } => write!(f, "{}={value}", path.join(".")),
            Self::Beside(beside, value) => {
                let name = BESIDE.iter().find(|(_, known)| known == beside);
                write!(f, "{}={value}", name.map_or("", |(name, _)| name))
            }
        }
    }
}
