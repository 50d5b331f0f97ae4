//! Single numbers, words and escapes.

/// Checks that a whole number or word begins at `start`.
#[inline(always)]
pub(super) fn check_word(json: &[u8], start: usize) -> Option<()> {
    let text = &json[start..];
    let length = match text.first()? {
        b'-' | b'0'..=b'9' => number(text)?,
        b't' => word(text, b"true")?,
        b'f' => word(text, b"false")?,
        b'n' => word(text, b"null")?,
        _ => return None,
    };
    is_end(text.get(length).copied()).then_some(())
}

/// Returns whether what follows a number or word ends it. What may stand there is not asked here.
fn is_end(byte: Option<u8>) -> bool {
    matches!(
        byte,
        None | Some(b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r' | b':' | b'{' | b'[' | b'"')
    )
}

/// Returns whether `text` begins with a whole escape.
pub(super) fn is_escape(text: &[u8]) -> bool {
    match text.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => true,
        Some(b'u') => text.get(2..6).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)),
        _ => false,
    }
}

#[inline(always)]
fn word(text: &[u8], word: &[u8]) -> Option<usize> {
    text.starts_with(word).then_some(word.len())
}

/// Returns the length of the number that `text` begins with.
#[inline(always)]
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

/// Returns how many digits `text` begins with, eight bytes at a time.
#[inline(always)]
fn digits(text: &[u8]) -> usize {
    let mut count = 0;
    while let Some(eight) = text[count..].first_chunk::<8>() {
        let found = digits_of(*eight);
        count += found;
        if found < 8 {
            return count;
        }
    }
    count + text[count..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Returns how many of the bytes before the first other one are digits.
#[inline(always)]
fn digits_of(eight: [u8; 8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    // A digit becomes its value; the high bit of a byte that is above nine, or was set, stays.
    let values = u64::from_le_bytes(eight) ^ (ONES * b'0' as u64);
    let others = (values.wrapping_add(ONES * (0x7f - 9)) | values) & (ONES << 7);
    others.trailing_zeros() as usize / 8
}
