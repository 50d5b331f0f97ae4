//! The innermost loops: strings and numbers, eight bytes at a time where it pays.

use super::reason::{Fault, Reason};

/// What a string holds besides plain bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Text {
    /// The byte after the closing quote.
    pub(super) end: usize,
    /// Whether there are escapes, so that the bytes are not the value.
    pub(super) escaped: bool,
    /// The first thing that rejects the event without ending the walk.
    pub(super) fault: Option<Fault>,
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGHS: u64 = u64::from_ne_bytes([0x80; 8]);

/// Walks the string whose opening quote stands before `at`.
pub(super) fn string(bytes: &[u8], mut at: usize) -> Result<Text, Fault> {
    let mut text = Text { end: 0, escaped: false, fault: None };
    loop {
        at = next_stop(bytes, at);
        match bytes.get(at) {
            Some(b'"') => {
                text.end = at + 1;
                return Ok(text);
            }
            Some(b'\\') => {
                text.escaped = true;
                at = escape(bytes, at, &mut text.fault)?;
            }
            Some(_control) => {
                text.fault.get_or_insert(Fault::new(Reason::ControlCharacter, at));
                at += 1;
            }
            None => return Err(Fault::new(Reason::CutShort, bytes.len())),
        }
    }
}

/// Returns the first quote, backslash or control character at or after `at`, or the length.
fn next_stop(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        // Each term has the high bit of a byte set if the byte is the one sought. Borrows can set
        // wrong bits only above a right one (Hacker's Delight, 6-1), so the lowest is exact.
        let quote = zero_bytes(word ^ (ONES * 0x22));
        let backslash = zero_bytes(word ^ (ONES * 0x5c));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let stops = (quote | backslash | control) & HIGHS;
        if stops != 0 {
            return at + (stops.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let tail = bytes.get(at..).unwrap_or_default();
    let stop = tail.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20);
    at + stop.unwrap_or(tail.len())
}

fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}

/// Walks the escape whose backslash stands at `at`; returns the byte after it.
fn escape(bytes: &[u8], at: usize, fault: &mut Option<Fault>) -> Result<usize, Fault> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let unit = hex4(bytes, at + 2)?;
            if !is_surrogate(unit) {
                return Ok(at + 6);
            }
            if is_high_surrogate(unit) && bytes.get(at + 6..at + 8) == Some(b"\\u") {
                let low = hex4(bytes, at + 8)?;
                if is_surrogate(low) && !is_high_surrogate(low) {
                    return Ok(at + 12);
                }
            }
            fault.get_or_insert(Fault::new(Reason::LoneSurrogate, at));
            Ok(at + 6)
        }
        Some(_) => Err(Fault::new(Reason::MalformedJson, at + 1)),
        None => Err(Fault::new(Reason::CutShort, bytes.len())),
    }
}

fn is_surrogate(unit: u32) -> bool {
    (0xd800..0xe000).contains(&unit)
}

fn is_high_surrogate(unit: u32) -> bool {
    (0xd800..0xdc00).contains(&unit)
}

fn hex4(bytes: &[u8], at: usize) -> Result<u32, Fault> {
    let mut unit = 0;
    for place in at..at + 4 {
        let Some(byte) = bytes.get(place) else {
            return Err(Fault::new(Reason::CutShort, bytes.len()));
        };
        let digit = char::from(*byte).to_digit(16);
        unit = unit * 16 + digit.ok_or(Fault::new(Reason::MalformedJson, place))?;
    }
    Ok(unit)
}

/// Appends the value of a string's inside, which [`string`] walked, with its escapes resolved.
///
/// Half a surrogate pair becomes U+FFFD; such an event is rejected anyway.
pub(super) fn unescape_into(inside: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&byte) = inside.get(at) {
        if byte != b'\\' {
            out.push(byte);
            at += 1;
            continue;
        }
        let plain = match inside.get(at + 1) {
            Some(b'u') => {
                at += push_unicode(inside, at, out);
                continue;
            }
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(&other) => other,
            None => return,
        };
        out.push(plain);
        at += 2;
    }
}

/// Appends the character of the `\u` escape at `at`; returns the bytes it took.
fn push_unicode(inside: &[u8], at: usize, out: &mut Vec<u8>) -> usize {
    let unit = |at| hex4(inside, at).unwrap_or(0xfffd);
    let high = unit(at + 2);
    let mut code = high;
    let mut taken = 6;
    if is_high_surrogate(high) && inside.get(at + 6..at + 8) == Some(b"\\u") {
        let low = unit(at + 8);
        if is_surrogate(low) && !is_high_surrogate(low) {
            code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            taken = 12;
        }
    }
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    taken
}

/// Walks the number that begins at `at`; returns the byte after it.
pub(super) fn number(bytes: &[u8], mut at: usize) -> Result<usize, Fault> {
    if bytes.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match bytes.get(at) {
        Some(b'0') => at + 1,
        _ => digits(bytes, at)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = bytes.get(at) {
            at += 1;
        }
        at = digits(bytes, at)?;
    }
    Ok(at)
}

/// Walks one digit or more.
fn digits(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let mut end = at;
    while bytes.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    if end > at {
        return Ok(end);
    }
    let reason = if at < bytes.len() { Reason::MalformedJson } else { Reason::CutShort };
    Err(Fault::new(reason, at))
}

/// Walks one of `true`, `false`, `null`; returns the byte after it.
pub(super) fn literal(bytes: &[u8], at: usize, word: &[u8]) -> Result<usize, Fault> {
    let end = at + word.len();
    if bytes.get(at..end) == Some(word) {
        return Ok(end);
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let same = rest.iter().zip(word).take_while(|(found, wanted)| found == wanted).count();
    let reason = if at + same < bytes.len() { Reason::MalformedJson } else { Reason::CutShort };
    Err(Fault::new(reason, at + same))
}

/// Returns the first byte at or after `at` that is not JSON white space, and its place.
pub(super) fn next_token(bytes: &[u8], mut at: usize) -> (Option<u8>, usize) {
    loop {
        match bytes.get(at) {
            Some(b' ' | b'\t' | b'\n' | b'\r') => at += 1,
            other => return (other.copied(), at),
        }
    }
}
