//! The second pass: checks the order of the tokens, and numbers and words, and pairs brackets.

use super::{Token, Tokens, syntax};
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
    /// A comma, or the end of the object or array.
    CommaOrEnd,
}

/// Checks that the tokens make one object and nothing else.
pub(super) fn check(json: &[u8], tokens: &mut Tokens, depth_max: u32) -> Result<(), Malformed> {
    let Tokens { places, closes, open } = tokens;
    let at = places.as_slice();
    if closes.len() < at.len() {
        closes.resize(at.len().next_power_of_two(), 0);
    }
    let closes = &mut closes[..at.len()];
    open.clear();
    if at.first().is_none_or(|at| json[*at as usize] != b'{') {
        return Err(Malformed::NotAnObject);
    }
    if depth_max == 0 {
        return Err(Malformed::TooDeep { depth_max });
    }
    // The innermost open bracket; the others wait on the stack.
    let mut inner = Bracket { token: 0, is_object: true };
    let mut expect = Expect::KeyOrEnd;
    let mut token = 1;
    loop {
        let Some(&place) = at.get(token) else {
            return Err(syntax(json.len(), "object or array without an end"));
        };
        let place = place as usize;
        let byte = json[place];
        match (expect, byte) {
            (Expect::Key | Expect::KeyOrEnd, b'"') => {
                // A key and its colon are taken at once.
                if at.get(token + 1).is_none_or(|colon| json[*colon as usize] != b':') {
                    return Err(syntax(place, "key without a colon"));
                }
                token += 1;
                expect = Expect::Value;
            }
            (Expect::Value | Expect::ValueOrEnd, b'"') => expect = Expect::CommaOrEnd,
            (Expect::CommaOrEnd, b',') => {
                expect = if inner.is_object { Expect::Key } else { Expect::Value };
            }
            (Expect::Value | Expect::ValueOrEnd, b'{' | b'[') => {
                if open.len() + 1 >= depth_max as usize {
                    return Err(Malformed::TooDeep { depth_max });
                }
                open.push(inner);
                let number = u32::try_from(token).expect("fewer tokens than bytes");
                inner = Bracket { token: number, is_object: byte == b'{' };
                expect = if inner.is_object { Expect::KeyOrEnd } else { Expect::ValueOrEnd };
            }
            (Expect::CommaOrEnd | Expect::KeyOrEnd | Expect::ValueOrEnd, b'}' | b']') => {
                if inner.is_object != (byte == b'}') {
                    return Err(syntax(place, "bracket closes another kind of bracket"));
                }
                let number = u32::try_from(token).expect("fewer tokens than bytes");
                closes[inner.token as usize] = number;
                match open.pop() {
                    Some(outer) => inner = outer,
                    None => break,
                }
                expect = Expect::CommaOrEnd;
            }
            (Expect::Value | Expect::ValueOrEnd, _) => {
                check_word(json, place)?;
                expect = Expect::CommaOrEnd;
            }
            (expect, _) => return Err(syntax(place, unexpected(expect))),
        }
        token += 1;
    }
    match at.get(token + 1) {
        Some(place) => Err(syntax(*place as usize, "text after the object")),
        None => Ok(()),
    }
}

/// A bracket that is not yet closed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bracket {
    token: Token,
    is_object: bool,
}

#[cold]
fn unexpected(expect: Expect) -> &'static str {
    match expect {
        Expect::Value | Expect::ValueOrEnd => "expected a value",
        Expect::Key | Expect::KeyOrEnd => "expected a key",
        Expect::CommaOrEnd => "expected a comma or the end of the object or array",
    }
}

/// Checks a number or word; strings were checked by the first pass.
#[inline]
fn check_word(json: &[u8], place: usize) -> Result<(), Malformed> {
    let text = &json[place..];
    let length = match text[0] {
        b't' => word(text, b"true"),
        b'f' => word(text, b"false"),
        b'n' => word(text, b"null"),
        b'-' | b'0'..=b'9' => number(text),
        _ => None,
    };
    let length = length.ok_or_else(|| syntax(place, "expected a value"))?;
    match text.get(length) {
        None | Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' | b':' | b'{' | b'[') => {
            Ok(())
        }
        Some(_) => Err(syntax(place, "malformed number or word")),
    }
}

#[inline]
fn word(text: &[u8], word: &[u8]) -> Option<usize> {
    text.starts_with(word).then_some(word.len())
}

/// Returns the length of the number that `text` begins with.
#[inline]
fn number(text: &[u8]) -> Option<usize> {
    let mut at = usize::from(text[0] == b'-');
    let whole = digits(&text[at..]);
    if whole == 0 || whole > 1 && text[at] == b'0' {
        return None;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(&text[at + 1..]);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        at += 1;
        at += usize::from(matches!(text.get(at), Some(b'+' | b'-')));
        let exponent = digits(&text[at..]);
        if exponent == 0 {
            return None;
        }
        at += exponent;
    }
    Some(at)
}

#[inline]
fn digits(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_digit()).count()
}
