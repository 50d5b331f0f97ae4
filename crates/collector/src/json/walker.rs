//! One pass over one JSON value: structure, strings, numbers, keys, depth, and the routing key.

use std::ops::Range;

use super::field_path::FieldPath;
use super::keys::Keys;
use super::reason::{Fault, Reason};
use super::scan;

/// The longest number, in characters. The exact decimal form of the smallest double has 1,074
/// digits after the point; nothing that means a number needs more.
pub const NUMBER_BYTES_MAX: usize = 1100;

/// What an event may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most bytes, from the first to the last of the value.
    pub event_bytes_max: usize,
    /// The deepest nesting; an event without inner objects or arrays has depth 1.
    pub depth_max: usize,
}

/// A scalar taken from an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Captured {
    /// It stands in the body as it is.
    Plain(Range<usize>),
    /// It had escapes.
    Unescaped(Vec<u8>),
}

impl Captured {
    /// Returns the value's bytes, given the body it was taken from.
    pub fn bytes<'a>(&'a self, body: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Plain(range) => &body[range.clone()],
            Self::Unescaped(bytes) => bytes,
        }
    }
}

/// What routes an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routing {
    /// The value of the configured field: a string that is not empty, a number or a boolean.
    pub key: Option<Captured>,
    /// The value of `message_id`, likewise.
    pub message_id: Option<Captured>,
}

impl Routing {
    /// Returns what the event is keyed by: the configured field, else `message_id`, else nothing.
    pub fn into_key(self) -> Option<Captured> {
        self.key.or(self.message_id)
    }
}

/// A walked value.
#[derive(Debug)]
pub(super) struct Walked {
    /// The byte after it.
    pub(super) end: usize,
    /// The first thing that rejects it although it could be walked to its end.
    pub(super) fault: Option<Fault>,
    /// What routes it.
    pub(super) routing: Routing,
}

/// Walks values; reuses its memory from one to the next.
#[derive(Debug)]
pub struct Walker {
    pub(super) limits: Limits,
    /// `message_id`, then the configured key if there is one.
    targets: Vec<Target>,
    keys: Keys,
    /// One bit for each open container, set for objects.
    containers: BitStack,
    unescaped: Vec<u8>,
}

/// A field to pick up.
#[derive(Debug)]
struct Target {
    path: FieldPath,
    /// How many names of the path the open objects match.
    matched: usize,
    found: Option<Captured>,
}

/// What the walk does with the next value.
#[derive(Debug, Clone, Copy, Default)]
struct Wanted {
    /// The target whose last name was just read.
    capture: Option<usize>,
    /// One bit for each target one of whose inner names was just read.
    descend: u8,
}

impl Walker {
    /// Builds a walker that picks up `message_id` and, if given, `key`.
    pub fn new(limits: Limits, key: Option<&FieldPath>) -> Self {
        let message_id = FieldPath::new("message_id").expect("one name is a path");
        let paths = std::iter::once(message_id).chain(key.cloned());
        let targets = paths.map(|path| Target { path, matched: 0, found: None }).collect();
        let (keys, containers) = (Keys::default(), BitStack::default());
        Self { limits, targets, keys, containers, unescaped: Vec::new() }
    }

    /// Walks the value that begins at `at`, which is no white space.
    pub(super) fn walk(&mut self, text: &[u8], at: usize) -> Result<Walked, Fault> {
        self.keys.clear();
        self.containers.clear();
        for target in &mut self.targets {
            (target.matched, target.found) = (0, None);
        }
        let mut fault = None;
        if text.get(at) != Some(&b'{') {
            fault = Some(Fault::new(Reason::NotAnObject, at));
        }
        let end = self.walk_values(text, at, &mut fault)?;
        let mut found = self.targets.iter_mut().map(|target| target.found.take());
        let message_id = found.next().flatten();
        let key = found.next().flatten();
        Ok(Walked { end, fault, routing: Routing { key, message_id } })
    }

    /// Walks values until the outermost one ends.
    fn walk_values(
        &mut self,
        text: &[u8],
        mut at: usize,
        fault: &mut Option<Fault>,
    ) -> Result<usize, Fault> {
        let mut wanted = Wanted::default();
        loop {
            let (first, start) = scan::next_token(text, at);
            at = match first {
                Some(open @ (b'{' | b'[')) => {
                    let next = self.open(open == b'{', start, wanted, fault);
                    let (first, inside) = scan::next_token(text, next);
                    match (open, first) {
                        (b'{', Some(b'}')) | (b'[', Some(b']')) => inside,
                        (b'{', _) => {
                            (at, wanted) = self.key(text, inside, fault)?;
                            continue;
                        }
                        _ => {
                            (at, wanted) = (inside, Wanted::default());
                            continue;
                        }
                    }
                }
                Some(byte) => self.scalar(text, start, byte, (wanted, fault))?,
                None => return Err(Fault::new(Reason::CutShort, text.len())),
            };
            // A value ended, or `at` stands on the bracket that closes an empty container.
            match self.close_ended(text, at, fault)? {
                Ended::Outermost(end) => return Ok(end),
                Ended::Element(next) => (at, wanted) = (next, Wanted::default()),
                Ended::Member(next) => {
                    let (_, quote) = scan::next_token(text, next);
                    (at, wanted) = self.key(text, quote, fault)?;
                }
            }
        }
    }

    /// Enters a container whose bracket stands at `at`; returns the byte after it.
    fn open(
        &mut self,
        is_object: bool,
        at: usize,
        wanted: Wanted,
        fault: &mut Option<Fault>,
    ) -> usize {
        self.containers.push(is_object);
        let depth = self.containers.len();
        if depth > self.limits.depth_max {
            fault.get_or_insert(Fault::new(Reason::TooDeep, at));
        }
        if is_object {
            self.keys.open_object();
            for (index, target) in self.targets.iter_mut().enumerate() {
                if wanted.descend & (1 << index) != 0 {
                    target.matched = depth - 1;
                }
            }
        }
        at + 1
    }

    /// Closes every container that ends at `at`; tells what comes next.
    fn close_ended(
        &mut self,
        text: &[u8],
        mut at: usize,
        fault: &mut Option<Fault>,
    ) -> Result<Ended, Fault> {
        loop {
            let Some(is_object) = self.containers.last() else { return Ok(Ended::Outermost(at)) };
            let (byte, place) = scan::next_token(text, at);
            match (byte, is_object) {
                (Some(b','), true) => return Ok(Ended::Member(place + 1)),
                (Some(b','), false) => return Ok(Ended::Element(place + 1)),
                (Some(b'}'), true) | (Some(b']'), false) => {
                    self.close(text, is_object, fault);
                    at = place + 1;
                }
                (Some(_), _) => return Err(Fault::new(Reason::MalformedJson, place)),
                (None, _) => return Err(Fault::new(Reason::CutShort, text.len())),
            }
        }
    }

    fn close(&mut self, text: &[u8], is_object: bool, fault: &mut Option<Fault>) {
        self.containers.pop();
        if !is_object {
            return;
        }
        if let Some(at) = self.keys.close_object(text) {
            fault.get_or_insert(Fault::new(Reason::DuplicateKey, at));
        }
        let depth = self.containers.len();
        for target in &mut self.targets {
            target.matched = target.matched.min(depth.saturating_sub(1));
        }
    }

    /// Walks the key whose quote must stand at `quote`, and its colon.
    fn key(
        &mut self,
        text: &[u8],
        quote: usize,
        fault: &mut Option<Fault>,
    ) -> Result<(usize, Wanted), Fault> {
        match text.get(quote) {
            Some(b'"') => {}
            Some(_) => return Err(Fault::new(Reason::MalformedJson, quote)),
            None => return Err(Fault::new(Reason::CutShort, text.len())),
        }
        let string = scan::string(text, quote + 1)?;
        if let Some(found) = string.fault {
            fault.get_or_insert(found);
        }
        let (start, end) = (quote + 1, string.end - 1);
        let mut unescaped = std::mem::take(&mut self.unescaped);
        unescaped.clear();
        let name = if string.escaped {
            scan::unescape_into(&text[start..end], &mut unescaped);
            unescaped.as_slice()
        } else {
            &text[start..end]
        };
        let wanted = self.wanted(name);
        // A rejected event is only walked to its end: its keys no longer matter.
        if fault.is_none() {
            let repeated = if string.escaped {
                self.keys.add_unescaped(text, name, quote)
            } else {
                self.keys.add_plain(text, start, end)
            };
            if repeated {
                *fault = Some(Fault::new(Reason::DuplicateKey, quote));
            }
        }
        self.unescaped = unescaped;

        match scan::next_token(text, string.end) {
            (Some(b':'), colon) => Ok((colon + 1, wanted)),
            (Some(_), at) => Err(Fault::new(Reason::MalformedJson, at)),
            (None, at) => Err(Fault::new(Reason::CutShort, at)),
        }
    }

    /// Tells whether a member called `name` of the innermost object leads to a target.
    fn wanted(&self, name: &[u8]) -> Wanted {
        let above = self.containers.len() - 1;
        let mut wanted = Wanted::default();
        for (index, target) in self.targets.iter().enumerate() {
            let names = target.path.names();
            if target.matched != above || names.get(above).map(String::as_bytes) != Some(name) {
                continue;
            }
            if names.len() == above + 1 {
                wanted.capture = Some(index);
            } else {
                wanted.descend |= 1 << index;
            }
        }
        wanted
    }

    /// Walks the scalar that begins with `byte` at `at`; returns the byte after it.
    fn scalar(
        &mut self,
        text: &[u8],
        at: usize,
        byte: u8,
        (wanted, fault): (Wanted, &mut Option<Fault>),
    ) -> Result<usize, Fault> {
        let mut captured = None;
        let end = match byte {
            b'"' => {
                let string = scan::string(text, at + 1)?;
                if let Some(found) = string.fault {
                    fault.get_or_insert(found);
                }
                if wanted.capture.is_some() {
                    captured = capture_string(&text[..string.end - 1], at + 1, string.escaped);
                }
                string.end
            }
            b'-' | b'0'..=b'9' => {
                let end = scan::number(text, at)?;
                if end - at > NUMBER_BYTES_MAX {
                    fault.get_or_insert(Fault::new(Reason::NumberTooLong, at));
                }
                captured = Some(Captured::Plain(at..end));
                end
            }
            b't' | b'f' => {
                let word: &[u8] = if byte == b't' { b"true" } else { b"false" };
                let end = scan::literal(text, at, word)?;
                captured = Some(Captured::Plain(at..end));
                end
            }
            b'n' => scan::literal(text, at, b"null")?,
            _ => return Err(Fault::new(Reason::MalformedJson, at)),
        };
        if let Some(target) = wanted.capture {
            self.targets[target].found = captured;
        }
        Ok(end)
    }
}

/// Takes the string at `start..text.len()`; an empty one routes nothing.
fn capture_string(text: &[u8], start: usize, escaped: bool) -> Option<Captured> {
    let inside = &text[start..];
    if inside.is_empty() {
        return None;
    }
    if !escaped {
        return Some(Captured::Plain(start..text.len()));
    }
    let mut value = Vec::with_capacity(inside.len());
    scan::unescape_into(inside, &mut value);
    Some(Captured::Unescaped(value))
}

/// What follows a value.
#[derive(Debug)]
enum Ended {
    /// It was the outermost: the byte after it.
    Outermost(usize),
    /// Another element of an array: the byte after the comma.
    Element(usize),
    /// Another member of an object: the byte after the comma.
    Member(usize),
}

/// A stack of bits: a hostile body of brackets costs an eighth of its size.
#[derive(Debug, Default)]
struct BitStack {
    words: Vec<u64>,
    len: usize,
}

impl BitStack {
    fn clear(&mut self) {
        self.words.clear();
        self.words.shrink_to(1024);
        self.len = 0;
    }

    fn len(&self) -> usize {
        self.len
    }

    fn push(&mut self, bit: bool) {
        let (word, place) = (self.len / 64, self.len % 64);
        if word == self.words.len() {
            self.words.push(0);
        }
        self.words[word] = (self.words[word] & !(1 << place)) | (u64::from(bit) << place);
        self.len += 1;
    }

    fn last(&self) -> Option<bool> {
        let at = self.len.checked_sub(1)?;
        Some(self.words[at / 64] >> (at % 64) & 1 == 1)
    }

    fn pop(&mut self) {
        self.len = self.len.saturating_sub(1);
    }
}
