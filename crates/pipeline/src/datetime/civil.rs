//! Days, seconds and fractions: the arithmetic of the civil calendar.

const SECONDS_OF_DAY: i64 = 86_400;

/// A moment in UTC between the years 0000 and 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Seconds since 1970-01-01T00:00:00Z. Invariant: within the years 0000 to 9999.
    seconds: i64,
    /// Nanoseconds after them, below 1,000,000,000.
    nanos: u32,
}

/// What a clock on a wall and the calendar beside it show.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Civil {
    pub(super) year: u32,
    pub(super) month: u32,
    pub(super) day: u32,
    pub(super) hour: u32,
    pub(super) minute: u32,
    /// 60 only in a leap second.
    pub(super) second: u32,
    pub(super) nanos: u32,
}

impl Moment {
    /// The first second of the year 0000.
    const SECONDS_MIN: i64 = -62_167_219_200;
    /// The last second of the year 9999.
    const SECONDS_MAX: i64 = 253_402_300_799;

    /// Builds a moment; `None` outside the years 0000 to 9999.
    pub fn new(seconds: i64, nanos: u32) -> Option<Self> {
        debug_assert!(nanos < 1_000_000_000, "a fraction is below one second");
        (Self::SECONDS_MIN..=Self::SECONDS_MAX)
            .contains(&seconds)
            .then_some(Self { seconds, nanos })
    }

    /// Returns the microseconds since 1970, rounded towards the past.
    pub fn as_micros(self) -> i64 {
        self.seconds * 1_000_000 + i64::from(self.nanos / 1000)
    }

    /// Returns the milliseconds since 1970, rounded towards the past.
    pub fn as_millis(self) -> i64 {
        self.seconds * 1000 + i64::from(self.nanos / 1_000_000)
    }

    /// Returns `2026-11-22T10:11:12.345Z`; what is finer than a millisecond is cut.
    pub fn to_iso8601(self) -> [u8; 24] {
        let days = self.seconds.div_euclid(SECONDS_OF_DAY);
        let of_day = unsigned(self.seconds.rem_euclid(SECONDS_OF_DAY));
        let (year, month, day) = date_of_days(days);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        digits(&mut text[0..4], year);
        digits(&mut text[5..7], month);
        digits(&mut text[8..10], day);
        digits(&mut text[11..13], of_day / 3600);
        digits(&mut text[14..16], of_day / 60 % 60);
        digits(&mut text[17..19], of_day % 60);
        digits(&mut text[20..23], self.nanos / 1_000_000);
        text
    }
}

impl Civil {
    /// Returns the moment at which a clock `offset_seconds` ahead of UTC shows this; `None` when
    /// the calendar has no such time, or the moment lies outside the years 0000 to 9999.
    pub(super) fn at_offset(self, offset_seconds: i32) -> Option<Moment> {
        let Self { year, month, day, hour, minute, second, nanos } = self;
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let of_day = i64::from(hour * 3600 + minute * 60 + second);
        let days = i64::from(days_of_date(year, month, day)?);
        let seconds = days * SECONDS_OF_DAY + of_day - i64::from(offset_seconds);
        // A leap second ends a UTC day: what follows it is midnight.
        if second == 60 && seconds.rem_euclid(SECONDS_OF_DAY) != 0 {
            return None;
        }
        Moment::new(seconds, nanos)
    }
}

/// Returns the days since 1970-01-01; `None` when the calendar has no such date.
pub(super) fn days_of_date(year: u32, month: u32, day: u32) -> Option<i32> {
    if year > 9999 || !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    // Years begin in March, so that the leap day comes last (Hinnant, "chrono-compatible
    // low-level date algorithms"). Shifted by 400 years to stay unsigned.
    let shifted = year + 400 - u32::from(month <= 2);
    let (era, of_era) = (shifted / 400, shifted % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    Some(days.cast_signed() - (719_468 + 146_097))
}

/// Returns year, month and day of a day within the years 0000 to 9999.
fn date_of_days(days: i64) -> (u32, u32, u32) {
    let shifted = unsigned(days + 719_468 + 146_097);
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u32::from(month <= 2) - 400, month, day)
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

/// Returns the day of the week of a day, Sunday is 0.
pub(super) fn weekday(days: i32) -> u32 {
    (days + 4).rem_euclid(7).cast_unsigned()
}

fn unsigned(value: i64) -> u32 {
    u32::try_from(value).expect("within the years 0000 to 9999")
}

/// Writes `value` with leading zeros.
fn digits(text: &mut [u8], mut value: u32) {
    for place in text.iter_mut().rev() {
        *place = b"0123456789"[(value % 10) as usize];
        value /= 10;
    }
}
