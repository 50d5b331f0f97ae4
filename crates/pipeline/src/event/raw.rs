//! JSON values as text: what kind one is, and what it means, decided only when asked.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The kind of a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Kind {
    /// Returns the kind of the value that begins with `byte`.
    #[inline]
    pub(super) fn of_first(byte: u8) -> Self {
        match byte {
            b'"' => Self::String,
            b'{' => Self::Object,
            b'[' => Self::Array,
            b't' | b'f' => Self::Boolean,
            b'n' => Self::Null,
            _ => Self::Number,
        }
    }

    /// Returns the name used in reasons for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// The text of one JSON value, known to be well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawValue<'a>(&'a str);

impl<'a> RawValue<'a> {
    /// Takes text that the caller knows to be exactly one JSON value.
    pub(crate) fn from_checked(text: &'a str) -> Self {
        debug_assert!(!text.is_empty(), "a JSON value has at least one byte");
        Self(text)
    }

    /// Returns the JSON text.
    pub fn text(self) -> &'a str {
        self.0
    }

    /// Returns the kind of the value.
    #[inline]
    pub fn kind(self) -> Kind {
        Kind::of_first(self.0.as_bytes().first().copied().unwrap_or_default())
    }

    /// Returns the value of a boolean.
    pub fn as_bool(self) -> Option<bool> {
        match self.0 {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// Returns a number without fraction and exponent that fits 64 bits.
    pub fn as_i64(self) -> Option<i64> {
        if self.kind() == Kind::Number { self.0.parse().ok() } else { None }
    }

    /// Returns the nearest double of a number; `None` when it is out of a double's range.
    pub fn as_f64(self) -> Option<f64> {
        if self.kind() != Kind::Number {
            return None;
        }
        self.0.parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Returns what stands between the quotes of a string, escapes as they are.
    #[inline]
    pub fn string_body(self) -> Option<&'a str> {
        self.0.strip_prefix('"')?.strip_suffix('"')
    }

    /// Returns the value of a string, borrowed when it has no escapes.
    pub fn as_str(self) -> Option<Result<Cow<'a, str>, LoneSurrogate>> {
        let body = self.string_body()?;
        if !body.as_bytes().contains(&b'\\') {
            return Some(Ok(Cow::Borrowed(body)));
        }
        let mut text = String::with_capacity(body.len());
        Some(unescape(body, &mut text).map(|()| Cow::Owned(text)))
    }
}

/// A string holds half of a surrogate pair: it stands for no character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("string holds a lone surrogate")]
pub struct LoneSurrogate;

/// Appends the text that the body of a JSON string stands for.
///
/// The body must be well-formed: each backslash begins a whole escape.
pub fn unescape(body: &str, text: &mut String) -> Result<(), LoneSurrogate> {
    let mut rest = body;
    while let Some(at) = rest.bytes().position(|byte| byte == b'\\') {
        text.push_str(&rest[..at]);
        let (character, length) = escape(&rest[at..]).ok_or(LoneSurrogate)?;
        text.push(character);
        rest = &rest[at + length..];
    }
    text.push_str(rest);
    Ok(())
}

/// Reads the escape at the beginning of `text`: its character and its length in bytes.
fn escape(text: &str) -> Option<(char, usize)> {
    let character = match text.as_bytes().get(1)? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(text),
        other => char::from(*other),
    };
    Some((character, 2))
}

fn unicode_escape(text: &str) -> Option<(char, usize)> {
    let unit = |at: usize| u32::from_str_radix(text.get(at..at + 4)?, 16).ok();
    let first = unit(2)?;
    if !(0xd800..0xe000).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    let second = text.get(6..8).filter(|start| *start == "\\u").and_then(|_| unit(8))?;
    if first >= 0xdc00 || !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    Some((char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))?, 12))
}

/// Appends `text` as a JSON string, quotes included.
pub fn push_string(json: &mut String, text: &str) {
    json.push('"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        json.push_str(&text[from..at]);
        match byte {
            b'"' => json.push_str("\\\""),
            b'\\' => json.push_str("\\\\"),
            b'\n' => json.push_str("\\n"),
            b'\r' => json.push_str("\\r"),
            b'\t' => json.push_str("\\t"),
            control => write!(json, "\\u{control:04x}").expect("writing to a string succeeds"),
        }
        from = at + 1;
    }
    json.push_str(&text[from..]);
    json.push('"');
}

#[cfg(test)]
mod tests;
