use http_body_util::BodyExt as _;

use super::*;

fn body(answer: Answer) -> serde_json::Value {
    let collected = futures::executor::block_on(answer.into_body().collect());
    let bytes = collected.expect("a full body cannot fail").to_bytes();
    serde_json::from_slice(&bytes).expect("problems are JSON")
}

#[test]
fn a_problem_is_json_whatever_its_detail_holds() {
    let problem = Problem::new(StatusCode::BAD_REQUEST, "code", "a \"b\" \\ \u{1} ü \n")
        .with_number("at", 7)
        .with_json("accepted", "[1]");
    let value = body(problem.into_answer());
    assert_eq!(value["detail"], "a \"b\" \\ \u{1} ü \n");
    assert_eq!((&value["status"], &value["at"]), (&400.into(), &7.into()));
    assert_eq!(value["code"], "code");
}

#[test]
fn retry_after_is_in_whole_seconds_rounded_up() {
    let check = |millis, seconds: &str| {
        let problem = Problem::full("full", "full", Duration::from_millis(millis));
        let answer = problem.into_answer();
        assert_eq!(answer.headers()[RETRY_AFTER], seconds);
        assert_eq!(body(answer)["retry_after_ms"], millis);
    };
    check(0, "1");
    check(1000, "1");
    check(1001, "2");
    check(30_000, "30");
}
