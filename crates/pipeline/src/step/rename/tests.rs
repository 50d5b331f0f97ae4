use super::super::tests::{check_kept, check_rejected};
use super::super::{StepConfig, StepError};
use super::Config;

fn step(pairs: &[(&str, &str)]) -> StepConfig {
    let fields = pairs.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
    StepConfig::Rename(Config { fields })
}

#[test]
fn a_field_moves_out_of_its_object() {
    let step = step(&[("context.app_version", "app_version")]);
    let check = |json, expected| check_kept(&step, json, expected);
    check(r#"{"context":{"app_version":"1"}}"#, r#"{"context":{},"app_version":"1"}"#);
    check(r#"{"context":{}}"#, r#"{"context":{}}"#);
    check(r#"{"context":null}"#, r#"{"context":null}"#);
    check("{}", "{}");
    check(
        r#"{"app_version":null,"context":{"app_version":"1","os":"x"}}"#,
        r#"{"app_version":"1","context":{"os":"x"}}"#,
    );
}

#[test]
fn a_target_with_a_value_is_not_overwritten() {
    let json = r#"{"b":0,"a":1}"#;
    check_rejected(&step(&[("a", "b")]), json, "a", "target `b` has a value already");
    check_kept(&step(&[("b", "c"), ("a", "b")]), json, r#"{"c":0,"b":1}"#);
}

#[test]
fn paths_within_each_other_are_refused() {
    for (from, to) in [("a", "a"), ("a", "a.b"), ("a.b", "a")] {
        let error = step(&[(from, to)]).validate().unwrap_err();
        assert!(matches!(error, StepError::Overlap { .. }), "{from} {to}: {error}");
    }
    assert!(matches!(step(&[("a", "b"), ("a", "c")]).validate(), Err(StepError::Twice(_))));
    assert!(matches!(step(&[]).validate(), Err(StepError::Fields(0))));
}
