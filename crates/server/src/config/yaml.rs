//! YAML as a tree of nodes that know where they stand.
//!
//! Built from the parser's events rather than from a loader's values, so that every key keeps its
//! place, duplicate keys are reported together with everything else, and scalars stay text until a
//! decoder says what they should be. Anchors, aliases and tags are refused: a configuration is
//! read by people, and aliases grow without bound.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span as EventSpan, StrInput};

use super::problem::{Problem, Problems};
use super::source::{Source, Span};

/// How deep sections may nest.
const DEPTH_MAX: usize = 32;

/// One value of the file.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// Where it stands.
    pub(crate) at: Span,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    /// A single value.
    Scalar(Scalar),
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values, in the order of the file.
    Mapping(Vec<Entry>),
}

/// A single value, still text.
#[derive(Debug, Clone)]
pub(crate) struct Scalar {
    /// The text, without quotes.
    pub(crate) text: String,
    /// Whether it was written without quotes, so that it may be a number, a boolean or null.
    pub(crate) is_plain: bool,
}

/// One key of a mapping and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The key.
    pub(crate) key: String,
    /// Where the key stands.
    pub(crate) key_at: Span,
    /// The value.
    pub(crate) value: Node,
}

impl Node {
    /// Returns whether this is `null`, `~` or nothing at all.
    pub(crate) fn is_null(&self) -> bool {
        match &self.kind {
            Kind::Scalar(scalar) => scalar.is_null(),
            Kind::Sequence(_) | Kind::Mapping(_) => false,
        }
    }
}

impl Scalar {
    /// Returns whether this is `null`, `~` or nothing at all.
    pub(crate) fn is_null(&self) -> bool {
        self.is_plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }
}

/// Reads a file into nodes. A syntax error comes alone: what follows it means nothing. An empty
/// file is an empty mapping.
pub(crate) fn parse(source: &Source, problems: &Problems) -> Result<Node, Problem> {
    let bytes_of_chars = bytes_of_chars(&source.text);
    let parser = Parser::new_from_str(&source.text);
    let mut loader = Loader { parser, bytes_of_chars, problems };
    let Some((event, span)) = loader.first_content()? else {
        return Ok(Node { at: Span::default(), kind: Kind::Mapping(Vec::new()) });
    };
    let root = loader.node(event, span, 0)?;
    loader.refuse_more()?;
    Ok(root)
}

/// Returns the byte at which each character begins, and the end of the text.
fn bytes_of_chars(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, _)| at).chain(std::iter::once(text.len())).collect()
}

struct Loader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    bytes_of_chars: Vec<usize>,
    problems: &'t Problems,
}

impl<'t> Loader<'t> {
    /// Returns the first event that is part of a document's content.
    fn first_content(&mut self) -> Result<Option<(Event<'t>, EventSpan)>, Problem> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(_) | Event::Nothing, _) => {}
                (Event::StreamEnd | Event::DocumentEnd, _) => return Ok(None),
                content => return Ok(Some(content)),
            }
        }
    }

    /// Reads the rest of the stream, which must hold nothing more.
    fn refuse_more(&mut self) -> Result<(), Problem> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(()),
                (Event::DocumentStart(_), span) => {
                    let message = "a second document begins here; a configuration is one document";
                    return Err(syntax(self.span(span), message));
                }
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: EventSpan, depth: usize) -> Result<Node, Problem> {
        let at = self.span(span);
        if depth > DEPTH_MAX {
            return Err(syntax(at, format!("sections nest deeper than {DEPTH_MAX}")));
        }
        self.refuse_extras(&event, at);
        let kind = match event {
            Event::Scalar(text, style, _, _) => {
                let is_plain = style == ScalarStyle::Plain;
                Kind::Scalar(Scalar { text: text.into_owned(), is_plain })
            }
            Event::SequenceStart(..) => Kind::Sequence(self.sequence(depth)?),
            Event::MappingStart(..) => Kind::Mapping(self.mapping(depth)?),
            _ => Kind::Scalar(Scalar { text: String::new(), is_plain: true }),
        };
        Ok(Node { at, kind })
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Node>, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<Entry>, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: BTreeMap<String, Span> = BTreeMap::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(entries);
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            let Kind::Scalar(Scalar { text, .. }) = key.kind else {
                self.problems.add(key.at, "", "a key must be a name, not a list or a section");
                continue;
            };
            if seen.insert(text.clone(), key.at).is_some() {
                let hint = "the first one stands above; keep one of them";
                self.problems.add_with_hint(key.at, "", format!("key `{text}` stands twice"), hint);
                continue;
            }
            entries.push(Entry { key: text, key_at: key.at, value });
        }
    }

    /// Reports anchors, aliases and tags.
    fn refuse_extras(&self, event: &Event<'_>, at: Span) {
        let (anchor, tag) = match event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(anchor, tag)
            | Event::MappingStart(anchor, tag) => (*anchor, tag.as_ref()),
            Event::Alias(_) => (1, None),
            _ => (0, None),
        };
        if anchor != 0 {
            self.problems.add_with_hint(
                at,
                "",
                "anchors and aliases are not supported",
                "write the value out, or use `${NAME:-default}` for a value used twice",
            );
        }
        if let Some(tag) = tag {
            self.problems.add(at, "", format!("tag `{tag}` is not supported"));
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, EventSpan), Problem> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => {
                let start = self.byte_of(error.marker().index());
                let hint = "a syntax error hides what follows it; correct it and validate again";
                Err(Problem {
                    hint: Some(hint.to_owned()),
                    ..syntax(Span::new(start..start + 1), format!("not YAML: {}", error.info()))
                })
            }
            None => Ok((Event::StreamEnd, EventSpan::default())),
        }
    }

    fn span(&self, span: EventSpan) -> Span {
        let start = self.byte_of(span.start.index());
        let end = self.byte_of(span.end.index());
        Span::new(start..end.max(start + 1))
    }

    fn byte_of(&self, character: usize) -> usize {
        let end = self.bytes_of_chars.last().copied().unwrap_or_default();
        self.bytes_of_chars.get(character).copied().unwrap_or(end)
    }
}

fn syntax(at: Span, message: impl Into<String>) -> Problem {
    Problem { at, path: String::new(), message: message.into(), hint: None }
}
