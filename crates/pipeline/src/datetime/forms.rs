//! The forms of a time that the step `timestamp` understands.
//!
//! | Form | Example |
//! |---|---|
//! | RFC 3339, also lower case, a space for the `T`, any fraction | `2026-11-22T10:11:12.345+01:00` |
//! | the same without a zone: UTC | `2026-11-22 10:11:12` |
//! | a date: its first moment in UTC | `2026-11-22` |
//! | ISO 8601 basic | `20261122T101112Z` |
//! | RFC 2822 | `Sun, 22 Nov 2026 10:11:12 +0100` |
//! | a number since 1970, or a string that holds one | `1795342272345` |
//!
//! A number's unit follows from its size: seconds below 10^11 (the year 5138), milliseconds below
//! 10^14, microseconds below 10^17, nanoseconds above. A string of up to 8 digits, or of 14, is
//! refused: it may as well be a year or a date written without separators.

use super::civil::Moment;
use super::iso::{Zone, basic, extended, parse_date};
use super::rfc2822::rfc2822;

const SECONDS_BELOW: u64 = 100_000_000_000;
const MILLIS_BELOW: u64 = 100_000_000_000_000;
const MICROS_BELOW: u64 = 100_000_000_000_000_000;

/// Reads any of the forms from the text of a string.
pub fn parse_text(text: &str) -> Option<Moment> {
    let text = text.trim_ascii();
    if let Some(moment) = extended(text, Zone::UtcIfMissing) {
        return Some(moment);
    }
    if let Some(days) = parse_date(text) {
        return Moment::new(i64::from(days) * 86_400, 0);
    }
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if is_digits && matches!(text.len(), 0..=8 | 14) {
        return None;
    }
    if is_plain_number(text) {
        return parse_number(text);
    }
    basic(text).or_else(|| rfc2822(text))
}

/// Reads a number since 1970 whose unit follows from its size.
pub fn parse_number(text: &str) -> Option<Moment> {
    if text.bytes().any(|byte| matches!(byte, b'e' | b'E')) {
        return parse_exponent(text);
    }
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let whole: u64 = whole.parse().ok()?;
    let scale = nanos_of_unit(whole);
    // What is finer than a nanosecond has no digits left in the unit.
    let mut nanos = i128::from(whole) * i128::from(scale);
    let mut unit = scale / 10;
    for digit in fraction.bytes() {
        if !digit.is_ascii_digit() {
            return None;
        }
        nanos += i128::from(digit - b'0') * i128::from(unit);
        unit /= 10;
    }
    from_nanos(if negative { -nanos } else { nanos })
}

/// Returns how many nanoseconds one unit of a number of this size has.
fn nanos_of_unit(whole: u64) -> u64 {
    if whole < SECONDS_BELOW {
        1_000_000_000
    } else if whole < MILLIS_BELOW {
        1_000_000
    } else if whole < MICROS_BELOW {
        1000
    } else {
        1
    }
}

/// Some serializers write large numbers with an exponent; a double holds them to the millisecond.
fn parse_exponent(text: &str) -> Option<Moment> {
    let number: f64 = text.parse().ok().filter(|number: &f64| number.abs() < 1e20)?;
    let whole = number.abs().trunc();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    let scale = nanos_of_unit(whole as u64);
    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "below 1e29")]
    let nanos =
        number.trunc() as i128 * i128::from(scale) + (number.fract() * scale as f64) as i128;
    from_nanos(nanos)
}

fn from_nanos(nanos: i128) -> Option<Moment> {
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    let nanos = u32::try_from(nanos.rem_euclid(1_000_000_000)).ok()?;
    Moment::new(seconds, nanos)
}

fn is_plain_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    is_digits(whole) && is_digits(fraction)
}
