//! The index of an event's fields and the overlay of edits.
//!
//! Fields are nodes in one vector, an object is a chain of them. A nested object becomes a chain
//! when a path first leads into it. Texts are ranges into the record, into the overlay, or into
//! the names of keys that were written with escapes, so that nothing here borrows from an event
//! and all vectors are used again.

use std::ops::Range;

use super::path::{Path, Segment};
use super::raw::{Kind, RawValue, unescape};
use super::scan::{Token, Tokens};
use super::tag::tag_of;
use super::{Limits, Malformed};

/// Ends a chain.
const NONE: u32 = u32::MAX;

/// The event's own object.
pub(super) const ROOT: u32 = 0;

/// Above this many keys, finding those that occur twice is done by sorting.
const KEYS_COMPARED_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Index {
    /// The structure of the record.
    tokens: Tokens,
    /// The structure of an object in the overlay, while its fields are added.
    overlay_tokens: Tokens,
    /// Fields of all objects: those that an object came with follow each other, those that edits
    /// added are chained.
    nodes: Vec<Node>,
    /// The tag of each node, apart from it: a search runs over these.
    tags: Vec<u32>,
    objects: Vec<Object>,
    /// Values that steps wrote, and keys they made: JSON texts.
    pub(super) overlay: String,
    /// Names of keys that were written with escapes.
    names: String,
    /// Scratch of the search for keys that occur twice.
    sorted: Vec<u32>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    /// The next field that an edit added to the same object.
    next: u32,
    /// The key as a JSON string with quotes.
    pub(super) key: Text,
    /// The key's name.
    pub(super) name: Text,
    pub(super) value: Value,
    /// Where the original value begins in the structure of the record.
    token: Token,
    /// Whether key and value stand in the record as one piece.
    pub(super) is_original: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    /// JSON text.
    Text(Text),
    /// An object whose fields are indexed.
    Object(u32),
    /// The field was removed.
    Gone,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Object {
    /// The fields it came with.
    start: u32,
    end: u32,
    /// The fields that edits added.
    added_first: u32,
    added_last: u32,
    parent: u32,
    /// The object's text before any change.
    text: Text,
    pub(super) is_changed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text {
    start: u32,
    end: u32,
    source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Record,
    Overlay,
    Names,
}

impl Text {
    fn new(source: Source, range: &Range<usize>) -> Self {
        let fit = |at| u32::try_from(at).expect("events and overlays are far below 4 GiB");
        Self { start: fit(range.start), end: fit(range.end), source }
    }

    pub(super) fn in_overlay(range: &Range<usize>) -> Self {
        Self::new(Source::Overlay, range)
    }

    /// Returns the text within its quotes.
    fn unquoted(self) -> Self {
        Self { start: self.start + 1, end: self.end - 1, ..self }
    }

    /// Returns the bytes of the record that the text takes; `None` when it is an edit.
    pub(super) fn in_record(self) -> Option<Range<usize>> {
        (self.source == Source::Record).then_some(self.start as usize..self.end as usize)
    }
}

impl Index {
    /// Forgets the last event, checks another, and indexes its top-level fields.
    pub(super) fn read<'r>(
        &mut self,
        json: &'r [u8],
        limits: Limits,
    ) -> Result<&'r str, Malformed> {
        self.nodes.clear();
        self.tags.clear();
        self.objects.clear();
        self.overlay.clear();
        self.names.clear();
        let raw = self.tokens.read(json, limits)?;
        let tokens = std::mem::take(&mut self.tokens);
        let text = Text::new(Source::Record, &(0..raw.len()));
        let indexed = self.index_object(raw, text, NONE, (&tokens, 0));
        self.tokens = tokens;
        indexed.map(|_root| raw)
    }

    pub(super) fn is_changed(&self) -> bool {
        self.objects[ROOT as usize].is_changed
    }

    pub(super) fn node(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
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
        &source[text.start as usize..text.end as usize]
    }

    /// Returns the live fields of an object in order.
    pub(super) fn fields(&self, object: u32) -> impl Iterator<Item = (u32, &Node)> {
        let Object { start, end, added_first, .. } = *self.object(object);
        let came = (start..end).map(|at| (at, self.node(at)));
        came.chain(self.added(added_first)).filter(|(_, node)| !matches!(node.value, Value::Gone))
    }

    /// Returns the fields that edits added, from `first` on.
    fn added(&self, first: u32) -> impl Iterator<Item = (u32, &Node)> {
        let mut next = first;
        std::iter::from_fn(move || {
            let at = next;
            let node = self.nodes.get(at as usize)?;
            next = node.next;
            Some((at, node))
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
        let Object { start, end, added_first, .. } = *self.object(object);
        let tags = &self.tags[start as usize..end as usize];
        for (at, tag) in (start..).zip(tags) {
            if *tag == name.tag && self.is_called(raw, self.node(at), &name.name) {
                return Some(at);
            }
        }
        let mut added = self.added(added_first);
        added.find(|(_, node)| self.is_called(raw, node, &name.name)).map(|(at, _)| at)
    }

    fn is_called(&self, raw: &str, node: &Node, name: &str) -> bool {
        !matches!(node.value, Value::Gone) && self.text(raw, node.name) == name
    }

    /// Indexes the object that a field holds; `None` when it holds something else.
    pub(super) fn enter(
        &mut self,
        raw: &str,
        parent: u32,
        node: u32,
    ) -> Result<Option<u32>, Malformed> {
        let text = match self.node(node).value {
            Value::Object(object) => return Ok(Some(object)),
            Value::Gone => return Ok(None),
            Value::Text(text) => text,
        };
        if !self.text(raw, text).starts_with('{') {
            return Ok(None);
        }
        let object = match text.source {
            Source::Record => {
                let token = self.node(node).token;
                // Lent out while nodes are added; and given back whatever comes of it.
                let tokens = std::mem::take(&mut self.tokens);
                let indexed = self.index_object(raw, text, parent, (&tokens, token));
                self.tokens = tokens;
                indexed?
            }
            _ => self.enter_overlay(text, parent)?,
        };
        self.nodes[node as usize].value = Value::Object(object);
        Ok(Some(object))
    }

    /// Indexes an object that a step wrote.
    fn enter_overlay(&mut self, text: Text, parent: u32) -> Result<u32, Malformed> {
        let overlay = std::mem::take(&mut self.overlay);
        let mut tokens = std::mem::take(&mut self.overlay_tokens);
        let json = &overlay.as_bytes()[text.start as usize..text.end as usize];
        // Steps write well-formed values; their depth is bounded by the configuration.
        let indexed = tokens
            .read(json, Limits { depth_max: u32::MAX })
            .and_then(|_text| self.index_object(&overlay, text, parent, (&tokens, 0)));
        self.overlay = overlay;
        self.overlay_tokens = tokens;
        indexed
    }

    /// Adds the object that stands in `source` at `text`, and its fields, which `structure` has
    /// found there: the tokens, and the one that the object begins with.
    fn index_object(
        &mut self,
        source: &str,
        text: Text,
        parent: u32,
        (tokens, object): (&Tokens, Token),
    ) -> Result<u32, Malformed> {
        let first = self.nodes.len();
        // The record's tokens count from its beginning, those of the overlay from the object's.
        let is_record = text.source == Source::Record;
        let base = if is_record { 0 } else { text.start as usize };
        let json = if is_record { source } else { &source[base..text.end as usize] };
        let mut seen = Seen::default();
        for entry in tokens.fields(json.as_bytes(), object) {
            let key = Text::new(text.source, &(base + entry.key.start..base + entry.key.end));
            let value = Text::new(text.source, &(base + entry.value.start..base + entry.value.end));
            let quoted = &json[entry.key];
            let name = &quoted[1..quoted.len() - 1];
            let is_plain = !tokens.has_escapes() || !has_backslash(name.as_bytes());
            let (name_text, tag) = if is_plain {
                (key.unquoted(), tag_of(name))
            } else {
                let start = self.names.len();
                let unescaped = unescape(name, &mut self.names);
                unescaped.map_err(|error| Malformed::Key { reason: error.to_string() })?;
                let end = self.names.len();
                (Text::new(Source::Names, &(start..end)), tag_of(&self.names[start..end]))
            };
            seen.insert(tag, &self.tags[first..]);
            self.tags.push(tag);
            self.nodes.push(Node {
                next: NONE,
                key,
                name: name_text,
                value: Value::Text(value),
                token: entry.token,
                is_original: is_record,
            });
        }
        if seen.maybe_twice {
            self.refuse_duplicates(source, first)?;
        }
        let number = |at: usize| u32::try_from(at).expect("fewer fields and objects than bytes");
        let object = number(self.objects.len());
        let (start, end) = (number(first), number(self.nodes.len()));
        let (added_first, added_last) = (NONE, NONE);
        let is_changed = false;
        let came = Object { start, end, added_first, added_last, parent, text, is_changed };
        self.objects.push(came);
        Ok(object)
    }

    /// Looks for two of the nodes from `first` on that have one name.
    fn refuse_duplicates(&mut self, source: &str, first: usize) -> Result<(), Malformed> {
        let name = |node: &Node| match node.name.source {
            Source::Names => &self.names[node.name.start as usize..node.name.end as usize],
            _ => &source[node.name.start as usize..node.name.end as usize],
        };
        let nodes = &self.nodes[first..];
        let duplicate = if nodes.len() <= KEYS_COMPARED_MAX {
            nodes
                .iter()
                .enumerate()
                .find(|(at, node)| nodes[..*at].iter().any(|other| name(other) == name(node)))
        } else {
            let all = 0..u32::try_from(nodes.len()).expect("fewer fields than bytes");
            self.sorted.clear();
            self.sorted.extend(all);
            self.sorted.sort_unstable_by_key(|at| name(&nodes[*at as usize]));
            let pair = self
                .sorted
                .windows(2)
                .find(|pair| name(&nodes[pair[0] as usize]) == name(&nodes[pair[1] as usize]));
            pair.map(|pair| (pair[0] as usize, &nodes[pair[0] as usize]))
        };
        match duplicate {
            Some((_, node)) => Err(Malformed::DuplicateKey { key: name(node).to_owned() }),
            None => Ok(()),
        }
    }

    /// Returns the JSON text of a field; an object that was changed is written to the overlay.
    pub(super) fn value<'t>(&'t mut self, raw: &'t str, node: u32) -> RawValue<'t> {
        let text = self.settle(raw, node);
        RawValue::from_checked(self.text(raw, text))
    }

    /// Returns the kind of a field's value.
    pub(super) fn kind(&self, raw: &str, node: u32) -> Kind {
        match self.node(node).value {
            Value::Text(text) => RawValue::from_checked(self.text(raw, text)).kind(),
            Value::Object(_) => Kind::Object,
            Value::Gone => unreachable!("removed fields are never found"),
        }
    }

    /// Returns the text of an object that nobody changed and that stands beside its key.
    pub(super) fn original_text(&self, is_original: bool, object: u32) -> Option<Text> {
        let object = self.object(object);
        (is_original && !object.is_changed).then_some(object.text)
    }

    /// Returns one text that stands for the field's value now.
    pub(super) fn settle(&mut self, raw: &str, node: u32) -> Text {
        match self.node(node).value {
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
            Value::Gone => unreachable!("removed fields are never found"),
        }
    }

    pub(super) fn node_mut(&mut self, node: u32) -> &mut Node {
        &mut self.nodes[node as usize]
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
    pub(super) fn append(&mut self, object: u32, name: &Segment, value: Value) -> u32 {
        let start = self.overlay.len();
        self.overlay.push_str(&name.json);
        let key = Text::in_overlay(&(start..self.overlay.len()));
        let start = self.names.len();
        self.names.push_str(&name.name);
        let name_text = Text::new(Source::Names, &(start..self.names.len()));
        let at = u32::try_from(self.nodes.len()).expect("fewer fields than bytes");
        self.tags.push(name.tag);
        let (name, token, is_original) = (name_text, 0, false);
        self.nodes.push(Node { next: NONE, key, name, value, token, is_original });
        let object = &mut self.objects[object as usize];
        let before = std::mem::replace(&mut object.added_last, at);
        match self.nodes.get_mut(before as usize) {
            Some(before) => before.next = at,
            None => object.added_first = at,
        }
        at
    }

    /// Adds an object without fields, which `parent` is to hold.
    pub(super) fn new_object(&mut self, parent: u32) -> u32 {
        let at = u32::try_from(self.objects.len()).expect("fewer objects than bytes");
        let start = self.overlay.len();
        self.overlay.push_str("{}");
        let text = Text::in_overlay(&(start..self.overlay.len()));
        let (start, end, added_first, added_last) = (0, 0, NONE, NONE);
        let is_changed = true;
        let empty = Object { start, end, added_first, added_last, parent, text, is_changed };
        self.objects.push(empty);
        at
    }
}

/// Looks for a backslash, eight bytes at a time: names are short, and a call would cost more.
#[inline]
fn has_backslash(name: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const BACKSLASHES: u64 = ONES * b'\\' as u64;
    // A byte of `word` is zero exactly where the name has a backslash (Mycroft's test).
    let has = |bytes: [u8; 8]| {
        let word = u64::from_le_bytes(bytes) ^ BACKSLASHES;
        word.wrapping_sub(ONES) & !word & (ONES << 7) != 0
    };
    let (words, rest) = name.as_chunks::<8>();
    words.iter().any(|word| has(*word))
        || match name.last_chunk::<8>() {
            Some(last) => has(*last),
            None => rest.contains(&b'\\'),
        }
}

/// Whether two keys of an object may be the same, from their tags alone.
#[derive(Debug, Default)]
struct Seen {
    bits: u64,
    maybe_twice: bool,
}

impl Seen {
    /// Adds the tag of a key; `before` are those of the keys before it.
    #[inline]
    fn insert(&mut self, tag: u32, before: &[u32]) {
        let bit = 1_u64 << (tag & 63);
        if self.bits & bit != 0 {
            // With many keys a search per key would add up: they are sorted later in any case.
            self.maybe_twice |= before.len() > KEYS_COMPARED_MAX || before.contains(&tag);
        }
        self.bits |= bit;
    }
}
