//! Edits of an event, and its output: changed fields from the overlay, the rest as it was.

use thiserror::Error;

use super::index::{Edit, Field, Index, ROOT, Text, Value};
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
        self.index.remove(node);
        self.index.mark_changed(object);
        Ok(true)
    }

    /// Moves the field at `from` to `to`; makes missing parents.
    ///
    /// A field that is null at `to` is replaced, any other is left alone.
    pub fn rename(&mut self, from: &Path, to: &Path) -> Result<Renamed, EditError> {
        let (last, parents) = from.split_last();
        let Some(left) = self.index.find_object(self.raw, parents)? else {
            return Ok(Renamed::Missing);
        };
        let Some(node) = self.index.find(self.raw, left, last) else {
            return Ok(Renamed::Missing);
        };
        if !self.is_missing_or_null(to)? {
            return Ok(Renamed::TargetExists);
        }
        let value = self.index.settle(self.raw, node);
        let (last, parents) = to.split_last();
        let object = self.object_for(to, parents)?;
        self.index.remove(node);
        self.index.mark_changed(left);
        self.put(object, last, value);
        Ok(Renamed::Moved)
    }

    /// Makes `value` the value of the field called `name`.
    fn put(&mut self, object: u32, name: &Segment, value: Text) {
        match self.index.find(self.raw, object, name) {
            Some(node) => self.index.set_value(self.raw, node, Value::Text(value)),
            None => self.index.append(object, name, Value::Text(value)),
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
                        self.index.set_value(self.raw, node, Value::Object(nested));
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
        let mut pieces = Pieces { index: self, raw, separator: b'{', out };
        let came = self.object(object).came.clone();
        // The first of a run of untouched fields.
        let mut run = None;
        for node in came.clone() {
            match self.field(node) {
                Field::Untouched => run = run.or(Some(node)),
                Field::Removed => pieces.flush(&mut run, node),
                Field::Edited(edit) => {
                    pieces.flush(&mut run, node);
                    pieces.edited(edit);
                }
            }
        }
        pieces.flush(&mut run, came.end);
        for node in self.added(object) {
            if let Field::Edited(edit) = self.field(node) {
                pieces.edited(edit);
            }
        }
        pieces.end();
    }
}

/// The pieces of an object's text as they are written.
struct Pieces<'i> {
    index: &'i Index,
    raw: &'i str,
    /// What stands before the next piece.
    separator: u8,
    out: &'i mut Vec<u8>,
}

impl Pieces<'_> {
    /// Copies a run of untouched fields that ends before `end`.
    fn flush(&mut self, run: &mut Option<u32>, end: u32) {
        if let Some(first) = run.take() {
            self.separate();
            let stretch = self.index.stretch(self.raw, first, end - 1);
            self.out.extend_from_slice(&self.raw.as_bytes()[stretch]);
        }
    }

    fn edited(&mut self, edit: &Edit) {
        self.separate();
        self.out.extend_from_slice(self.index.text(self.raw, edit.key).as_bytes());
        self.out.push(b':');
        match edit.value {
            Value::Text(text) => {
                self.out.extend_from_slice(self.index.text(self.raw, text).as_bytes());
            }
            Value::Object(nested) => self.index.write_object(self.raw, nested, self.out),
        }
    }

    fn separate(&mut self) {
        self.out.push(std::mem::replace(&mut self.separator, b','));
    }

    fn end(self) {
        if self.separator == b'{' {
            self.out.push(b'{');
        }
        self.out.push(b'}');
    }
}
