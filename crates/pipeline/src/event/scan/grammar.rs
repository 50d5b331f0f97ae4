//! A plain parser, byte by byte: says where and why a text is no event. The oracle of the fast
//! pass, and slow: it only sees texts that are refused.

use super::words::{check_word, is_escape};
use crate::event::Malformed;

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// A value.
    Value,
    /// A value, or the end of an array that has none yet.
    ValueOrEnd,
    /// A key, or the end of an object that has none yet.
    KeyOrEnd,
    /// A key.
    Key,
    /// The colon after a key.
    Colon,
    /// A comma, or the end of the object or array.
    CommaOrEnd,
}

/// Checks that `json`, which is UTF-8, holds one object and nothing else.
pub(super) fn check(json: &[u8], depth_max: u32) -> Result<(), Malformed> {
    let mut at = skip_space(json, 0);
    if json.get(at) != Some(&b'{') {
        return Err(Malformed::NotAnObject);
    }
    let mut open = Vec::new();
    let mut expect = Expect::Value;
    loop {
        let Some(&byte) = json.get(at) else {
            return Err(syntax(at, "object or array without an end"));
        };
        let length;
        (expect, length) = match (expect, byte) {
            (Expect::Key | Expect::KeyOrEnd, b'"') => (Expect::Colon, string(json, at)?),
            (Expect::Value | Expect::ValueOrEnd, b'"') => (Expect::CommaOrEnd, string(json, at)?),
            (Expect::Colon, b':') => (Expect::Value, 1),
            (Expect::CommaOrEnd, b',') if open.last() == Some(&b'{') => (Expect::Key, 1),
            (Expect::CommaOrEnd, b',') => (Expect::Value, 1),
            (Expect::Value | Expect::ValueOrEnd, b'{' | b'[') => {
                if open.len() >= depth_max as usize {
                    return Err(Malformed::TooDeep { depth_max });
                }
                open.push(byte);
                (if byte == b'{' { Expect::KeyOrEnd } else { Expect::ValueOrEnd }, 1)
            }
            (Expect::CommaOrEnd | Expect::KeyOrEnd | Expect::ValueOrEnd, b'}' | b']') => {
                // Opening and closing brackets of a kind are two apart.
                if open.pop() != Some(byte - 2) {
                    return Err(syntax(at, "bracket closes another kind of bracket"));
                }
                if open.is_empty() {
                    break;
                }
                (Expect::CommaOrEnd, 1)
            }
            (Expect::Value | Expect::ValueOrEnd, _) => (Expect::CommaOrEnd, word(json, at)?),
            (expect, _) => return Err(syntax(at, unexpected(expect))),
        };
        at = skip_space(json, at + length);
    }
    at = skip_space(json, at + 1);
    if at < json.len() { Err(syntax(at, "text after the object")) } else { Ok(()) }
}

fn unexpected(expect: Expect) -> &'static str {
    match expect {
        Expect::Value | Expect::ValueOrEnd => "expected a value",
        Expect::Key | Expect::KeyOrEnd => "expected a key",
        Expect::Colon => "key without a colon",
        Expect::CommaOrEnd => "expected a comma or the end of the object or array",
    }
}

fn skip_space(json: &[u8], from: usize) -> usize {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    from + json[from..].iter().take_while(|byte| is_space(byte)).count()
}

/// Returns the length of the string that begins at `from`.
fn string(json: &[u8], from: usize) -> Result<usize, Malformed> {
    let mut at = from + 1;
    loop {
        match json.get(at) {
            Some(b'"') => return Ok(at + 1 - from),
            Some(b'\\') if is_escape(&json[at..]) => at += 2,
            Some(b'\\') => return Err(syntax(at, "unknown escape in a string")),
            Some(0..0x20) => return Err(syntax(at, "control character in a string")),
            Some(_) => at += 1,
            None => return Err(syntax(at, "string without an end")),
        }
    }
}

/// Returns the length of the number or word that begins at `from`.
fn word(json: &[u8], from: usize) -> Result<usize, Malformed> {
    let is_inside = |byte: &u8| {
        !matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'"')
            && !matches!(byte, b'{' | b'}' | b'[' | b']' | b',' | b':')
    };
    let text = &json[from..];
    if !matches!(text[0], b'-' | b'0'..=b'9' | b't' | b'f' | b'n') {
        return Err(syntax(from, "expected a value"));
    }
    check_word(json, from).ok_or_else(|| syntax(from, "malformed number or word"))?;
    Ok(text.iter().take_while(|byte| is_inside(byte)).count())
}

fn syntax(at: usize, reason: &'static str) -> Malformed {
    Malformed::Syntax { at, reason }
}
