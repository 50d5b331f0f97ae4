//! `timestamp`: brings fields to ISO 8601 in UTC with milliseconds, `2026-11-22T10:11:12.345Z`.
//!
//! [`crate::datetime::forms`] lists what is understood. A field that is missing or null is left
//! alone (`require` is for that); anything that is no time is rejected.

use super::{Step, StepContext, StepError, Verdict, parse_paths};
use crate::datetime::{Moment, forms};
use crate::event::{Event, Kind, Path, RawValue};

/// Which fields hold times.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// The paths of the fields that hold a time.
    pub fields: Vec<String>,
}

/// The compiled step.
#[derive(Debug)]
pub struct ToTimestamp {
    fields: Vec<Path>,
}

impl ToTimestamp {
    /// Compiles the step.
    pub fn new(config: &Config) -> Result<Self, StepError> {
        Ok(Self { fields: parse_paths(&config.fields)? })
    }
}

impl Step for ToTimestamp {
    fn apply(&self, event: &mut Event<'_>, _cx: &mut StepContext<'_>) -> Verdict {
        for field in &self.fields {
            let value = match event.get(field) {
                Ok(Some(value)) => value,
                Ok(None) => continue,
                Err(error) => return Verdict::malformed(field, &error),
            };
            if value.kind() == Kind::Null {
                continue;
            }
            let Some(moment) = read(value) else {
                return Verdict::rejected(field, not_a_time(value));
            };
            let iso = moment.to_iso8601();
            if value.string_body().is_some_and(|text| text.as_bytes() == iso) {
                continue;
            }
            let iso = std::str::from_utf8(&iso).expect("digits and punctuation");
            let written = event.set(field, |json| json.extend(["\"", iso, "\""]));
            if let Err(error) = written {
                return Verdict::edit(field, &error);
            }
        }
        Verdict::Keep
    }
}

fn read(value: RawValue<'_>) -> Option<Moment> {
    match value.kind() {
        Kind::Number => forms::parse_number(value.text()),
        // An escape is legal in a time, if only as `\u002d`.
        Kind::String => forms::parse_text(&value.as_str()?.ok()?),
        _ => None,
    }
}

/// The longest value that a reason repeats, in bytes.
const SHOWN_BYTES_MAX: usize = 64;

fn not_a_time(value: RawValue<'_>) -> String {
    match value.kind() {
        Kind::Number | Kind::String => {
            let text = value.text();
            let shown = &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)];
            format!("{shown} is not a time in the years 0000 to 9999")
        }
        other => format!("is {}, not a time", other.as_str()),
    }
}

#[cfg(test)]
mod tests;
