//! Sections whose keys are the fields of one struct: a table of fields, decoded and checked.
//!
//! Ranges stand in one place, the `validate()` of the crate that owns the struct; it names the
//! key at fault. To show every mistake at once, a key at fault is reported at its place, put back
//! to its default, and the rest is checked again.

use super::value::{Fields, Value};

/// One key of a section.
pub(crate) struct Field<C> {
    /// The key.
    pub(crate) key: &'static str,
    /// Decodes the value into its field; `None` after it reported what is wrong.
    pub(crate) apply: fn(&mut C, &Value<'_>) -> Option<()>,
}

impl<C> std::fmt::Debug for Field<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Field").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A value out of its range, as the owning crate's `validate()` sees it.
#[derive(Debug)]
pub(crate) struct OutOfRange {
    /// The key at fault.
    pub(crate) key: String,
    /// What is wrong.
    pub(crate) wrong: Wrong,
}

/// What is wrong with a value.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// All of it in words, with the value and the allowed range.
    Message(String),
    /// Only the allowed range is known; the value is shown as it was written.
    Allowed(String),
}

impl OutOfRange {
    /// Takes an error with its causes; the key is not repeated in the message.
    pub(crate) fn new(key: &str, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        let message = message.strip_prefix(&format!("{key}: ")).unwrap_or(&message).to_owned();
        Self::message(key, message)
    }

    /// Takes a message that shows the value and the allowed range.
    pub(crate) fn message(key: &str, message: String) -> Self {
        Self { key: key.to_owned(), wrong: Wrong::Message(message) }
    }

    /// Takes the allowed range alone.
    pub(crate) fn allowed(key: &str, allowed: &str) -> Self {
        Self { key: key.to_owned(), wrong: Wrong::Allowed(allowed.to_owned()) }
    }
}

impl Wrong {
    fn text(&self, value: &str) -> String {
        match self {
            Self::Message(message) => message.clone(),
            Self::Allowed(allowed) => format!("{value} is out of range: {allowed} is allowed"),
        }
    }
}

/// Decodes the keys of `table` out of `fields` over the defaults, and checks the result.
pub(crate) fn decode<C: Default>(
    fields: &mut Fields<'_>,
    table: &[Field<C>],
    validate: impl Fn(&C) -> Result<(), OutOfRange>,
) -> C {
    let mut present: Vec<(&Field<C>, Value<'_>)> =
        table.iter().filter_map(|field| Some((field, fields.take(field.key)?))).collect();
    let mut reported: Vec<String> = Vec::new();
    loop {
        let mut config = C::default();
        present.retain(|(field, value)| (field.apply)(&mut config, value).is_some());
        let Err(fault) = validate(&config) else { return config };
        let Some(at) = present.iter().position(|(field, _)| field.key == fault.key) else {
            // A key that was put back may clash with another one: that is said already.
            if !reported.contains(&fault.key) {
                let wrong = fault.wrong.text("the default");
                fields.problem(format!("`{}`, which is not set here: {wrong}", fault.key));
            }
            return config;
        };
        let (_, value) = present.remove(at);
        value.problem(fault.wrong.text(&value.found()));
        reported.push(fault.key);
    }
}
