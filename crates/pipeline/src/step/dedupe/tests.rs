use millstream_model::{HeadersBuilder, RecordBatchBuilder};

use super::*;
use crate::event::{EventBuffers, Limits};

/// A step and its state, over which time passes.
struct Rig {
    step: Dedupe,
    state: KeyedState,
}

/// What one event is.
#[derive(Clone, Copy, Default)]
struct Given<'g> {
    json: &'g str,
    key: Option<&'g [u8]>,
    origin: Option<&'g str>,
    accepted: i64,
}

impl Rig {
    fn new(config: &Config) -> Self {
        Self { step: Dedupe::new(config).unwrap(), state: KeyedState::new() }
    }

    /// Judges one event in a transaction of its own, at the time at which it was accepted.
    fn judge(&mut self, given: Given<'_>) -> Verdict {
        self.judge_at(given, given.accepted)
    }

    fn judge_at(&mut self, given: Given<'_>, now: i64) -> Verdict {
        let mut headers = HeadersBuilder::new();
        if let Some(origin) = given.origin {
            headers.push(header::ORIGIN, origin.as_bytes());
        }
        self.state.begin(Timestamp::from_millis(now));
        let mut buffers = EventBuffers::new();
        let mut event = buffers.read(given.json.as_bytes(), Limits::default()).unwrap();
        let mut cx = StepContext {
            accepted: Timestamp::from_millis(given.accepted),
            key: given.key,
            headers: headers.as_headers(),
            state: Some(&mut self.state),
        };
        let verdict = self.step.apply(&mut event, &mut cx);
        self.step.settle(&mut self.state, 1);
        self.state.finish(&mut RecordBatchBuilder::new());
        self.state.committed(None).unwrap();
        verdict
    }
}

fn second(count: i64) -> i64 {
    count * 1000
}

fn config(keys_max: u64) -> Config {
    Config { by: By::MessageId, within: Duration::from_secs(60), keys_max }
}

#[test]
fn the_second_of_two_is_a_duplicate_until_the_window_has_passed() {
    let mut rig = Rig::new(&config(10));
    let at = |accepted| Given { json: r#"{"message_id":"a"}"#, accepted, ..Given::default() };
    assert_eq!(rig.judge(at(second(0))), Verdict::Keep);
    assert_eq!(rig.judge(at(second(30))), Verdict::Duplicate);
    assert_eq!(rig.judge(at(second(60) - 1)), Verdict::Duplicate, "counted from the first");
    assert_eq!(rig.judge(at(second(60))), Verdict::Keep);
    assert_eq!(rig.judge(at(second(61))), Verdict::Duplicate);
}

#[test]
fn an_event_accepted_longer_ago_than_the_window_is_let_through_and_counted() {
    let mut rig = Rig::new(&config(10));
    let mut judge = |json, accepted, now| {
        let verdict = rig.judge_at(Given { json, accepted, ..Given::default() }, now);
        (verdict, rig.state.take_late())
    };
    let [first, other, third] =
        [r#"{"message_id":"a"}"#, r#"{"message_id":"b"}"#, r#"{"message_id":"c"}"#];
    assert_eq!(judge(first, second(10), second(200)), (Verdict::Keep, 0));
    // Another collector's events move the time on; then a retry comes from the one that lags.
    assert_eq!(judge(other, second(71), second(200)), (Verdict::Keep, 0));
    assert_eq!(judge(first, second(10), second(200)), (Verdict::Keep, 1), "it is doubled");
    assert_eq!(judge(other, second(10), second(200)), (Verdict::Duplicate, 0), "still known");
    assert_eq!(judge(third, second(11), second(200)), (Verdict::Keep, 0), "just in time");
    assert_eq!(judge("{}", second(0), second(200)), (Verdict::Keep, 0), "it has no id");
}

#[test]
fn an_id_is_told_apart_by_its_kind_and_its_text() {
    let mut rig = Rig::new(&config(10));
    let mut check = |json, expected| {
        assert_eq!(rig.judge(Given { json, ..Given::default() }), expected, "{json}");
    };
    check(r#"{"message_id":"1"}"#, Verdict::Keep);
    check(r#"{"message_id":1}"#, Verdict::Keep);
    check(r#"{"message_id":true}"#, Verdict::Keep);
    check(r#"{"message_id":"\u0031"}"#, Verdict::Duplicate);
    check(r#"{"message_id":1}"#, Verdict::Duplicate);
    for without in ["{}", r#"{"message_id":null}"#, r#"{"message_id":""}"#, r#"{"message_id":{}}"#]
    {
        check(without, Verdict::Keep);
        check(without, Verdict::Keep);
    }
}

#[test]
fn the_key_of_the_record_can_be_the_id() {
    let mut rig = Rig::new(&Config { by: By::Key, ..config(10) });
    let mut judge = |key| rig.judge(Given { json: "{}", key, ..Given::default() });
    assert_eq!(judge(Some(b"k")), Verdict::Keep);
    assert_eq!(judge(Some(b"k")), Verdict::Duplicate);
    assert_eq!(judge(None), Verdict::Keep);
    assert_eq!(judge(None), Verdict::Keep);
    assert_eq!(judge(Some(&[7; ID_BYTES_MAX])), Verdict::Keep);
    let Verdict::Rejected { reason, .. } = judge(Some(&[7; ID_BYTES_MAX + 1])) else {
        panic!("it is too long");
    };
    assert!(reason.contains("512"), "{reason}");
}

#[test]
fn an_id_that_is_too_long_is_rejected_for_its_field() {
    let mut rig = Rig::new(&config(10));
    let json = format!("{{\"message_id\":\"{}\"}}", "x".repeat(ID_BYTES_MAX + 1));
    let verdict = rig.judge(Given { json: &json, ..Given::default() });
    assert!(
        matches!(verdict, Verdict::Rejected { field: Some(field), .. } if field == "message_id")
    );
}

#[test]
fn a_replayed_dead_letter_is_judged_by_where_it_came_from() {
    let mut rig = Rig::new(&config(10));
    let event = Given { json: r#"{"message_id":"a"}"#, ..Given::default() };
    assert_eq!(rig.judge(event), Verdict::Keep);
    let replayed = Given { origin: Some("events/0/7"), ..event };
    assert_eq!(rig.judge(replayed), Verdict::Keep);
    assert_eq!(rig.judge(replayed), Verdict::Duplicate);
    assert_eq!(rig.judge(Given { origin: Some("events/0/8"), ..event }), Verdict::Keep);
    assert_eq!(rig.judge(event), Verdict::Duplicate);
}

#[test]
fn an_event_from_the_far_future_does_not_empty_the_window() {
    let mut rig = Rig::new(&config(10));
    let known = Given { json: r#"{"message_id":"a"}"#, accepted: second(1), ..Given::default() };
    assert_eq!(rig.judge(known), Verdict::Keep);
    let future = Given { json: r#"{"message_id":"b"}"#, accepted: i64::MAX, ..known };
    assert_eq!(rig.judge_at(future, second(2)), Verdict::Keep);
    assert_eq!(rig.judge_at(known, second(3)), Verdict::Duplicate);
}

#[test]
fn beyond_its_bound_it_forgets_the_oldest_and_counts_them() {
    let mut rig = Rig::new(&config(3));
    for number in 0..10 {
        let json = format!("{{\"message_id\":{number}}}");
        let given = Given { json: &json, accepted: number, ..Given::default() };
        assert_eq!(rig.judge(given), Verdict::Keep);
        assert!(rig.state.books_mut().ids <= 3);
    }
    assert_eq!(rig.state.books_mut().evicted_early, 7);
    let judge = |rig: &mut Rig, json| rig.judge(Given { json, accepted: 11, ..Given::default() });
    assert_eq!(judge(&mut rig, r#"{"message_id":9}"#), Verdict::Duplicate);
    assert_eq!(judge(&mut rig, r#"{"message_id":6}"#), Verdict::Keep, "forgotten");
}

#[test]
fn what_is_due_is_forgotten_and_not_counted_as_early() {
    let mut rig = Rig::new(&config(1_000));
    for number in 0..40 {
        let json = format!("{{\"message_id\":{number}}}");
        let accepted = second(number);
        assert_eq!(rig.judge(Given { json: &json, accepted, ..Given::default() }), Verdict::Keep);
    }
    let later = Given { json: "{}", accepted: second(90), ..Given::default() };
    for _ in 0..4 {
        assert_eq!(rig.judge(later), Verdict::Keep);
    }
    // What is left was seen less than a minute before.
    assert_eq!(rig.state.books_mut().ids, 9);
    assert_eq!(rig.state.books_mut().evicted_early, 0);
    assert_eq!(rig.state.status().entries, 9 + 1, "the ids and the books");
}

#[test]
fn limits_are_checked() {
    let check = |config: Config, key| match Dedupe::new(&config) {
        Err(StepError::Range { key: found, .. }) => assert_eq!(found, key),
        other => panic!("{other:?}"),
    };
    assert!(Dedupe::new(&Config::default()).is_ok());
    check(Config { within: Duration::from_millis(999), ..Config::default() }, "within");
    check(Config { within: WITHIN_MAX + Duration::from_secs(1), ..Config::default() }, "within");
    check(Config { keys_max: 0, ..Config::default() }, "keys_max");
    check(Config { keys_max: KEYS_MAX + 1, ..Config::default() }, "keys_max");
}
