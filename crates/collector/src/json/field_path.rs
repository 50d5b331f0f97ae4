//! Where in an event a field stands: names joined by dots.

use std::fmt;

use thiserror::Error;

/// The most names in a path.
pub const SEGMENTS_MAX: usize = 16;

/// The names that lead from the event to a field, outermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath(Vec<String>);

/// A text that is no path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a field path; use 1 to 16 names joined by dots, as in `context.user_id`")]
pub struct FieldPathError {
    text: String,
}

impl FieldPath {
    /// Splits `text` at its dots; every name must be there.
    pub fn new(text: &str) -> Result<Self, FieldPathError> {
        let names: Vec<String> = text.split('.').map(str::to_owned).collect();
        if names.len() > SEGMENTS_MAX || names.iter().any(String::is_empty) {
            return Err(FieldPathError { text: text.chars().take(300).collect() });
        }
        Ok(Self(names))
    }

    pub(super) fn names(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}
