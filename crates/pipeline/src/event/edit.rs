//! Edits of an event, and its output: changed fields from the overlay, the rest as it was.

use thiserror::Error;

use super::index::{Index, ROOT, Text, Value};
use super::path::{Path, Segment};
use super::{Event, Malformed};

/// Why an edit was not made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EditError {
    /// A nested object that the path leads through is malformed.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A parent of the field exists and is no object.
    #[error("a parent of `{path}` is not an object")]
    ParentNotAnObject {
        /// The path of the field.
        path: String,
    },
}

/// What became of a field that was to be renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renamed {
    /// It has the new name.
    Moved,
    /// There is no such field.
    Missing,
    /// Another field has that name and is not null; nothing was changed.
    TargetExists,
}

impl Event<'_> {
    /// Sets the field at `path` to the JSON value that `write` appends; makes missing parents.
    ///
    /// A parent that is null counts as missing.
    pub fn set(&mut self, path: &Path, write: impl FnOnce(&mut String)) -> Result<(), EditError> {
        let (last, parents) = path.split_last();
        let object = self.object_for(path, parents)?;
        let start = self.index.overlay.len();
        write(&mut self.index.overlay);
        let end = self.index.overlay.len();
        debug_assert!(start < end, "a JSON value has at least one byte");
        self.put(object, last, Text::in_overlay(&(start..end)));
        Ok(())
    }

    /// Removes the field at `path`; tells whether there was one.
    pub fn remove(&mut self, path: &Path) -> Result<bool, Malformed> {
        let (last, parents) = path.split_last();
        let Some(object) = self.index.find_object(self.raw, parents)? else { return Ok(false) };
        let Some(node) = self.index.find(self.raw, object, last) else { return Ok(false) };
        self.index.node_mut(node).value = Value::Gone;
        self.index.mark_changed(object);
        Ok(true)
    }

    /// Moves the field at `from` to `to`; makes missing parents.
    ///
    /// A field that is null at `to` is replaced, any other is left alone.
    pub fn rename(&mut self, from: &Path, to: &Path) -> Result<Renamed, EditError> {
        let Some(node) = self.index.find_path(self.raw, from)? else {
            return Ok(Renamed::Missing);
        };
        if !self.is_missing_or_null(to)? {
            return Ok(Renamed::TargetExists);
        }
        let value = self.index.settle(self.raw, node);
        let (last, parents) = to.split_last();
        let object = self.object_for(to, parents)?;
        self.remove(from)?;
        self.put(object, last, value);
        Ok(Renamed::Moved)
    }

    /// Makes `value` the value of the field called `name`.
    fn put(&mut self, object: u32, name: &Segment, value: Text) {
        match self.index.find(self.raw, object, name) {
            Some(node) => {
                let node = self.index.node_mut(node);
                node.value = Value::Text(value);
                node.is_original = false;
            }
            None => {
                self.index.append(object, name, Value::Text(value));
            }
        }
        self.index.mark_changed(object);
    }

    /// Returns the object at the end of `parents`, which is made where it is missing.
    fn object_for(&mut self, path: &Path, parents: &[Segment]) -> Result<u32, EditError> {
        let mut object = ROOT;
        for segment in parents {
            let nested = match self.index.find(self.raw, object, segment) {
                Some(node) => match self.index.enter(self.raw, object, node)? {
                    Some(nested) => nested,
                    None if self.index.value(self.raw, node).text() == "null" => {
                        let nested = self.index.new_object(object);
                        let node = self.index.node_mut(node);
                        node.value = Value::Object(nested);
                        node.is_original = false;
                        nested
                    }
                    None => {
                        let path = path.as_str().to_owned();
                        return Err(EditError::ParentNotAnObject { path });
                    }
                },
                None => {
                    let nested = self.index.new_object(object);
                    self.index.append(object, segment, Value::Object(nested));
                    nested
                }
            };
            object = nested;
        }
        Ok(object)
    }
}

impl Index {
    pub(super) fn write_to(&self, raw: &str, out: &mut Vec<u8>) {
        if self.is_changed() {
            self.write_object(raw, ROOT, out);
        } else {
            out.extend_from_slice(raw.as_bytes());
        }
    }

    /// Writes a changed object: neighbours that nobody touched in one piece, with what is between
    /// them in the record.
    pub(super) fn write_object(&self, raw: &str, object: u32, out: &mut Vec<u8>) {
        let mut run = Run { raw: raw.as_bytes(), pending: None, is_first: true };
        out.push(b'{');
        let mut previous = None;
        for (at, node) in self.fields(object) {
            // Neighbours stand side by side in the vector; a removed one leaves a gap there.
            let follows = previous.is_some_and(|previous: u32| previous + 1 == at);
            previous = Some(at);
            let untouched = match node.value {
                Value::Text(text) => node.is_original.then_some(text),
                Value::Object(nested) => self.original_text(node.is_original, nested),
                Value::Gone => None,
            };
            let range = untouched.and_then(Text::in_record).zip(node.key.in_record());
            if let Some((value, key)) = range {
                run.copy(key.start, value.end, follows, out);
                continue;
            }
            run.begin_piece(out);
            out.extend_from_slice(self.text(raw, node.key).as_bytes());
            out.push(b':');
            match node.value {
                Value::Text(text) => out.extend_from_slice(self.text(raw, text).as_bytes()),
                Value::Object(nested) => self.write_object(raw, nested, out),
                Value::Gone => {}
            }
        }
        run.flush(out);
        out.push(b'}');
    }
}

/// A run of untouched fields that is copied in one piece.
struct Run<'r> {
    raw: &'r [u8],
    pending: Option<(usize, usize)>,
    is_first: bool,
}

impl Run<'_> {
    fn copy(&mut self, start: usize, end: usize, follows: bool, out: &mut Vec<u8>) {
        match &mut self.pending {
            Some((_, pending_end)) if follows => *pending_end = end,
            _ => {
                self.flush(out);
                self.pending = Some((start, end));
            }
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        if let Some((start, end)) = self.pending.take() {
            self.comma(out);
            out.extend_from_slice(&self.raw[start..end]);
        }
    }

    fn begin_piece(&mut self, out: &mut Vec<u8>) {
        self.flush(out);
        self.comma(out);
    }

    fn comma(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.is_first, false) {
            out.push(b',');
        }
    }
}
