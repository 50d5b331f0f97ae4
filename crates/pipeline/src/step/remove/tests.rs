use super::super::StepConfig;
use super::super::tests::check_kept;
use super::Config;

#[test]
fn fields_are_removed_and_missing_ones_are_no_fault() {
    let fields = vec!["bad".to_owned(), "p.bad".to_owned()];
    let step = StepConfig::Remove(Config { fields });
    let check = |json, expected| check_kept(&step, json, expected);
    check(r#"{"a" : 1, "b":2}"#, r#"{"a" : 1, "b":2}"#);
    check(r#"{"bad":{"x":1},"b":2}"#, r#"{"b":2}"#);
    check(r#"{"p":{"bad":1,"ok":2},"b":2}"#, r#"{"p":{"ok":2},"b":2}"#);
    check(r#"{"p":{"bad":1}}"#, r#"{"p":{}}"#);
    check(r#"{"p":"text"}"#, r#"{"p":"text"}"#);
}
