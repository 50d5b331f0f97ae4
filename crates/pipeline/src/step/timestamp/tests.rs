use super::super::StepConfig;
use super::super::tests::{check_kept, check_rejected};
use super::Config;

#[test]
fn every_usual_form_becomes_iso_8601() {
    let step = StepConfig::Timestamp(Config { fields: vec!["t".to_owned()] });
    let check = |value: &str, expected: &str| {
        check_kept(&step, &format!("{{\"t\":{value}}}"), &format!("{{\"t\":\"{expected}\"}}"));
    };
    check("\"2026-11-22T10:11:12.345Z\"", "2026-11-22T10:11:12.345Z");
    check("\"2026-11-22T10:11:12Z\"", "2026-11-22T10:11:12.000Z");
    check("\"2026-11-22t10:11:12.3456789z\"", "2026-11-22T10:11:12.345Z");
    check("\"2026-11-22T10:11:12,5+01:30\"", "2026-11-22T08:41:12.500Z");
    check("\"2026-11-22 10:11:12\"", "2026-11-22T10:11:12.000Z");
    check("\"2026\\u002d11-22\"", "2026-11-22T00:00:00.000Z");
    check("\"20261122T101112Z\"", "2026-11-22T10:11:12.000Z");
    check("\"Sun, 22 Nov 2026 10:11:12 +0100\"", "2026-11-22T09:11:12.000Z");
    check("1795342272345", "2026-11-22T10:11:12.345Z");
    check("1795342272", "2026-11-22T10:11:12.000Z");
    check("\"1795342272.9999\"", "2026-11-22T10:11:12.999Z");
    check("1.795342272345e12", "2026-11-22T10:11:12.345Z");
    check("0", "1970-01-01T00:00:00.000Z");
    check("-1", "1969-12-31T23:59:59.000Z");
}

#[test]
fn what_is_no_time_is_rejected_and_null_is_left_alone() {
    let step = StepConfig::Timestamp(Config { fields: vec!["a.t".to_owned()] });
    for kept in [r#"{"a":{"t":null}}"#, r#"{"a":{}}"#, r#"{"a":1}"#, "{}"] {
        check_kept(&step, kept, kept);
    }
    let check = |value: &str, reason| {
        check_rejected(&step, &format!("{{\"a\":{{\"t\":{value}}}}}"), "a.t", reason);
    };
    check("\"yesterday\"", "\"yesterday\" is not a time");
    check("\"\"", "is not a time");
    check("\"2026-02-29\"", "is not a time");
    check("\"20261122\"", "is not a time");
    check("\"\\ud800\"", "is not a time");
    check("1e40", "is not a time");
    check("true", "is a boolean, not a time");
    check("{}", "is an object, not a time");
    check(&format!("\"{}\"", "é".repeat(100)), "is not a time");
}
