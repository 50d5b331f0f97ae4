use super::forms::{parse_number, parse_text};
use super::*;

fn iso(moment: Option<Moment>) -> Option<String> {
    moment.map(|moment| String::from_utf8(moment.to_iso8601().to_vec()).expect("ASCII"))
}

fn check(text: &str, expected: &str) {
    assert_eq!(iso(parse_text(text)).as_deref(), Some(expected), "{text}");
}

fn check_refused(text: &str) {
    assert_eq!(iso(parse_text(text)), None, "{text}");
}

#[test]
fn the_calendar_is_kept() {
    check("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z");
    check("2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000Z");
    check("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z");
    check("0000-02-29T23:59:59.999Z", "0000-02-29T23:59:59.999Z");
    check("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999Z");
    for text in [
        "2023-02-29",
        "1900-02-29",
        "2026-00-10",
        "2026-13-01",
        "2026-04-31",
        "2026-01-00",
        "2026-11-22T24:00:00Z",
        "2026-11-22T10:60:00Z",
        "2026-11-22T10:11:61Z",
        "0000-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
    ] {
        check_refused(text);
    }
}

#[test]
fn zones_are_taken_off() {
    check("2026-01-01T00:00:00+23:59", "2025-12-31T00:01:00.000Z");
    check("2025-12-31T23:00:00-0130", "2026-01-01T00:30:00.000Z");
    check("2026-01-01T00:00:00+02", "2025-12-31T22:00:00.000Z");
    check("2026-01-01 00:00:00 +0200", "2025-12-31T22:00:00.000Z");
    check("2026-01-01 00:00:00 UTC", "2026-01-01T00:00:00.000Z");
    check("20260101T000000.25-0100", "2026-01-01T01:00:00.250Z");
    for text in ["2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00+1", "2026-01-01T00:00:00 CET"] {
        check_refused(text);
    }
}

#[test]
fn a_leap_second_is_the_next_midnight() {
    check("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z");
    check("2017-01-01T05:29:60+05:30", "2017-01-01T00:00:00.000Z");
    check_refused("2016-12-31T23:58:60Z");
    check_refused("2016-12-31T22:59:60Z");
}

#[test]
fn a_numbers_unit_follows_from_its_size() {
    let check = |text: &str, expected: &str| {
        assert_eq!(iso(parse_number(text)).as_deref(), Some(expected), "{text}");
        assert_eq!(iso(parse_text(text)).as_deref(), Some(expected), "{text}");
    };
    check("1795342272", "2026-11-22T10:11:12.000Z");
    check("1795342272.3459", "2026-11-22T10:11:12.345Z");
    check("1795342272345", "2026-11-22T10:11:12.345Z");
    check("1795342272345678", "2026-11-22T10:11:12.345Z");
    check("1795342272345678901", "2026-11-22T10:11:12.345Z");
    check("99999999999", "5138-11-16T09:46:39.000Z");
    check("100000000000", "1973-03-03T09:46:40.000Z");
    check("-0.001", "1969-12-31T23:59:59.999Z");
    check("-62135596800", "0001-01-01T00:00:00.000Z");
    assert_eq!(iso(parse_number("1e9")).as_deref(), Some("2001-09-09T01:46:40.000Z"));
    for text in ["1e999", "-", "", "1.2.3", "99999999999999999999999", "0x10", "-99999999999"] {
        assert_eq!(iso(parse_number(text)), None, "{text}");
    }
    check_refused("20261122");
    check_refused("20261122101112");
}

#[test]
fn mail_dates_are_read() {
    check("Sun, 22 Nov 2026 10:11:12 +0000", "2026-11-22T10:11:12.000Z");
    check("22 nov 2026 10:11 EST", "2026-11-22T15:11:00.000Z");
    check("Sun, 1 Nov 2026 00:00:00 GMT", "2026-11-01T00:00:00.000Z");
    for text in [
        "Mon, 22 Nov 2026 10:11:12 +0000",
        "22 Nov 26 10:11:12 GMT",
        "22 Nov 2026 10:11:12",
        "22 Foo 2026 10:11:12 GMT",
        "22 Nov 2026 10:11:12 GMT x",
        "22 Nov 2026 1:11:12 GMT",
    ] {
        check_refused(text);
    }
}

#[test]
fn what_only_looks_like_a_time_is_refused() {
    for text in [
        "",
        " ",
        "Z",
        "2026",
        "2026-11",
        "2026-11-22T",
        "2026-11-22T10:11",
        "2026-11-22T10:11:12.Z",
        "2026-11-22T10:11:12ZZ",
        "2026-1-2",
        "2026/11/22",
        "22.11.2026",
        "+2026-11-22",
        "٢٠٢٦-11-22",
        "2026-11-22X10:11:12Z",
        "now",
    ] {
        check_refused(text);
    }
    assert_eq!(parse_rfc3339("2026-11-22T10:11:12"), None, "RFC 3339 needs a zone");
    assert_eq!(parse_date("2026-11-22 "), None);
    assert_eq!(parse_date("1969-12-31"), Some(-1));
}
