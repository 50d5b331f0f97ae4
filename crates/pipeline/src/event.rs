//! Events: JSON objects inside records, read lazily and edited by an overlay.
//!
//! An event keeps the record's bytes as they are. Beside them stand an *index* of the fields (of
//! the top-level object at once, of a nested one when a step first touches it) and an *overlay*
//! with the values that steps wrote. Whatever nobody touched is copied through on output, the
//! whole event in one piece when nothing changed at all.
//!
//! ```text
//!   record:  {"user_id":"u1","timestamp":1795342272345,"properties":{...}}
//!   index:    ^key    ^value ^key         |            ^key        ^value
//!   overlay:                              +--> "2026-11-22T10:11:12.345Z"
//! ```
//!
//! Only [`scan`] knows which parser finds the fields. All buffers live in [`EventBuffers`] and are
//! used again for the next event: in steady state nothing is allocated per event.
//!
//! Every event is checked in full before the first step sees it: UTF-8, JSON grammar, depth, and
//! keys that occur twice in the top-level object. Keys of a nested object are checked when it is
//! first touched. A key that occurs twice is refused, not resolved: readers of JSON disagree on
//! which of the two counts.

mod batch;
mod edit;
mod index;
mod path;
pub mod raw;
mod scan;
mod tag;

use thiserror::Error;

pub use batch::EventBatch;
pub use edit::{EditError, Renamed};
pub use path::{PATH_SEGMENTS_MAX, Path, PathError};
pub use raw::{Kind, RawValue};

use index::Index;

/// What an event may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The deepest nesting of objects and arrays; the event itself is the first level.
    pub depth_max: u32,
}

impl Default for Limits {
    /// As deep as the collector can be configured to let through.
    fn default() -> Self {
        Self { depth_max: 1024 }
    }
}

/// Why a record's value is no event.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The record has no value.
    #[error("record has no value")]
    NoValue,
    /// The bytes are not UTF-8.
    #[error("invalid UTF-8 at byte {at}")]
    NotUtf8 {
        /// The first byte that is not part of a character.
        at: usize,
    },
    /// The text is larger than the index can address.
    #[error("event of {bytes} bytes is too large")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Objects and arrays are nested too deeply.
    #[error("nested deeper than {depth_max} levels")]
    TooDeep {
        /// The limit.
        depth_max: u32,
    },
    /// The text is JSON of another kind, or no JSON from its first byte on.
    #[error("not a JSON object")]
    NotAnObject,
    /// The text is not JSON.
    #[error("malformed JSON at byte {at}: {reason}")]
    Syntax {
        /// Where the parser gave up.
        at: usize,
        /// What is wrong there.
        reason: &'static str,
    },
    /// A key's escapes stand for no text.
    #[error("malformed key: {reason}")]
    Key {
        /// What is wrong with it.
        reason: String,
    },
    /// A key occurs twice in one object.
    #[error("key `{key}` occurs twice in one object")]
    DuplicateKey {
        /// The key, unescaped.
        key: String,
    },
}

/// The buffers of an event, used again for the next one.
#[derive(Debug, Default)]
pub struct EventBuffers {
    index: Index,
}

impl EventBuffers {
    /// Starts with empty buffers; they grow to the largest event seen.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks `json` and indexes its top-level fields.
    pub fn read<'b>(&'b mut self, json: &'b [u8], limits: Limits) -> Result<Event<'b>, Malformed> {
        let raw = self.index.read(json, limits)?;
        Ok(Event { raw, index: &mut self.index })
    }
}

/// One event: what a step reads and edits.
#[derive(Debug)]
pub struct Event<'b> {
    /// The record's value, checked.
    raw: &'b str,
    index: &'b mut Index,
}

impl Event<'_> {
    /// Returns the value at `path`; `None` when it, or a parent of it, is missing.
    ///
    /// A parent that is no object has no fields: what is below it is missing.
    pub fn get(&mut self, path: &Path) -> Result<Option<RawValue<'_>>, Malformed> {
        let Some(node) = self.index.find_path(self.raw, path)? else { return Ok(None) };
        Ok(Some(self.index.value(self.raw, node)))
    }

    /// Returns the kind of the value at `path`; unlike [`Event::get`] it never writes a changed
    /// object out.
    pub fn kind(&mut self, path: &Path) -> Result<Option<Kind>, Malformed> {
        let node = self.index.find_path(self.raw, path)?;
        Ok(node.map(|node| self.index.kind(self.raw, node)))
    }

    /// Returns whether the value at `path` is missing or null.
    pub fn is_missing_or_null(&mut self, path: &Path) -> Result<bool, Malformed> {
        Ok(matches!(self.kind(path)?, None | Some(Kind::Null)))
    }

    /// Returns whether any step changed the event.
    pub fn is_changed(&self) -> bool {
        self.index.is_changed()
    }

    /// Appends the event's JSON: unchanged bytes as they were, edits where they are.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        self.index.write_to(self.raw, out);
    }
}

#[cfg(test)]
mod tests;
