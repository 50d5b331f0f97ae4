//! The index of an event's fields and the overlay of edits.
//!
//! Fields are nodes in one vector, an object is a stretch of them and a chain of those that edits
//! added. A nested object is indexed when a path first leads into it. A field that nobody touched
//! is only the number of its colon: key and value are found in the record when they are asked
//! for. What a step did to a field is an [`Edit`]. Nothing here borrows from an event, and all
//! vectors are used again.

mod keys;
mod text;

use std::ops::Range;

use super::path::{Path, Segment};
use super::raw::{Kind, RawValue, unescape};
use super::scan::{Token, Tokens};
use super::tag::{tag_of, tag_within};
use super::{Limits, Malformed};

use keys::{KEYS_COMPARED_MAX, Seen, has_backslash};
use text::Source;
pub(super) use text::Text;

/// Stands for no node, and for no edit.
const NONE: u32 = u32::MAX;

/// Stands for the edit of a field that was removed.
const GONE: u32 = u32::MAX - 1;

/// The event's own object.
pub(super) const ROOT: u32 = 0;

#[derive(Debug, Default)]
pub(super) struct Index {
    /// The structure of the record.
    tokens: Tokens,
    /// The structure of an object in the overlay, while its fields are added.
    overlay_tokens: Tokens,
    /// Fields of all objects: those that an object came with follow each other, those that edits
    /// added are chained.
    nodes: Vec<Node>,
    edits: Vec<Edit>,
    objects: Vec<Object>,
    /// Values that steps wrote, and keys they made: JSON texts.
    pub(super) overlay: String,
    /// Names of keys that were written with escapes.
    names: String,
    /// Scratch of the search for keys that occur twice.
    sorted: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    /// The fingerprint of its name.
    tag: u32,
    /// The field's colon in the record; without meaning if it did not come with the record.
    colon: Token,
    /// What was done to it: an edit, [`NONE`], or [`GONE`].
    edit: u32,
    /// The next field that an edit added to the same object.
    next: u32,
}

/// A field that is not, or not only, what stands in the record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edit {
    /// The key as a JSON string with quotes.
    pub(super) key: Text,
    /// The key's name.
    name: Text,
    pub(super) value: Value,
    /// Whether key and value stand in the record as one piece, unless the value is an object that
    /// was changed within.
    is_original: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    /// JSON text.
    Text(Text),
    /// An object whose fields are indexed.
    Object(u32),
}

/// What output does with a field.
pub(super) enum Field<'i> {
    /// It stands in the record as it came.
    Untouched,
    Removed,
    Edited(&'i Edit),
}

#[derive(Debug, Clone)]
pub(super) struct Object {
    /// The fields it came with.
    pub(super) came: Range<u32>,
    /// The fields that edits added.
    added_first: u32,
    added_last: u32,
    parent: u32,
    /// The object's text before any change.
    text: Text,
    pub(super) is_changed: bool,
}

impl Index {
    /// Forgets the last event, checks another, and indexes its top-level fields.
    pub(super) fn read<'r>(
        &mut self,
        json: &'r [u8],
        limits: Limits,
    ) -> Result<&'r str, Malformed> {
        self.nodes.clear();
        self.edits.clear();
        self.objects.clear();
        self.overlay.clear();
        self.names.clear();
        let raw = self.tokens.read(json, limits)?;
        self.index_record(raw, Text::new(Source::Record, &(0..raw.len())), NONE, 0)?;
        Ok(raw)
    }

    pub(super) fn is_changed(&self) -> bool {
        self.objects[ROOT as usize].is_changed
    }

    pub(super) fn object(&self, object: u32) -> &Object {
        &self.objects[object as usize]
    }

    pub(super) fn text<'t>(&'t self, raw: &'t str, text: Text) -> &'t str {
        let source = match text.source {
            Source::Record => raw,
            Source::Overlay => &self.overlay,
            Source::Names => &self.names,
        };
        &source[text.range()]
    }

    /// Returns what became of a field.
    #[inline]
    pub(super) fn field(&self, node: u32) -> Field<'_> {
        let edit = match self.nodes[node as usize].edit {
            NONE => return Field::Untouched,
            GONE => return Field::Removed,
            edit => &self.edits[edit as usize],
        };
        let is_changed = match edit.value {
            Value::Text(_) => false,
            Value::Object(object) => self.object(object).is_changed,
        };
        if edit.is_original && !is_changed { Field::Untouched } else { Field::Edited(edit) }
    }

    /// Returns where untouched neighbours stand in the record, from the first's key to the last's
    /// value.
    #[inline]
    pub(super) fn stretch(&self, raw: &str, first: u32, last: u32) -> Range<usize> {
        let colon = |node: u32| self.nodes[node as usize].colon;
        let json = raw.as_bytes();
        self.tokens.key(json, colon(first)).start..self.tokens.value(json, colon(last)).end
    }

    /// Returns the fields that edits added to an object.
    pub(super) fn added(&self, object: u32) -> impl Iterator<Item = u32> {
        let mut next = self.object(object).added_first;
        std::iter::from_fn(move || {
            let at = next;
            next = self.nodes.get(at as usize)?.next;
            Some(at)
        })
    }

    /// Returns the node at the end of `path`.
    pub(super) fn find_path(&mut self, raw: &str, path: &Path) -> Result<Option<u32>, Malformed> {
        let (last, parents) = path.split_last();
        match self.find_object(raw, parents)? {
            Some(object) => Ok(self.find(raw, object, last)),
            None => Ok(None),
        }
    }

    /// Returns the object at the end of `parents`; `None` when there is none.
    pub(super) fn find_object(
        &mut self,
        raw: &str,
        parents: &[Segment],
    ) -> Result<Option<u32>, Malformed> {
        let mut object = ROOT;
        for segment in parents {
            let Some(node) = self.find(raw, object, segment) else { return Ok(None) };
            let Some(nested) = self.enter(raw, object, node)? else { return Ok(None) };
            object = nested;
        }
        Ok(Some(object))
    }

    /// Returns the field of `object` with this name.
    #[inline]
    pub(super) fn find(&self, raw: &str, object: u32, name: &Segment) -> Option<u32> {
        let came = self.object(object).came.clone();
        let nodes = &self.nodes[came.start as usize..came.end as usize];
        for (at, node) in nodes.iter().enumerate() {
            if node.tag == name.tag && self.is_called(raw, node, &name.name) {
                return Some(came.start + number(at));
            }
        }
        self.added(object).find(|at| self.is_called(raw, &self.nodes[*at as usize], &name.name))
    }

    #[inline]
    fn is_called(&self, raw: &str, node: &Node, name: &str) -> bool {
        node.edit != GONE && self.name(raw, node) == name.as_bytes()
    }

    /// Returns the name of a field that was not removed.
    #[inline]
    fn name<'t>(&'t self, raw: &'t str, node: &Node) -> &'t [u8] {
        match node.edit {
            NONE => {
                let key = self.tokens.key(raw.as_bytes(), node.colon);
                &raw.as_bytes()[key.start + 1..key.end - 1]
            }
            edit => self.text(raw, self.edits[edit as usize].name).as_bytes(),
        }
    }

    /// Returns the value of a field that was not removed.
    fn value_of(&self, raw: &str, node: u32) -> Value {
        let Node { edit, colon, .. } = self.nodes[node as usize];
        match edit {
            NONE => {
                let range = self.tokens.value(raw.as_bytes(), colon);
                Value::Text(Text::new(Source::Record, &range))
            }
            edit => self.edits[edit as usize].value,
        }
    }

    /// Gives a field another value.
    pub(super) fn set_value(&mut self, raw: &str, node: u32, value: Value) {
        self.edit(raw, node, value).is_original = false;
    }

    /// Removes a field.
    pub(super) fn remove(&mut self, node: u32) {
        self.nodes[node as usize].edit = GONE;
    }

    /// Gives a field that was not removed a value in its edit; there is one from then on.
    fn edit(&mut self, raw: &str, node: u32, value: Value) -> &mut Edit {
        let node = &mut self.nodes[node as usize];
        if node.edit == NONE {
            let key = Text::new(Source::Record, &self.tokens.key(raw.as_bytes(), node.colon));
            node.edit = number(self.edits.len());
            self.edits.push(Edit { key, name: key.unquoted(), value, is_original: true });
        }
        let edit = &mut self.edits[node.edit as usize];
        edit.value = value;
        edit
    }

    /// Indexes the object that a field holds; `None` when it holds something else.
    pub(super) fn enter(
        &mut self,
        raw: &str,
        parent: u32,
        node: u32,
    ) -> Result<Option<u32>, Malformed> {
        let Node { edit, colon, .. } = self.nodes[node as usize];
        if edit == NONE && !self.tokens.is_object(raw.as_bytes(), colon) {
            return Ok(None);
        }
        let text = match self.value_of(raw, node) {
            Value::Object(object) => return Ok(Some(object)),
            Value::Text(text) => text,
        };
        let object = match text.source {
            Source::Record if edit == NONE => self.index_record(raw, text, parent, colon + 1)?,
            _ if !self.text(raw, text).starts_with('{') => return Ok(None),
            Source::Record => {
                // Moved here from elsewhere in the record.
                let object = self.tokens.at_place(text.range().start);
                let object = object.expect("brackets are operators");
                self.index_record(raw, text, parent, object)?
            }
            _ => self.index_overlay(raw, text, parent)?,
        };
        self.edit(raw, node, Value::Object(object));
        Ok(Some(object))
    }

    /// Adds the object that begins at the operator `object` of the record, and its fields.
    #[inline]
    fn index_record(
        &mut self,
        raw: &str,
        text: Text,
        parent: u32,
        object: Token,
    ) -> Result<u32, Malformed> {
        let json = raw.as_bytes();
        let Self { tokens, nodes, edits, names, .. } = self;
        let first = nodes.len();
        let mut seen = Seen::default();
        let has_escapes = tokens.has_escapes();
        tokens.each_field(json, object, |colon, key| {
            let name = key.start + 1..key.end - 1;
            let (tag, edit) = if has_escapes && has_backslash(&json[name.clone()]) {
                let (name, tag) = plain_name(&raw[name], names)?;
                let key = Text::new(Source::Record, &key);
                let range = tokens.value(json, colon);
                let value = Value::Text(Text::new(Source::Record, &range));
                edits.push(Edit { key, name, value, is_original: true });
                (tag, number(edits.len() - 1))
            } else {
                (tag_within(json, name), NONE)
            };
            seen.insert(tag, &nodes[first..]);
            nodes.push(Node { tag, colon, edit, next: NONE });
            Ok(())
        })?;
        self.add_object(raw, first, &seen, (text, parent))
    }

    /// Indexes an object that a step wrote.
    fn index_overlay(&mut self, raw: &str, text: Text, parent: u32) -> Result<u32, Malformed> {
        let Self { overlay, overlay_tokens: tokens, nodes, edits, names, .. } = self;
        let first = nodes.len();
        let mut seen = Seen::default();
        // Steps write well-formed values; their depth is bounded by the configuration.
        let written = &overlay[text.range()];
        tokens.read(written.as_bytes(), Limits { depth_max: u32::MAX })?;
        tokens.each_field(written.as_bytes(), 0, |colon, key| {
            let within = |range: Range<usize>| {
                let base = text.range().start;
                Text::new(Source::Overlay, &(base + range.start..base + range.end))
            };
            let key = within(key);
            let value = Value::Text(within(tokens.value(written.as_bytes(), colon)));
            let (name, tag) = plain_name(&overlay[key.unquoted().range()], names)?;
            seen.insert(tag, &nodes[first..]);
            nodes.push(Node { tag, colon: 0, edit: number(edits.len()), next: NONE });
            edits.push(Edit { key, name, value, is_original: false });
            Ok(())
        })?;
        self.add_object(raw, first, &seen, (text, parent))
    }

    /// Adds the object whose fields are the nodes from `first` on.
    #[inline]
    fn add_object(
        &mut self,
        raw: &str,
        first: usize,
        seen: &Seen,
        (text, parent): (Text, u32),
    ) -> Result<u32, Malformed> {
        if seen.maybe_twice {
            self.refuse_duplicates(raw, first)?;
        }
        let came = number(first)..number(self.nodes.len());
        let (added_first, added_last) = (NONE, NONE);
        let is_changed = false;
        self.objects.push(Object { came, added_first, added_last, parent, text, is_changed });
        Ok(number(self.objects.len() - 1))
    }

    /// Looks for two of the nodes from `first` on that have one name.
    #[cold]
    fn refuse_duplicates(&mut self, raw: &str, first: usize) -> Result<(), Malformed> {
        let mut sorted = std::mem::take(&mut self.sorted);
        let name = |at: u32| self.name(raw, &self.nodes[at as usize]);
        let all = number(first)..number(self.nodes.len());
        let duplicate = if all.len() <= KEYS_COMPARED_MAX {
            all.clone().find(|at| (all.start..*at).any(|other| name(other) == name(*at)))
        } else {
            sorted.clear();
            sorted.extend(all);
            sorted.sort_unstable_by_key(|at| name(*at));
            sorted.windows(2).find(|pair| name(pair[0]) == name(pair[1])).map(|pair| pair[0])
        };
        let key = duplicate.map(|at| String::from_utf8_lossy(name(at)).into_owned());
        self.sorted = sorted;
        key.map_or(Ok(()), |key| Err(Malformed::DuplicateKey { key }))
    }

    /// Returns the JSON text of a field; an object that was changed is written to the overlay.
    pub(super) fn value<'t>(&'t mut self, raw: &'t str, node: u32) -> RawValue<'t> {
        let text = self.settle(raw, node);
        RawValue::from_checked(self.text(raw, text))
    }

    /// Returns the kind of a field's value.
    pub(super) fn kind(&self, raw: &str, node: u32) -> Kind {
        let Node { edit, colon, .. } = self.nodes[node as usize];
        if edit == NONE {
            return self.tokens.kind(raw.as_bytes(), colon);
        }
        match self.value_of(raw, node) {
            Value::Text(text) => RawValue::from_checked(self.text(raw, text)).kind(),
            Value::Object(_) => Kind::Object,
        }
    }

    /// Returns one text that stands for the field's value now.
    pub(super) fn settle(&mut self, raw: &str, node: u32) -> Text {
        match self.value_of(raw, node) {
            Value::Text(text) => text,
            Value::Object(object) if !self.object(object).is_changed => self.object(object).text,
            Value::Object(object) => {
                let mut json = Vec::new();
                self.write_object(raw, object, &mut json);
                let json = std::str::from_utf8(&json).expect("pieces of text, joined by ASCII");
                let start = self.overlay.len();
                self.overlay.push_str(json);
                Text::in_overlay(&(start..self.overlay.len()))
            }
        }
    }

    /// Marks an object, and all that hold it, as changed.
    pub(super) fn mark_changed(&mut self, object: u32) {
        let mut at = object;
        while let Some(object) = self.objects.get_mut(at as usize) {
            object.is_changed = true;
            at = object.parent;
        }
    }

    /// Adds a field at the end of an object; its key is written to the overlay.
    pub(super) fn append(&mut self, object: u32, name: &Segment, value: Value) {
        let start = self.overlay.len();
        self.overlay.push_str(&name.json);
        let key = Text::in_overlay(&(start..self.overlay.len()));
        let start = self.names.len();
        self.names.push_str(&name.name);
        let name_text = Text::new(Source::Names, &(start..self.names.len()));
        let at = number(self.nodes.len());
        let edit = number(self.edits.len());
        self.nodes.push(Node { tag: name.tag, colon: 0, edit, next: NONE });
        self.edits.push(Edit { key, name: name_text, value, is_original: false });
        let object = &mut self.objects[object as usize];
        let before = std::mem::replace(&mut object.added_last, at);
        match self.nodes.get_mut(before as usize) {
            Some(before) => before.next = at,
            None => object.added_first = at,
        }
    }

    /// Adds an object without fields, which `parent` is to hold.
    pub(super) fn new_object(&mut self, parent: u32) -> u32 {
        let start = self.overlay.len();
        self.overlay.push_str("{}");
        let text = Text::in_overlay(&(start..self.overlay.len()));
        let (came, added_first, added_last, is_changed) = (0..0, NONE, NONE, true);
        self.objects.push(Object { came, added_first, added_last, parent, text, is_changed });
        number(self.objects.len() - 1)
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("fewer fields, edits and objects than bytes")
}

/// Appends what a key written as `quoted` is called, and returns it with its tag.
#[cold]
fn plain_name(quoted: &str, names: &mut String) -> Result<(Text, u32), Malformed> {
    let start = names.len();
    let unescaped = unescape(quoted, names);
    unescaped.map_err(|error| Malformed::Key { reason: error.to_string() })?;
    Ok((Text::new(Source::Names, &(start..names.len())), tag_of(&names[start..])))
}
