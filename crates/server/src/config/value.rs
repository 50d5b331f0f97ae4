//! Decoders of single values and of sections: small, total, and each reporting its own mistakes.
//!
//! A decoder answers `None` after it has reported what is wrong, and its caller goes on with the
//! rest of the file: that is how all mistakes come at once.

use std::net::SocketAddr;
use std::time::Duration;

use millstream_model::{ByteSize, TopicName};

use super::problem::{Problems, closest, did_you_mean};
use super::source::{Located, Span};
use super::units::parse_duration;
use super::yaml::{Entry, Kind, Node, Scalar};

/// A node on its way to becoming a value.
#[derive(Debug, Clone)]
pub(crate) struct Value<'n> {
    node: &'n Node,
    /// Where the key that names the value stands; the node itself for an item of a list.
    name_at: Span,
    path: String,
    problems: &'n Problems,
}

/// A section on its way to becoming a struct: remembers which keys were asked for, and which of
/// them were missing.
#[derive(Debug)]
pub(crate) struct Fields<'n> {
    entries: &'n [Entry],
    name_at: Span,
    path: String,
    problems: &'n Problems,
    known: Vec<&'static str>,
    missing: Vec<&'static str>,
}

/// Whether every key of a section was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// All of them.
    Understood,
    /// A key that is known is likely misspelt.
    Misspelt,
}

impl<'n> Value<'n> {
    /// Starts with the root of a file.
    pub(crate) fn root(node: &'n Node, problems: &'n Problems) -> Self {
        Self { node, name_at: node.at, path: String::new(), problems }
    }

    /// Returns where the value of `key` stands in this section; without one, the section's own
    /// name.
    pub(crate) fn place_of(&self, key: &str) -> Span {
        self.place_of_key(key).unwrap_or(self.name_at)
    }

    /// Returns where the value of `key` stands in this section, if it does.
    pub(crate) fn place_of_key(&self, key: &str) -> Option<Span> {
        let Kind::Mapping(entries) = &self.node.kind else { return None };
        let entry = entries.iter().find(|entry| entry.key == key);
        entry.map(|entry| entry.value.at)
    }

    /// Returns the path of keys.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the node.
    pub(crate) fn node(&self) -> &'n Node {
        self.node
    }

    /// Returns where problems go.
    pub(crate) fn problems(&self) -> &'n Problems {
        self.problems
    }

    /// Reports a problem with this value.
    pub(crate) fn problem(&self, message: impl Into<String>) {
        self.problems.add(self.node.at, &self.path, message);
    }

    /// Reports a problem with this value and what to do about it.
    pub(crate) fn problem_with_hint(&self, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.add_with_hint(self.node.at, &self.path, message, hint);
    }

    /// Reports a problem with the section as a whole, at its name.
    pub(crate) fn problem_at_name(&self, message: impl Into<String>) {
        self.problems.add(self.name_at, &self.path, message);
    }

    /// Reports the same and what to do about it.
    pub(crate) fn problem_at_name_with_hint(
        &self,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.problems.add_with_hint(self.name_at, &self.path, message, hint);
    }

    /// Returns how many keys this section has.
    pub(crate) fn keys(&self) -> usize {
        match &self.node.kind {
            Kind::Mapping(entries) => entries.len(),
            _ => 0,
        }
    }

    /// Keeps the place beside a decoded value.
    pub(crate) fn located<T>(&self, value: T) -> Located<T> {
        Located { value, at: self.node.at, path: self.path.clone() }
    }

    /// Decodes a section; nothing after the colon is an empty one.
    pub(crate) fn fields(&self) -> Option<Fields<'n>> {
        let entries: &[Entry] = match &self.node.kind {
            Kind::Mapping(entries) => entries,
            Kind::Scalar(scalar) if scalar.is_null() => &[],
            _ => return self.expected("a section of `key: value` lines"),
        };
        Some(Fields {
            entries,
            name_at: self.name_at,
            path: self.path.clone(),
            problems: self.problems,
            known: Vec::new(),
            missing: Vec::new(),
        })
    }

    /// Decodes a section whose keys are names that the user chose.
    pub(crate) fn named(&self) -> Option<Vec<(Located<String>, Value<'n>)>> {
        let fields = self.fields()?;
        let named = |entry: &'n Entry| {
            let value = fields.child(entry);
            let name =
                Located { value: entry.key.clone(), at: entry.key_at, path: value.path.clone() };
            (name, value)
        };
        Some(fields.entries.iter().map(named).collect())
    }

    /// Returns whether this is a list.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self.node.kind, Kind::Sequence(_))
    }

    /// Decodes a list.
    pub(crate) fn items(&self) -> Option<Vec<Value<'n>>> {
        let Kind::Sequence(items) = &self.node.kind else {
            return self.expected("a list, as in `[a, b]`");
        };
        let item = |(index, node): (usize, &'n Node)| Value {
            node,
            name_at: node.at,
            path: format!("{}[{index}]", self.path),
            problems: self.problems,
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// Decodes text; numbers and booleans are taken as they were written.
    pub(crate) fn text(&self) -> Option<Located<String>> {
        let scalar = self.scalar("text")?;
        if scalar.text.is_empty() {
            return self.expected("text");
        }
        Some(self.located(scalar.text.clone()))
    }

    /// Decodes a whole number that fits `T`.
    pub(crate) fn integer<T: TryFrom<u64>>(&self) -> Option<T> {
        let scalar = self.plain_scalar("a whole number")?;
        let Ok(number) = scalar.text.replace('_', "").parse::<u64>() else {
            return self.expected("a whole number");
        };
        let fitting = T::try_from(number).ok();
        if fitting.is_none() {
            self.problem(format!("{number} is far out of range"));
        }
        fitting
    }

    /// Decodes a number, which may have a fraction.
    pub(crate) fn number(&self) -> Option<f64> {
        let scalar = self.plain_scalar("a number")?;
        match scalar.text.parse::<f64>() {
            Ok(number) if number.is_finite() => Some(number),
            _ => self.expected("a number"),
        }
    }

    /// Decodes `true` or `false`.
    pub(crate) fn boolean(&self) -> Option<bool> {
        match self.plain_scalar("`true` or `false`")?.text.as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => self.expected("`true` or `false`"),
        }
    }

    /// Decodes a number of bytes.
    pub(crate) fn byte_size(&self) -> Option<ByteSize> {
        let scalar = self.scalar("a byte size, as in `64 MiB`")?;
        match scalar.text.parse::<ByteSize>() {
            Ok(size) => Some(size),
            Err(_) => self.expected_as(
                "a byte size",
                "write a whole number and a unit of B, KiB, MiB, GiB, as in `64 MiB`",
            ),
        }
    }

    /// Decodes a duration.
    pub(crate) fn duration(&self) -> Option<Duration> {
        let scalar = self.scalar("a duration, as in `5 s`")?;
        match parse_duration(&scalar.text) {
            Some(duration) => Some(duration),
            None => self.expected_as(
                "a duration",
                "write a whole number and a unit of ms, s, m, h, d, as in `5 s` or `7 d`",
            ),
        }
    }

    /// Decodes an address and port.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let scalar = self.scalar("an address and port, as in `127.0.0.1:8080`")?;
        match scalar.text.parse() {
            Ok(address) => Some(address),
            Err(_) => self.expected("an address and port, as in `127.0.0.1:8080`"),
        }
    }

    /// Decodes a topic's name.
    pub(crate) fn topic(&self) -> Option<Located<TopicName>> {
        let text = self.text()?;
        match TopicName::new(&text.value) {
            Ok(topic) => Some(self.located(topic)),
            Err(error) => {
                self.problem(error.to_string());
                None
            }
        }
    }

    /// Decodes one of a closed set of words.
    pub(crate) fn one_of<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
        let scalar = self.scalar(&format!("one of {}", names.join(", ")))?;
        let found = words.iter().find(|(name, _)| *name == scalar.text);
        if found.is_none() {
            let message = format!("expected one of {}, found {}", names.join(", "), self.found());
            self.problem_with_hint(message, did_you_mean(&scalar.text, &names));
        }
        found.map(|(_, value)| *value)
    }

    /// Reports that something else was expected, and answers `None`.
    pub(crate) fn expected<T>(&self, what: &str) -> Option<T> {
        self.problem(format!("expected {what}, found {}", self.found()));
        None
    }

    fn expected_as<T>(&self, what: &str, hint: &str) -> Option<T> {
        self.problem_with_hint(format!("expected {what}, found {}", self.found()), hint);
        None
    }

    fn scalar(&self, what: &str) -> Option<&'n Scalar> {
        match &self.node.kind {
            Kind::Scalar(scalar) if !scalar.is_null() => Some(scalar),
            _ => self.expected(what),
        }
    }

    fn plain_scalar(&self, what: &str) -> Option<&'n Scalar> {
        let scalar = self.scalar(what)?;
        if scalar.is_plain {
            return Some(scalar);
        }
        let message = format!("expected {what}, found {}", self.found());
        self.problem_with_hint(message, "remove the quotes");
        None
    }

    /// Returns the value as it was written, for messages.
    pub(crate) fn found(&self) -> String {
        match &self.node.kind {
            Kind::Scalar(scalar) if scalar.is_null() => "nothing".to_owned(),
            Kind::Scalar(scalar) if scalar.is_plain => format!("`{}`", shortened(&scalar.text)),
            Kind::Scalar(scalar) => format!("the text \"{}\"", shortened(&scalar.text)),
            Kind::Sequence(_) => "a list".to_owned(),
            Kind::Mapping(_) => "a section".to_owned(),
        }
    }
}

fn shortened(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

impl<'n> Fields<'n> {
    /// Returns the value of an optional key.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Value<'n>> {
        self.known.push(key);
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (!entry.value.is_null()).then(|| self.child(entry))
    }

    /// Returns the value of a key that must be there; that it is not is reported at the end.
    pub(crate) fn need(&mut self, key: &'static str) -> Option<Value<'n>> {
        let value = self.take(key);
        if value.is_none() {
            self.missing.push(key);
        }
        value
    }

    /// Reports a problem with the section as a whole.
    pub(crate) fn problem(&self, message: impl Into<String>) {
        self.problems.add(self.name_at, &self.path, message);
    }

    /// Reports every key that nobody asked for, and every key that is missing and not merely
    /// misspelt: one mistake is one problem.
    pub(crate) fn finish(mut self) -> Keys {
        let mut keys = Keys::Understood;
        for entry in self.entries {
            if self.known.contains(&entry.key.as_str()) {
                continue;
            }
            if let Some(meant) = closest(&entry.key, &self.known) {
                self.missing.retain(|key| *key != meant);
                keys = Keys::Misspelt;
            }
            let message = format!("unknown key `{}`", entry.key);
            let hint = did_you_mean(&entry.key, &self.known);
            self.problems.add_with_hint(entry.key_at, &self.path, message, hint);
        }
        for key in &self.missing {
            self.problems.add(self.name_at, &self.path, format!("`{key}` is missing"));
        }
        keys
    }

    fn child(&self, entry: &'n Entry) -> Value<'n> {
        let path = join(&self.path, &entry.key);
        Value { node: &entry.value, name_at: entry.key_at, path, problems: self.problems }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
