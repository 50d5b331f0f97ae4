//! RFC 2822 (mail and HTTP dates): `Sun, 22 Nov 2026 10:11:12 +0100`.

use super::civil::{Civil, Moment, days_of_date, weekday};
use super::iso::Reader;

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// The zone names that the standard gives a meaning, in hours.
const ZONES: [(&str, i32); 12] = [
    ("UT", 0),
    ("UTC", 0),
    ("GMT", 0),
    ("Z", 0),
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
];

/// Reads `[Sun, ]22 Nov 2026 10:11[:12] zone`; the weekday must be right if it is there.
///
/// Comments, two-digit years and military zones, which the standard calls obsolete, are refused.
pub(super) fn rfc2822(text: &str) -> Option<Moment> {
    let mut words = text.split_ascii_whitespace();
    let mut word = words.next()?;
    let mut named_weekday = None;
    if let Some(name) = word.strip_suffix(',') {
        named_weekday = Some(place_of(name, &WEEKDAYS)?);
        word = words.next()?;
    }
    let day = short_number(word)?;
    let month = place_of(words.next()?, &MONTHS)? + 1;
    let year = Some(words.next()?).filter(|year| year.len() == 4).and_then(whole)?;
    let (hour, minute, second) = time(words.next()?)?;
    let offset = zone(words.next()?)?;
    if words.next().is_some() {
        return None;
    }
    let days = days_of_date(year, month, day)?;
    if named_weekday.is_some_and(|named| named != weekday(days)) {
        return None;
    }
    Civil { year, month, day, hour, minute, second, nanos: 0 }.at_offset(offset)
}

fn place_of(name: &str, names: &[&str]) -> Option<u32> {
    let place = names.iter().position(|known| known.eq_ignore_ascii_case(name))?;
    u32::try_from(place).ok()
}

fn whole(text: &str) -> Option<u32> {
    let mut reader = Reader(text.as_bytes());
    reader.number(text.len())
}

fn short_number(text: &str) -> Option<u32> {
    Some(text).filter(|text| (1..=2).contains(&text.len())).and_then(whole)
}

fn time(text: &str) -> Option<(u32, u32, u32)> {
    let mut reader = Reader(text.as_bytes());
    let hour = reader.number(2)?;
    reader.one_of(b":")?;
    let minute = reader.number(2)?;
    let second = match reader.one_of(b":") {
        Some(_) => reader.number(2)?,
        None => 0,
    };
    reader.0.is_empty().then_some((hour, minute, second))
}

fn zone(text: &str) -> Option<i32> {
    if let Some((_, hours)) = ZONES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
        return Some(hours * 3600);
    }
    let mut reader = Reader(text.as_bytes());
    let sign = if reader.one_of(b"+-")? == b'-' { -1 } else { 1 };
    let (hours, minutes) = (reader.number(2)?, reader.number(2)?);
    let fits = hours <= 23 && minutes <= 59 && reader.0.is_empty();
    fits.then(|| sign * (hours * 3600 + minutes * 60).cast_signed())
}
