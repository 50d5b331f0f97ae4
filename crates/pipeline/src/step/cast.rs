//! `cast`: changes the type of fields, or rejects; it never guesses and never rounds.
//!
//! A field that is missing or null is left alone. What is accepted:
//!
//! | To | From a number | From a string | From a boolean |
//! |---|---|---|---|
//! | `string` | its text as it was sent | as it is | `"true"`, `"false"` |
//! | `int`, `long` | whole and in range; `1.0` and `1e3` are whole, `100e-2` is refused | the same, in decimal | 0, 1 |
//! | `double` | in a double's range | the same, in decimal | rejected |
//! | `boolean` | 0, 1 | `true`, `false`, `1`, `0`, any case | as it is |
//!
//! Strings are trimmed of ASCII white space first. Objects and arrays are rejected. `NaN`, infinities, hexadecimal and digit separators are no
//! numbers. A value that has the right form already keeps its bytes.

use std::borrow::Cow;

use super::{STEP_FIELDS_MAX, Step, StepContext, StepError, Verdict};
use crate::event::raw::push_string;
use crate::event::{Event, Kind, Path, RawValue};

/// Which fields become which type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    /// The paths of the fields, and the type that each gets.
    pub fields: Vec<(String, Type)>,
}

/// A type to cast to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A string.
    String,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 64 bits.
    Long,
    /// A number in a double's range.
    Double,
    /// A boolean.
    Boolean,
}

impl Type {
    /// Every type, in the order of the reference.
    pub const ALL: [Self; 5] = [Self::String, Self::Int, Self::Long, Self::Double, Self::Boolean];

    /// Returns the name used in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Int => "int",
            Self::Long => "long",
            Self::Double => "double",
            Self::Boolean => "boolean",
        }
    }

    /// Returns the type called `name` in configuration.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == name)
    }
}

/// The compiled step.
#[derive(Debug)]
pub struct Cast {
    fields: Vec<(Path, Type)>,
}

impl Cast {
    /// Compiles the step.
    pub fn new(config: &Config) -> Result<Self, StepError> {
        if !(1..=STEP_FIELDS_MAX).contains(&config.fields.len()) {
            return Err(StepError::Fields(config.fields.len()));
        }
        let mut fields: Vec<(Path, Type)> = Vec::new();
        for (field, to) in &config.fields {
            let path = Path::parse(field)?;
            if fields.iter().any(|(known, _)| *known == path) {
                return Err(StepError::Twice(field.clone()));
            }
            fields.push((path, *to));
        }
        Ok(Self { fields })
    }
}

/// The JSON text of a value after its cast; `None` when it needs none.
type Casted = Option<String>;

impl Step for Cast {
    fn apply(&self, event: &mut Event<'_>, _cx: &mut StepContext<'_>) -> Verdict {
        for (field, to) in &self.fields {
            let value = match event.get(field) {
                Ok(Some(value)) => value,
                Ok(None) => continue,
                Err(error) => return Verdict::malformed(field, &error),
            };
            let json = match cast(value, *to) {
                Ok(Some(json)) => json,
                Ok(None) => continue,
                Err(reason) => return Verdict::rejected(field, reason),
            };
            if let Err(error) = event.set(field, |text| text.push_str(&json)) {
                return Verdict::edit(field, &error);
            }
        }
        Verdict::Keep
    }
}

fn cast(value: RawValue<'_>, to: Type) -> Result<Casted, String> {
    let refused = || format!("{} cannot become {}", value.kind().as_str(), to.as_str());
    match (value.kind(), to) {
        (Kind::Null, _) | (Kind::String, Type::String) | (Kind::Boolean, Type::Boolean) => Ok(None),
        (Kind::Number | Kind::Boolean, Type::String) => {
            let mut json = String::new();
            push_string(&mut json, value.text());
            Ok(Some(json))
        }
        (Kind::Boolean, Type::Int | Type::Long) => {
            Ok(Some(if value.text() == "true" { "1" } else { "0" }.to_owned()))
        }
        (Kind::Number, _) => text_to(value.text(), to, Keep::Text),
        (Kind::String, _) => {
            let text = match value.as_str() {
                Some(Ok(text)) => text,
                Some(Err(error)) => return Err(error.to_string()),
                None => Cow::Borrowed(""),
            };
            text_to(text.trim_ascii(), to, Keep::Nothing)
        }
        (Kind::Boolean, Type::Double) | (Kind::Array | Kind::Object, _) => Err(refused()),
    }
}

/// Whether text that has the right form already may stay as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Text,
    Nothing,
}

fn text_to(text: &str, to: Type, keep: Keep) -> Result<Casted, String> {
    let json = match to {
        Type::Int => whole(text).filter(|n| i32::try_from(*n).is_ok()).map(|n| n.to_string()),
        Type::Long => whole(text).map(|number| number.to_string()),
        Type::Double => double(text),
        Type::Boolean => boolean(text).map(|value| value.to_string()),
        Type::String => Some(text.to_owned()),
    };
    match json {
        Some(json) if keep == Keep::Text && json == text => Ok(None),
        Some(json) => Ok(Some(json)),
        None => {
            let shown = &text[..text.floor_char_boundary(64)];
            Err(format!("`{shown}` is not {} {}", article(to), to.as_str()))
        }
    }
}

fn article(to: Type) -> &'static str {
    if to == Type::Int { "an" } else { "a" }
}

/// Reads a whole number that fits 64 bits: `12`, `-3`, `1.0`, `1e3`; never rounds.
fn whole(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return is_decimal(text).then_some(number);
    }
    if !is_decimal(text) {
        return None;
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    // The digits as one number, and the power of ten that is left of it.
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    if digits == 0 {
        return Some(0);
    }
    // A fraction that the exponent does not make up for is not whole.
    let power = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let power = u32::try_from(power).ok()?;
    i64::try_from(digits.checked_mul(10_i128.checked_pow(power)?)?).ok()
}

/// Reads a number in a double's range; its text stays, so that no digit is lost.
fn double(text: &str) -> Option<String> {
    let number: f64 = text.parse().ok()?;
    (is_decimal(text) && number.is_finite()).then(|| {
        // JSON knows no leading plus, no leading zeros and no bare dot.
        if is_json_number(text) { text.to_owned() } else { format!("{number:?}") }
    })
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// Tells numbers in decimal from `inf`, `NaN` and what else a parser may take.
fn is_decimal(text: &str) -> bool {
    let begins = text.trim_start_matches(['+', '-']);
    begins.starts_with(|first: char| first.is_ascii_digit() || first == '.')
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'))
}

fn is_json_number(text: &str) -> bool {
    serde_json::from_str::<serde_json::Number>(text).is_ok()
}

#[cfg(test)]
mod tests;
