//! How a record looks: one line for people, or one object for machines.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::cli::Format;
use crate::exit::{Code, Failure};
use crate::output::{one_line, thousands};
use crate::tap::{Deleted, Looked, Place, Row};

/// How much of a value is shown to people.
const VALUE_CHARS_MAX: usize = 500;

/// How much of a key or a header is shown to people.
const WORD_CHARS_MAX: usize = 128;

/// Writes a record.
pub(super) fn push(out: &mut String, row: &Row, format: Format) -> Result<(), Failure> {
    match format {
        Format::Text => push_text(out, row),
        Format::Json => {
            let line =
                serde_json::to_string(row).map_err(|error| Failure::new(Code::Bug, error))?;
            out.push_str(&line);
        }
    }
    out.push('\n');
    Ok(())
}

fn push_text(out: &mut String, row: &Row) {
    let accepted = DateTime::<Utc>::from_timestamp_millis(row.accepted_ms).unwrap_or_default();
    out.push_str(&accepted.to_rfc3339_opts(SecondsFormat::Millis, true));
    out.push_str(&format!(" {}/{}/{}", row.topic, row.partition, row.offset));
    let named = [("key", &row.key), ("request", &row.request_id), ("trace", &row.trace_parent)];
    let named = named.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let others = row.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in named.chain(others) {
        let (name, value) = (one_line(name, WORD_CHARS_MAX), one_line(value, WORD_CHARS_MAX));
        if value.contains(' ') || value.is_empty() {
            out.push_str(&format!(" {name}=\"{value}\""));
        } else {
            out.push_str(&format!(" {name}={value}"));
        }
    }
    out.push(' ');
    match row.value_text() {
        Some(value) => out.push_str(&one_line(value, VALUE_CHARS_MAX)),
        None => out.push_str("(tombstone)"),
    }
}

/// Says how far the tap has come.
pub(super) fn looked(looked: Looked) -> String {
    let (records, shown) = (thousands(looked.records), thousands(looked.shown));
    let so_far = format!("{records} records looked at, {shown} shown");
    match looked.place {
        Place::UnderWay => format!("looking: {so_far} so far"),
        Place::Following => format!("at the end: {so_far}; waiting for more"),
        Place::End => format!("at the end: {so_far}"),
    }
}

/// Says which records were deleted before they could be shown.
pub(super) fn deleted(deleted: &Deleted) -> String {
    let Deleted { topic, partition, start, end } = deleted;
    format!(
        "offsets {start} to {} of {topic}/{partition} were deleted before they could be shown",
        end.saturating_sub(1)
    )
}
