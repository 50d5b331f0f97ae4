//! `filter`: drops events on purpose, by a condition that is data, not code.
//!
//! ```yaml
//! - filter: { drop_if: { field: event, in: [heartbeat, ping] } }
//! - filter: { keep_if: { all: [ { field: user_id, exists: true },
//!                               { not: { field: context.ip, starts_with: "10." } } ] } }
//! ```
//!
//! A test on a field that is missing is false, but for `exists: false`; null exists. Strings are
//! compared by characters, whatever their escapes; numbers by value; a string never equals a
//! number. Order (`less_than` …) is for numbers only.

use std::borrow::Cow;

use serde_json::Value;

use super::{STEP_FIELDS_MAX, Step, StepContext, StepError, Verdict};
use crate::event::{Event, Kind, Malformed, Path, RawValue};

/// The deepest nesting of conditions.
pub const CONDITION_DEPTH_MAX: usize = 16;

/// Which events to drop.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// What happens to the events that meet the condition.
    pub mode: Mode,
    /// What is asked of an event.
    pub condition: Condition,
}

/// What happens to the events that meet a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They go on, all others are dropped.
    KeepIf,
    /// They are dropped, all others go on.
    DropIf,
}

/// Something that is true or false of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// A test of one field.
    Field {
        /// The path of the field.
        field: String,
        /// What is asked of it.
        test: Test,
    },
    /// Every one is true.
    All(Vec<Condition>),
    /// At least one is true.
    Any(Vec<Condition>),
    /// It is false.
    Not(Box<Condition>),
}

/// What is asked of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// The field is there, or is not.
    Exists(Presence),
    /// It has this value: a string, a number, a boolean or null.
    Equals(Value),
    /// It has one of these values.
    In(Vec<Value>),
    /// It is a string that begins so.
    StartsWith(String),
    /// It is a string that ends so.
    EndsWith(String),
    /// It is a string that holds this.
    Contains(String),
    /// It is a number below this.
    LessThan(f64),
    /// It is a number of at least this.
    AtLeast(f64),
}

/// Whether a field is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It is, if only with null.
    Present,
    /// It is not.
    Missing,
}

/// The compiled step.
#[derive(Debug)]
pub struct Filter {
    mode: Mode,
    condition: Compiled,
}

#[derive(Debug)]
enum Compiled {
    Field(Path, Test),
    All(Vec<Compiled>),
    Any(Vec<Compiled>),
    Not(Box<Compiled>),
}

impl Filter {
    /// Compiles the step.
    pub fn new(config: &Config) -> Result<Self, StepError> {
        Ok(Self { mode: config.mode, condition: compile(&config.condition, 1)? })
    }
}

impl Step for Filter {
    fn apply(&self, event: &mut Event<'_>, _cx: &mut StepContext<'_>) -> Verdict {
        let is_met = match self.condition.is_met(event) {
            Ok(is_met) => is_met,
            Err((field, error)) => return Verdict::malformed(field, &error),
        };
        if is_met == (self.mode == Mode::KeepIf) { Verdict::Keep } else { Verdict::Filtered }
    }
}

fn compile(condition: &Condition, depth: usize) -> Result<Compiled, StepError> {
    if depth > CONDITION_DEPTH_MAX {
        return Err(StepError::TooDeep { depth_max: CONDITION_DEPTH_MAX });
    }
    Ok(match condition {
        Condition::Field { field, test } => {
            check_test(field, test)?;
            Compiled::Field(Path::parse(field)?, test.clone())
        }
        Condition::All(conditions) => Compiled::All(compile_all(conditions, depth)?),
        Condition::Any(conditions) => Compiled::Any(compile_all(conditions, depth)?),
        Condition::Not(condition) => Compiled::Not(Box::new(compile(condition, depth + 1)?)),
    })
}

fn compile_all(conditions: &[Condition], depth: usize) -> Result<Vec<Compiled>, StepError> {
    if !(1..=STEP_FIELDS_MAX).contains(&conditions.len()) {
        return Err(StepError::Fields(conditions.len()));
    }
    conditions.iter().map(|condition| compile(condition, depth + 1)).collect()
}

fn check_test(field: &str, test: &Test) -> Result<(), StepError> {
    let error =
        |reason: &str| Err(StepError::Value { field: field.to_owned(), reason: reason.to_owned() });
    let values = match test {
        Test::Equals(value) => std::slice::from_ref(value),
        Test::In(values) if (1..=STEP_FIELDS_MAX).contains(&values.len()) => values.as_slice(),
        Test::In(values) => return Err(StepError::Fields(values.len())),
        Test::LessThan(bound) | Test::AtLeast(bound) if !bound.is_finite() => {
            return error("a bound is a finite number");
        }
        _ => return Ok(()),
    };
    if values.iter().any(|value| value.is_array() || value.is_object()) {
        return error("compare with a string, a number, a boolean or null");
    }
    Ok(())
}

impl Compiled {
    fn is_met(&self, event: &mut Event<'_>) -> Result<bool, (&Path, Malformed)> {
        match self {
            Self::Field(path, test) => match event.get(path) {
                Ok(value) => Ok(passes(value, test)),
                Err(error) => Err((path, error)),
            },
            Self::All(conditions) => {
                for condition in conditions {
                    if !condition.is_met(event)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Self::Any(conditions) => {
                for condition in conditions {
                    if condition.is_met(event)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Self::Not(condition) => Ok(!condition.is_met(event)?),
        }
    }
}

fn passes(value: Option<RawValue<'_>>, test: &Test) -> bool {
    let Some(value) = value else {
        return matches!(test, Test::Exists(Presence::Missing));
    };
    let text = || string(value).unwrap_or_default();
    let is_string = value.kind() == Kind::String;
    match test {
        Test::Exists(presence) => *presence == Presence::Present,
        Test::Equals(expected) => equals(value, expected),
        Test::In(expected) => expected.iter().any(|expected| equals(value, expected)),
        Test::StartsWith(start) => is_string && text().starts_with(start.as_str()),
        Test::EndsWith(end) => is_string && text().ends_with(end.as_str()),
        Test::Contains(part) => is_string && text().contains(part.as_str()),
        Test::LessThan(bound) => value.as_f64().is_some_and(|number| number < *bound),
        Test::AtLeast(bound) => value.as_f64().is_some_and(|number| number >= *bound),
    }
}

fn equals(value: RawValue<'_>, expected: &Value) -> bool {
    match expected {
        Value::Null => value.kind() == Kind::Null,
        Value::Bool(expected) => value.as_bool() == Some(*expected),
        Value::String(expected) => string(value).is_some_and(|text| text == *expected),
        Value::Number(expected) => match (value.as_i64(), expected.as_i64()) {
            (Some(number), Some(expected)) => number == expected,
            _ => value.as_f64().is_some() && value.as_f64() == expected.as_f64(),
        },
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// Returns a string's text; one with a lone surrogate equals nothing.
fn string(value: RawValue<'_>) -> Option<Cow<'_, str>> {
    value.as_str()?.ok()
}

#[cfg(test)]
mod tests;
