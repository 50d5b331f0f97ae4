//! RFC 3339 and ISO 8601, extended and basic.

use super::civil::{Civil, Moment, days_of_date};

/// Reads what is left of a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    /// Reads exactly `count` digits, at most nine.
    #[inline]
    pub(super) fn number(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let mut number = 0;
        for digit in digits {
            let digit = digit.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            number = number * 10 + u32::from(digit);
        }
        self.0 = rest;
        Some(number)
    }

    /// Reads one of the bytes in `any`.
    #[inline]
    pub(super) fn one_of(&mut self, any: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        any.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    /// Reads the digits of a fraction; what is finer than a nanosecond is cut.
    fn fraction(&mut self) -> Option<u32> {
        let count = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(count);
        let (mut nanos, mut unit) = (0, 100_000_000);
        for digit in digits.iter().take(9) {
            nanos += u32::from(digit - b'0') * unit;
            unit /= 10;
        }
        self.0 = rest;
        (count > 0).then_some(nanos)
    }

    /// Reads `Z`, `+hh:mm`, `+hhmm`, `+hh` or `UTC`, after at most one space, and the end; nothing
    /// at all is UTC when `default` says so.
    pub(super) fn offset_and_end(&mut self, default: Zone) -> Option<i32> {
        if self.0.is_empty() {
            return (default == Zone::UtcIfMissing).then_some(0);
        }
        // Absent or read: both are fine.
        self.one_of(b" ");
        if matches!(self.0, b"Z" | b"z" | b"UTC" | b"GMT") {
            return Some(0);
        }
        let sign = if self.one_of(b"+-")? == b'-' { -1 } else { 1 };
        let hours = self.number(2)?;
        self.one_of(b":");
        let minutes = if self.0.is_empty() { 0 } else { self.number(2)? };
        let fits = hours <= 23 && minutes <= 59 && self.0.is_empty();
        fits.then(|| sign * (hours * 3600 + minutes * 60).cast_signed())
    }
}

/// What a missing zone means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    Required,
    UtcIfMissing,
}

/// Reads RFC 3339: `2026-11-22T10:11:12.345+01:00`; also lower-case letters, a space for the `T`.
pub fn parse_rfc3339(text: &str) -> Option<Moment> {
    extended(text, Zone::Required)
}

/// Reads a date `2026-11-22` as days since 1970-01-01.
pub fn parse_date(text: &str) -> Option<i32> {
    let mut reader = Reader(text.as_bytes());
    let (year, month, day) = extended_date(&mut reader)?;
    reader.0.is_empty().then(|| days_of_date(year, month, day))?
}

fn extended_date(reader: &mut Reader<'_>) -> Option<(u32, u32, u32)> {
    let year = reader.number(4)?;
    reader.one_of(b"-")?;
    let month = reader.number(2)?;
    reader.one_of(b"-")?;
    Some((year, month, reader.number(2)?))
}

/// Reads the extended form: date, `T`, `t` or space, time, zone.
pub(super) fn extended(text: &str, zone: Zone) -> Option<Moment> {
    let mut reader = Reader(text.as_bytes());
    let (year, month, day) = extended_date(&mut reader)?;
    reader.one_of(b"Tt ")?;
    let hour = reader.number(2)?;
    reader.one_of(b":")?;
    let minute = reader.number(2)?;
    reader.one_of(b":")?;
    let second = reader.number(2)?;
    let nanos = match reader.one_of(b".,") {
        Some(_) => reader.fraction()?,
        None => 0,
    };
    let civil = Civil { year, month, day, hour, minute, second, nanos };
    civil.at_offset(reader.offset_and_end(zone)?)
}

/// Reads the basic form: `20261122T101112Z`.
pub(super) fn basic(text: &str) -> Option<Moment> {
    let mut reader = Reader(text.as_bytes());
    let (year, month, day) = (reader.number(4)?, reader.number(2)?, reader.number(2)?);
    reader.one_of(b"Tt")?;
    let (hour, minute, second) = (reader.number(2)?, reader.number(2)?, reader.number(2)?);
    let nanos = match reader.one_of(b".,") {
        Some(_) => reader.fraction()?,
        None => 0,
    };
    let civil = Civil { year, month, day, hour, minute, second, nanos };
    civil.at_offset(reader.offset_and_end(Zone::UtcIfMissing)?)
}
