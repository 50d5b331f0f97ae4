use serde_json::json;

use super::super::tests::{Made, run};
use super::super::{StepConfig, StepError};
use super::{Condition, Config, Mode, Presence, Test};

fn field(field: &str, test: Test) -> Condition {
    Condition::Field { field: field.to_owned(), test }
}

fn is_met(condition: &Condition, json: &str) -> bool {
    let config = |mode| StepConfig::Filter(Config { mode, condition: condition.clone() });
    let kept = run(&config(Mode::KeepIf), json);
    let dropped = run(&config(Mode::DropIf), json);
    assert_ne!(kept, dropped, "keep_if and drop_if are opposites");
    kept != Made::Filtered
}

#[test]
fn tests_look_at_values_not_at_bytes() {
    let json = r#"{"e":"p\u0069ng","n":1.0,"b":true,"z":null,"o":{"i":-3}}"#;
    let check = |name, test, expected| {
        assert_eq!(is_met(&field(name, test), json), expected, "{name}");
    };
    check("e", Test::Equals(json!("ping")), true);
    check("e", Test::In(vec![json!("pong"), json!("ping")]), true);
    check("e", Test::In(vec![json!("pong")]), false);
    check("e", Test::StartsWith("pi".to_owned()), true);
    check("e", Test::EndsWith("ng".to_owned()), true);
    check("e", Test::Contains("x".to_owned()), false);
    check("n", Test::Equals(json!(1)), true);
    check("n", Test::Equals(json!("1.0")), false);
    check("n", Test::StartsWith("1".to_owned()), false);
    check("b", Test::Equals(json!(true)), true);
    check("z", Test::Equals(json!(null)), true);
    check("z", Test::Exists(Presence::Present), true);
    check("x", Test::Equals(json!(null)), false);
    check("x", Test::Exists(Presence::Missing), true);
    check("o.i", Test::LessThan(0.0), true);
    check("o.i", Test::AtLeast(-3.0), true);
    check("o.i", Test::AtLeast(0.0), false);
    check("e", Test::AtLeast(0.0), false);
}

#[test]
fn conditions_combine() {
    let yes = || field("a", Test::Exists(Presence::Present));
    let no = || field("a", Test::Exists(Presence::Missing));
    let json = r#"{"a":1}"#;
    assert!(is_met(&Condition::All(vec![yes(), yes()]), json));
    assert!(!is_met(&Condition::All(vec![yes(), no()]), json));
    assert!(is_met(&Condition::Any(vec![no(), yes()]), json));
    assert!(!is_met(&Condition::Any(vec![no(), no()]), json));
    assert!(is_met(&Condition::Not(Box::new(no())), json));
}

#[test]
fn conditions_are_bounded() {
    let config = |condition| StepConfig::Filter(Config { mode: Mode::KeepIf, condition });
    let mut deep = field("a", Test::Exists(Presence::Present));
    for _ in 0..super::CONDITION_DEPTH_MAX {
        deep = Condition::Not(Box::new(deep));
    }
    assert!(matches!(config(deep).validate(), Err(StepError::TooDeep { .. })));
    assert!(matches!(config(Condition::All(Vec::new())).validate(), Err(StepError::Fields(0))));
    let list = field("a", Test::Equals(json!([1])));
    assert!(matches!(config(list).validate(), Err(StepError::Value { .. })));
    let nan = field("a", Test::LessThan(f64::NAN));
    assert!(matches!(config(nan).validate(), Err(StepError::Value { .. })));
}
