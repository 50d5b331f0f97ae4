//! Durations as people write them: a whole number and a unit.

use std::time::Duration;

/// Units with their length in milliseconds, from small to large.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads `500 ms`, `5 s`, `10 m`, `24 h` or `7 d`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let factor = UNITS.iter().find(|(name, _)| *name == unit.trim()).map(|(_, factor)| *factor)?;
    number.checked_mul(factor).map(Duration::from_millis)
}

/// Writes a duration in the largest unit that divides it.
pub(crate) fn format_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let fits = |(_, factor): &&(&str, u64)| millis > 0 && millis.is_multiple_of(*factor);
    match UNITS.iter().rev().find(fits) {
        Some((name, factor)) => format!("{} {name}", millis / factor),
        None => format!("{millis} ms"),
    }
}
