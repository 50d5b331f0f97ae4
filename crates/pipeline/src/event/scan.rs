//! The parser's border: finds the fields of a JSON object, and checks all of its text.
//!
//! Nothing outside this file knows which parser is underneath. It may be replaced by one that
//! indexes the structure of a whole batch at once, if that gives the same answers.

use std::borrow::Cow;
use std::ops::Range;

use sonic_rs::{LazyValue, to_object_iter};

use super::{Limits, Malformed};

/// Offsets are kept in 32 bits, and overlays need room beside the text.
const EVENT_BYTES_MAX: usize = 1 << 30;

/// One field of an object: byte ranges into the object's text.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    /// The key with its quotes.
    pub(super) key: Range<usize>,
    /// The key's name, borrowed from the text when it has no escapes.
    pub(super) name: Cow<'a, str>,
    /// The value.
    pub(super) value: Range<usize>,
}

/// Checks what is checked before parsing: size, UTF-8, depth.
pub(super) fn check_text(json: &[u8], limits: Limits) -> Result<&str, Malformed> {
    if json.len() > EVENT_BYTES_MAX {
        return Err(Malformed::TooLarge { bytes: json.len() });
    }
    let text = match simdutf8::basic::from_utf8(json) {
        Ok(text) => text,
        Err(_where_is_not_told) => return Err(Malformed::NotUtf8 { at: utf8_end(json) }),
    };
    // The parser recurses: the depth is checked before it sees the text. Few events have more
    // brackets than levels allowed, so that counting them is mostly all there is to do.
    if brackets(json) > limits.depth_max as usize && depth(json) > limits.depth_max {
        return Err(Malformed::TooDeep { depth_max: limits.depth_max });
    }
    Ok(text)
}

/// Gives every field of the object in `text` to `take`, in order; checks all of `text`.
///
/// `text` may be surrounded by white space, and holds nothing else but the object.
pub(super) fn fields<'a>(
    text: &'a str,
    mut take: impl FnMut(Entry<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    if !text.trim_ascii_start().starts_with('{') {
        return Err(Malformed::NotAnObject);
    }
    // The end of the last value, or of the opening bracket.
    let mut end = text.find('{').map_or(0, |at| at + 1);
    for field in to_object_iter(text) {
        let (name, value) = field.map_err(|error| Malformed::Syntax {
            at: error.offset(),
            reason: first_line(&error.to_string()),
        })?;
        let value = range_in(text, &value);
        let key = key_between(text, end..value.start);
        end = value.end;
        take(Entry { key, name, value })?;
    }
    check_end(text, end)
}

/// Checks that the object closes after its last value, and that nothing follows.
fn check_end(text: &str, end: usize) -> Result<(), Malformed> {
    let rest = text[end..].trim_ascii_start();
    let after = rest.strip_prefix('}').unwrap_or(rest).trim_ascii_start();
    if after.is_empty() {
        return Ok(());
    }
    let at = text.len() - after.len();
    Err(Malformed::Syntax { at, reason: "text after the object".to_owned() })
}

/// Returns where a value that borrows from `text` stands in it.
fn range_in(text: &str, value: &LazyValue<'_>) -> Range<usize> {
    let raw = value.as_raw_str();
    let start = raw.as_ptr().addr() - text.as_ptr().addr();
    start..start + raw.len()
}

/// Returns the quoted key in a gap that holds `, "key" :` and white space.
fn key_between(text: &str, gap: Range<usize>) -> Range<usize> {
    let bytes = &text.as_bytes()[gap.clone()];
    let is_quote = |byte: &u8| *byte == b'"';
    let first = bytes.iter().position(is_quote).expect("the parser found a key here");
    let last = bytes.iter().rposition(is_quote).expect("the parser found a key here");
    gap.start + first..gap.start + last + 1
}

fn brackets(json: &[u8]) -> usize {
    // Chunks that a byte can count: the compiler turns the inner loop into vector code.
    let count = |chunk: &[u8]| {
        let is_open = |byte: &u8| u8::from((*byte | 0x20) == b'{');
        usize::from(chunk.iter().map(is_open).sum::<u8>())
    };
    json.chunks(255).map(count).sum()
}

/// Returns the deepest nesting of brackets outside strings.
fn depth(json: &[u8]) -> u32 {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_u32, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn utf8_end(json: &[u8]) -> usize {
    std::str::from_utf8(json).map_or_else(|error| error.valid_up_to(), str::len)
}

/// The parser's messages go on with a picture of the text: the first line says it.
fn first_line(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    line.split(" at line ").next().unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests;
