//! Paths of fields: `properties.channel`, compiled once when a pipeline is built.

use std::fmt;

use thiserror::Error;

use super::raw::push_string;
use super::tag::tag_of;

/// The most names in a path.
pub const PATH_SEGMENTS_MAX: usize = 16;

/// The way to a field: names of nested objects, then its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Path {
    text: Box<str>,
    /// Invariant: 1 to [`PATH_SEGMENTS_MAX`] segments.
    segments: Box<[Segment]>,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) name: Box<str>,
    /// The name as a JSON string, quotes included.
    pub(super) json: Box<str>,
    pub(super) tag: u32,
}

/// A text that is no path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a field path; use 1 to {PATH_SEGMENTS_MAX} names separated by dots")]
pub struct PathError {
    text: String,
}

impl Path {
    /// Reads dot-separated names; a name that itself holds a dot cannot be written.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let segments: Box<[Segment]> = text.split('.').map(Segment::new).collect();
        let fits = segments.len() <= PATH_SEGMENTS_MAX;
        if !fits || segments.iter().any(|segment| segment.name.is_empty()) {
            return Err(PathError { text: text.chars().take(300).collect() });
        }
        Ok(Self { text: Box::from(text), segments })
    }

    /// Returns the path as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether `other` is this path or lies below it.
    pub fn contains(&self, other: &Path) -> bool {
        other.segments.starts_with(&self.segments)
    }

    /// Returns the names before the last, and the last.
    pub(super) fn split_last(&self) -> (&Segment, &[Segment]) {
        self.segments.split_last().expect("a path has at least one name")
    }
}

impl Segment {
    fn new(name: &str) -> Self {
        let mut json = String::with_capacity(name.len() + 2);
        push_string(&mut json, name);
        Self { name: Box::from(name), json: json.into_boxed_str(), tag: tag_of(name) }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({})", self.text)
    }
}
