//! The forms of a time, checked against chrono.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use millstream_pipeline::datetime::forms::{parse_number, parse_text};
use millstream_pipeline::datetime::{Moment, parse_rfc3339};
use proptest::prelude::*;

fn iso(moment: Option<Moment>) -> Option<String> {
    moment.map(|moment| String::from_utf8(moment.to_iso8601().to_vec()).expect("ASCII"))
}

/// Any moment of the years 0001 to 9998, with nanoseconds.
fn any_moment() -> impl Strategy<Value = DateTime<Utc>> {
    (-62_135_596_800_i64..253_370_764_800, 0_u32..1_000_000_000)
        .prop_map(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos).expect("in range"))
}

/// What chrono writes for a moment cut to milliseconds.
fn expected(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Millis, true)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, ..ProptestConfig::default() })]

    #[test]
    fn rfc_3339_is_read_as_chrono_reads_it(moment in any_moment(), offset in -1439_i32..1440) {
        let zone = chrono::FixedOffset::east_opt(offset * 60).expect("below a day");
        let text = moment.with_timezone(&zone).to_rfc3339_opts(SecondsFormat::Nanos, false);
        prop_assert_eq!(iso(parse_rfc3339(&text)), Some(expected(moment)), "{}", text);
        prop_assert_eq!(iso(parse_text(&text.replace('T', " "))), Some(expected(moment)));
        prop_assert_eq!(parse_rfc3339(&text).map(Moment::as_micros), Some(moment.timestamp_micros()));
    }

    #[test]
    fn forms_without_a_zone_are_utc(moment in any_moment()) {
        let whole = moment - TimeDelta::nanoseconds(i64::from(moment.timestamp_subsec_nanos()));
        for format in ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y%m%dT%H%M%SZ"] {
            let text = whole.format(format).to_string();
            prop_assert_eq!(iso(parse_text(&text)), Some(expected(whole)), "{}", text);
        }
        let mail = whole.to_rfc2822();
        prop_assert_eq!(iso(parse_text(&mail)), Some(expected(whole)), "{}", mail);
    }

    #[test]
    fn numbers_are_read_in_their_unit(moment in any_moment()) {
        let seconds = moment.timestamp();
        if seconds.abs() < 100_000_000_000 {
            let text = format!("{seconds}");
            let whole = DateTime::from_timestamp(seconds, 0).expect("in range");
            prop_assert_eq!(iso(parse_number(&text)), Some(expected(whole)));
        }
        let millis = moment.timestamp_millis();
        if (100_000_000_000..100_000_000_000_000).contains(&millis.abs()) {
            prop_assert_eq!(iso(parse_number(&millis.to_string())), Some(expected(moment)));
        }
        let micros = moment.timestamp_micros();
        if (100_000_000_000_000..100_000_000_000_000_000).contains(&micros.abs()) {
            prop_assert_eq!(iso(parse_number(&micros.to_string())), Some(expected(moment)));
        }
    }

    #[test]
    fn dates_that_chrono_refuses_are_refused(year in 0_i32..=9999, month in 0_u32..14, day in 0_u32..33) {
        let text = format!("{year:04}-{month:02}-{day:02}");
        let date = chrono::NaiveDate::from_ymd_opt(year, month, day);
        let expected = date.map(|date| format!("{}T00:00:00.000Z", date.format("%Y-%m-%d")));
        prop_assert_eq!(iso(parse_text(&text)), expected, "{}", text);
    }

    #[test]
    fn no_text_panics(text in "[0-9TZtz:.,+\\- eE]{0,40}|.{0,20}") {
        let times = [parse_text(&text), parse_number(&text), parse_rfc3339(&text)];
        for moment in times.into_iter().flatten() {
            let written = iso(Some(moment)).expect("a moment is written");
            prop_assert_eq!(iso(parse_rfc3339(&written)), Some(written.clone()));
        }
    }
}
