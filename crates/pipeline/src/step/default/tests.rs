use serde_json::json;

use super::super::tests::{check_kept, check_rejected};
use super::super::{StepConfig, StepError};
use super::Config;

fn step(field: &str, value: serde_json::Value) -> StepConfig {
    StepConfig::Default(Config { fields: vec![(field.to_owned(), value)] })
}

#[test]
fn what_is_missing_or_null_is_filled() {
    let step = step("properties.channel", json!("unknown"));
    let check = |json, expected| check_kept(&step, json, expected);
    check(r#"{"properties":{"channel":"web"}}"#, r#"{"properties":{"channel":"web"}}"#);
    check(r#"{"properties":{"channel":""}}"#, r#"{"properties":{"channel":""}}"#);
    check(r#"{"properties":{"channel":null}}"#, r#"{"properties":{"channel":"unknown"}}"#);
    check(r#"{"properties":{ "a":1 }}"#, r#"{"properties":{"a":1,"channel":"unknown"}}"#);
    check(r#"{"properties":{}}"#, r#"{"properties":{"channel":"unknown"}}"#);
    check(r#"{"properties":null}"#, r#"{"properties":{"channel":"unknown"}}"#);
    check("{}", r#"{"properties":{"channel":"unknown"}}"#);
    check_rejected(&step, r#"{"properties":"x"}"#, "properties.channel", "not an object");
    check_rejected(&step, r#"{"properties":[]}"#, "properties.channel", "not an object");
}

#[test]
fn a_default_may_be_any_value_but_null() {
    check_kept(&step("a", json!({"b": [1, "\""]})), "{}", r#"{"a":{"b":[1,"\""]}}"#);
    assert!(matches!(step("a", json!(null)).validate(), Err(StepError::Value { .. })));
}
