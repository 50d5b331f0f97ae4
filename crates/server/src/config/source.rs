//! The text of a configuration file, and places in it.

use std::ops::Range;

/// A run of bytes in a configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Span {
    /// The first byte.
    pub(crate) start: usize,
    /// The byte after the last.
    pub(crate) end: usize,
}

impl Span {
    /// Builds the span of `range`.
    pub(crate) fn new(range: Range<usize>) -> Self {
        Self { start: range.start, end: range.end.max(range.start) }
    }
}

/// A value and where it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Located<T> {
    /// The value.
    pub(crate) value: T,
    /// Where it was written.
    pub(crate) at: Span,
    /// The path of keys that leads to it, as in `pipelines.events.from`.
    pub(crate) path: String,
}

impl<T> Located<T> {
    /// Turns the value into another one at the same place.
    pub(crate) fn with<U>(&self, value: U) -> Located<U> {
        Located { value, at: self.at, path: self.path.clone() }
    }
}

/// A configuration file's name and text.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// What the file is called in messages.
    pub(crate) name: String,
    /// Its text.
    pub(crate) text: String,
}

impl Source {
    /// Takes a text and the name it has in messages.
    pub(crate) fn new(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned() }
    }

    /// Returns the line and column of a byte, both from one; columns count characters.
    pub(crate) fn line_and_column(&self, byte: usize) -> (usize, usize) {
        let before = self.text.get(..byte).unwrap_or(&self.text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (line, before[line_start..].chars().count() + 1)
    }
}
