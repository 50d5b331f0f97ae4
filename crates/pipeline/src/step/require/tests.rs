use super::super::StepConfig;
use super::super::tests::{check_kept, check_rejected};
use super::Config;

#[test]
fn an_event_without_a_value_is_rejected() {
    let fields = vec!["user_id".to_owned(), "p.q".to_owned()];
    let step = StepConfig::Require(Config { fields });
    let kept = |json: &str| check_kept(&step, json, json);
    kept(r#"{"user_id":"u","p":{"q":0}}"#);
    kept(r#"{"p":{"q":false},"user\u005fid":" "}"#);
    let rejected = |json: &str, field, reason| check_rejected(&step, json, field, reason);
    rejected(r#"{"p":{"q":1}}"#, "user_id", "is missing");
    rejected(r#"{"user_id":null,"p":{"q":1}}"#, "user_id", "is null");
    rejected(r#"{"user_id":"","p":{"q":1}}"#, "user_id", "is empty");
    rejected(r#"{"user_id":"u"}"#, "p.q", "is missing");
    rejected(r#"{"user_id":"u","p":7}"#, "p.q", "is missing");
    rejected(r#"{"user_id":"u","p":{"q":1,"q":2}}"#, "p.q", "occurs twice");
}
