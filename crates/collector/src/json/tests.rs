//! The validator against a table of cases, against another parser, and against broken bytes.

use std::collections::HashSet;

use proptest::prelude::*;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Events, Fault, FieldPath, Form, Judged, Limits, Reason, Walker};

const LIMITS: Limits = Limits { event_bytes_max: 4096, depth_max: 8 };

fn walker() -> Walker {
    let key = FieldPath::new("context.user.id").expect("a path");
    Walker::new(LIMITS, Some(&key))
}

fn events(body: &[u8], form: Form) -> Result<Vec<Judged>, Fault> {
    let mut walker = walker();
    let mut events = Events::new(body, form);
    let mut judged = Vec::new();
    while let Some(event) = events.next(&mut walker)? {
        judged.push(event);
    }
    Ok(judged)
}

/// Judges one event; returns the reason and byte of its rejection.
fn judge(body: &[u8]) -> Option<(Reason, usize)> {
    let judged = events(body, Form::One).expect("one event is never an unreadable whole");
    let [event] = judged.as_slice() else { panic!("one event, not {judged:?}") };
    event.verdict.as_ref().err().map(|fault| (fault.reason, fault.at))
}

#[track_caller]
fn check(body: &str, expected: Option<(Reason, usize)>) {
    assert_eq!(judge(body.as_bytes()), expected, "{body}");
}

#[test]
fn legal_objects_are_accepted() {
    for body in [
        "{}",
        " \t\r\n{ } \n",
        r#"{"a":1}"#,
        r#"{"a":-0,"b":0.5,"c":1e9,"d":-1.25E-7,"e":12345678901234567890}"#,
        r#"{"a":true,"b":false,"c":null,"d":[],"e":{},"f":[1,[2,{"g":3}]]}"#,
        r#"{ "a" : [ 1 , 2 ] , "b" : { "c" : "d" } }"#,
        r#"{"":"","é":"ü","😀":"𝄞"}"#,
        r#"{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"}"#,
        "{\"a\":\"\u{7f}\u{2028}\u{feff}\"}",
        r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}"#,
        r#"{"a":1e400}"#,
        r#"{"a":[[[[[[[1]]]]]]]}"#,
    ] {
        check(body, None);
    }
}

#[test]
fn malformed_json_is_rejected_with_its_byte() {
    for (body, at) in [
        ("{a:1}", 1),
        ("{'a':1}", 1),
        (r#"{"a" 1}"#, 5),
        (r#"{"a":}"#, 5),
        (r#"{"a":1,}"#, 7),
        ("{,}", 1),
        (r#"{"a":1 "b":2}"#, 7),
        (r#"{"a":[1,]}"#, 8),
        (r#"{"a":[,1]}"#, 6),
        (r#"{"a":[1 2]}"#, 8),
        (r#"{"a":[1}"#, 7),
        (r#"{"a":{"b":1]}"#, 11),
        (r#"{"a":01}"#, 6),
        (r#"{"a":+1}"#, 5),
        (r#"{"a":.5}"#, 5),
        (r#"{"a":1.}"#, 7),
        (r#"{"a":1e}"#, 7),
        (r#"{"a":1e+}"#, 8),
        (r#"{"a":-}"#, 6),
        (r#"{"a":--1}"#, 6),
        (r#"{"a":0x1}"#, 6),
        (r#"{"a":NaN}"#, 5),
        (r#"{"a":Infinity}"#, 5),
        (r#"{"a":tru}"#, 8),
        (r#"{"a":True}"#, 5),
        (r#"{"a":nul1}"#, 8),
        (r#"{"a":"\x"}"#, 7),
        (r#"{"a":"\u12g4"}"#, 10),
        (r#"{"a":1/**/}"#, 6),
        ("\u{feff}{}", 0),
        ("}", 0),
    ] {
        let found = judge(body.as_bytes());
        assert_eq!(found, Some((Reason::MalformedJson, at)), "{body}");
    }
}

#[test]
fn json_that_ends_too_early_is_rejected() {
    let whole = r#"{"a":[1.5e3,"b\u00e9",true,null],"c":{"d":false}}"#;
    check(whole, None);
    for end in 1..whole.len() {
        let found = judge(&whole.as_bytes()[..end]);
        let reason = found.map(|(reason, _)| reason);
        assert_eq!(reason, Some(Reason::CutShort), "{}", &whole[..end]);
    }
}

#[test]
fn each_rule_beyond_the_grammar_has_its_own_reason() {
    let long = format!(r#"{{"a":{}}}"#, "1".repeat(super::NUMBER_BYTES_MAX + 1));
    let large = format!(r#"{{"a":"{}"}}"#, "x".repeat(4096));
    for (body, reason, at) in [
        ("1", Reason::NotAnObject, 0),
        (" [{}]", Reason::NotAnObject, 1),
        (r#""a""#, Reason::NotAnObject, 0),
        ("null", Reason::NotAnObject, 0),
        ("{} {}", Reason::TrailingData, 3),
        ("{}x", Reason::TrailingData, 2),
        (r#"{"a":[[[[[[[[1]]]]]]]]}"#, Reason::TooDeep, 12),
        (r#"{"a":1,"a":2}"#, Reason::DuplicateKey, 7),
        (r#"{"a":1,"\u0061":2}"#, Reason::DuplicateKey, 7),
        (r#"{"a":{"b":1,"c":2,"b":3}}"#, Reason::DuplicateKey, 18),
        (r#"{"a":[{"":1,"":2}]}"#, Reason::DuplicateKey, 12),
        (r#"{"a":"\ud800"}"#, Reason::LoneSurrogate, 6),
        (r#"{"a":"\udc00\ud800"}"#, Reason::LoneSurrogate, 6),
        (r#"{"a":"x\ud800\u0041"}"#, Reason::LoneSurrogate, 7),
        (r#"{"\ud83d":1}"#, Reason::LoneSurrogate, 2),
        ("{\"a\":\"b\nc\"}", Reason::ControlCharacter, 7),
        ("{\"a\":\"\0\"}", Reason::ControlCharacter, 6),
        (&long, Reason::NumberTooLong, 5),
        (&large, Reason::EventTooLarge, 0),
    ] {
        check(body, Some((reason, at)));
    }
}

#[test]
fn invalid_utf8_is_rejected_at_its_first_byte() {
    for (bytes, at) in [
        (&b"{\"a\":\"\xff\"}"[..], 6),
        (b"{\"a\":\"ok\xc3\"}", 8),
        (b"{\"a\":\"\xed\xa0\x80\"}", 6),
        (b"{\"a\":\"\xc0\xaf\"}", 6),
        (b"{\"\xf8\":1}", 2),
    ] {
        assert_eq!(judge(bytes), Some((Reason::InvalidUtf8, at)));
    }
}

#[test]
fn a_key_is_found_twice_however_large_the_object_and_however_the_keys_resemble_each_other() {
    for count in [2_usize, 23, 24, 25, 26, 100] {
        for twice in [0, count / 2, count - 1] {
            let name = |index: usize| format!("\"a_long_common_prefix_{index}\"");
            let mut body = String::from("{");
            for index in 0..count {
                body += &format!("{}:1,", name(index));
            }
            let at = body.len();
            let repeated = format!("{body}{}:2}}", name(twice));
            let limits = Limits { event_bytes_max: 1 << 20, depth_max: 8 };
            let mut walker = Walker::new(limits, None);
            let judged = Events::new(repeated.as_bytes(), Form::One).next(&mut walker);
            let verdict = judged.expect("readable").expect("one").verdict;
            assert_eq!(verdict, Err(Fault { reason: Reason::DuplicateKey, at }));

            let unique = format!("{body}{}:2}}", name(count));
            let judged = Events::new(unique.as_bytes(), Form::One).next(&mut walker);
            assert!(judged.expect("readable").expect("one").verdict.is_ok());
        }
    }
}

#[test]
fn the_routing_key_is_the_configured_field_or_else_the_message_id() {
    let cases: [(&str, Option<&str>); 14] = [
        (r#"{"context":{"user":{"id":"u1"}},"message_id":"m"}"#, Some("u1")),
        (r#"{"message_id":"m","context":{"user":{"id":42}}}"#, Some("42")),
        (r#"{"context":{"user":{"id":true}}}"#, Some("true")),
        (r#"{"context":{"user":{"id":"\u0075\"1"}}}"#, Some("u\"1")),
        (r#"{"context":{"\u0075ser":{"id":"u1"}}}"#, Some("u1")),
        (r#"{"context":{"user":{"id":null}},"message_id":"m"}"#, Some("m")),
        (r#"{"context":{"user":{"id":""}},"message_id":"m"}"#, Some("m")),
        (r#"{"context":{"user":{"id":{"id":"x"}}},"message_id":"m"}"#, Some("m")),
        (r#"{"context":{"user":[{"id":"x"}]},"message_id":"m"}"#, Some("m")),
        (r#"{"context":{"other":{"id":"x"}},"message_id":"m"}"#, Some("m")),
        (r#"{"user":{"id":"x"},"a":{"context":{"user":{"id":"x"}}}}"#, None),
        (r#"{"context":{"a":{"user":{"id":"x"}},"user":{"id":"u"}}}"#, Some("u")),
        (r#"{"a":{"message_id":"x"},"b":[{"message_id":"x"}]}"#, None),
        ("{}", None),
    ];
    for (body, expected) in cases {
        let judged = events(body.as_bytes(), Form::One).expect("readable");
        let routing = judged[0].verdict.clone().expect("legal");
        let key = routing.into_key();
        let key = key.as_ref().map(|key| key.bytes(body.as_bytes()));
        assert_eq!(key, expected.map(str::as_bytes), "{body}");
    }
}

fn reasons(body: &str, form: Form) -> Result<Vec<Option<Reason>>, Reason> {
    let judged = events(body.as_bytes(), form).map_err(|fault| fault.reason)?;
    Ok(judged.iter().map(|event| event.verdict.as_ref().err().map(|f| f.reason)).collect())
}

#[test]
fn a_bad_element_is_rejected_alone_and_a_broken_array_as_a_whole() {
    let ok = None;
    for (body, expected) in [
        ("[]", Ok(vec![])),
        (" [ ] ", Ok(vec![])),
        ("[{},{}]", Ok(vec![ok, ok])),
        (" [ {} , {} ] ", Ok(vec![ok, ok])),
        ("[{},1,{}]", Ok(vec![ok, Some(Reason::NotAnObject), ok])),
        (r#"[{"a":1,"a":1},{}]"#, Ok(vec![Some(Reason::DuplicateKey), ok])),
        (r#"[{"a":"\ud800"},{}]"#, Ok(vec![Some(Reason::LoneSurrogate), ok])),
        (r#"[[[[[[[[[[1]]]]]]]]],{}]"#, Ok(vec![Some(Reason::NotAnObject), ok])),
        (r#"[{"a":[[[[[[[[1]]]]]]]]},{}]"#, Ok(vec![Some(Reason::TooDeep), ok])),
        ("[{}", Err(Reason::CutShort)),
        ("[", Err(Reason::CutShort)),
        ("[{},]", Err(Reason::MalformedJson)),
        ("[,{}]", Err(Reason::MalformedJson)),
        ("[{}{}]", Err(Reason::MalformedJson)),
        ("[{}]]", Err(Reason::TrailingData)),
        ("[] {}", Err(Reason::TrailingData)),
        (r#"[{},{"a":}]"#, Err(Reason::MalformedJson)),
    ] {
        assert_eq!(reasons(body, Form::Array), expected, "{body}");
    }
}

#[test]
fn lines_are_judged_one_by_one() {
    let ok = None;
    for (body, expected) in [
        ("", vec![]),
        ("\n\r\n  \n", vec![]),
        ("{}\n{}", vec![ok, ok]),
        ("{}\r\n\r\n{}\r\n", vec![ok, ok]),
        ("{\n{}", vec![Some(Reason::CutShort), ok]),
        ("{}{}\n{}", vec![Some(Reason::TrailingData), ok]),
        ("x\n[]\n{}\n", vec![Some(Reason::MalformedJson), Some(Reason::NotAnObject), ok]),
    ] {
        assert_eq!(reasons(body, Form::Lines), Ok(expected), "{body:?}");
    }
}

#[test]
fn ranges_cover_exactly_the_events() {
    let body = " [ {\"a\": 1} , {} ] ";
    let found = events(body.as_bytes(), Form::Array).expect("readable");
    let texts: Vec<_> = found.iter().map(|event| &body[event.range.clone()]).collect();
    assert_eq!(texts, ["{\"a\": 1}", "{}"]);

    let body = "  {\"a\":1} \r\n\t{}";
    let found = events(body.as_bytes(), Form::Lines).expect("readable");
    let texts: Vec<_> = found.iter().map(|event| &body[event.range.clone()]).collect();
    assert_eq!(texts, ["{\"a\":1}", "{}"]);
}

#[test]
fn a_body_that_does_not_say_what_it_is_is_told_by_its_looks() {
    for (body, form) in [
        ("", Form::One),
        ("[{}]", Form::Array),
        (" \n[", Form::Array),
        ("{}", Form::One),
        ("{\n \"a\": 1\n}\n", Form::One),
        ("{}\n{}", Form::Lines),
        ("{\"a\":}\n{}\n", Form::Lines),
        ("{\n \"a\": }\n", Form::One),
        ("hello", Form::One),
    ] {
        assert_eq!(Form::sniff(body.as_bytes(), &mut walker()), form, "{body:?}");
    }
}

/// What `serde_json` says, with our rules on top of it: an object, no key twice, not too deep.
fn oracle(body: &[u8]) -> bool {
    let mut decoder = serde_json::Deserializer::from_slice(body);
    let walked = Oracle { depth: 1, must_be_object: true }.deserialize(&mut decoder);
    walked.is_ok() && decoder.end().is_ok() && longest_number(body) <= super::NUMBER_BYTES_MAX
}

fn longest_number(body: &[u8]) -> usize {
    let in_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    body.split(|byte| !in_number(byte)).map(<[u8]>::len).max().unwrap_or(0)
}

struct Oracle {
    depth: usize,
    must_be_object: bool,
}

impl<'de> DeserializeSeed<'de> for Oracle {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<(), D::Error> {
        decoder.deserialize_any(self)
    }
}

macro_rules! scalars {
    ($($visit:ident($type:ty)),*) => {
        $(fn $visit<E: serde::de::Error>(self, _: $type) -> Result<(), E> {
            if self.must_be_object { Err(E::custom("not an object")) } else { Ok(()) }
        })*
    };
}

impl<'de> Visitor<'de> for Oracle {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }

    scalars!(visit_bool(bool), visit_u64(u64), visit_i64(i64), visit_f64(f64), visit_str(&str));

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.visit_bool(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        if self.must_be_object || self.depth > LIMITS.depth_max {
            return Err(serde::de::Error::custom("array"));
        }
        let inner = || Oracle { depth: self.depth + 1, must_be_object: false };
        while seq.next_element_seed(inner())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if self.depth > LIMITS.depth_max || !keys.insert(key) {
                return Err(serde::de::Error::custom("key twice, or too deep"));
            }
            map.next_value_seed(Oracle { depth: self.depth + 1, must_be_object: false })?;
        }
        if self.depth > LIMITS.depth_max {
            return Err(serde::de::Error::custom("too deep"));
        }
        Ok(())
    }
}

#[track_caller]
fn agrees_with_oracle(body: &[u8]) {
    let ours = judge(body);
    // serde_json refuses numbers beyond a double; they are legal JSON, and ours to pass on.
    let theirs = oracle(body);
    let huge_number = ours.is_none() && !theirs && {
        serde_json::from_slice::<IgnoredAny>(body).is_ok()
            && serde_json::from_slice::<serde_json::Value>(body)
                .is_err_and(|error| error.to_string().contains("out of range"))
    };
    let text = String::from_utf8_lossy(body);
    assert!(ours.is_none() == theirs || huge_number, "ours {ours:?}, theirs {theirs}: {text}");
}

/// Any JSON value, as text, with keys that often collide.
fn json_text() -> impl Strategy<Value = String> {
    let string = prop_oneof![
        Just("\"a\"".to_owned()),
        Just("\"\\u0061\"".to_owned()),
        Just("\"b\"".to_owned()),
        "[a-z]{0,20}".prop_map(|text| format!("\"{text}\"")),
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a string")),
        Just("\"\\ud83d\\ude00\"".to_owned()),
        Just("\"\\ud83d\"".to_owned()),
    ];
    let scalar = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_map(|value| serde_json::to_string(&value).expect("a number")),
        string.clone(),
    ];
    scalar.prop_recursive(10, 64, 6, move |inner| {
        let member = (string.clone(), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(member, 0..6).prop_map(|members| {
                let members = members.into_iter().map(|(key, value)| format!("{key} : {value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn generated_json_is_judged_as_serde_json_judges_it(body in json_text()) {
        agrees_with_oracle(body.as_bytes());
        agrees_with_oracle(format!("{{\"x\":{body}}}").as_bytes());
    }

    #[test]
    fn generated_json_with_one_byte_changed_is_judged_as_serde_json_judges_it(
        body in json_text(),
        at in any::<prop::sample::Index>(),
        byte in prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:\\0-.eE+ \n".to_vec())],
    ) {
        let mut bytes = format!("{{\"x\":{body}}}").into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        agrees_with_oracle(&bytes);
    }
}

/// The fuzz target: whatever comes in, every form ends, within the body, without a panic.
fn fuzz(body: &[u8]) {
    let mut walker = walker();
    let sniffed = Form::sniff(body, &mut walker);
    for form in [Form::One, Form::Array, Form::Lines, sniffed] {
        let mut events = Events::new(body, form);
        let mut last_end = 0;
        while let Ok(Some(judged)) = events.next(&mut walker) {
            assert!(last_end <= judged.range.start && judged.range.start <= judged.range.end);
            assert!(judged.range.end <= body.len());
            last_end = judged.range.end;
            let text = &body[judged.range.clone()];
            match judged.verdict {
                Ok(routing) => {
                    assert!(serde_json::from_slice::<IgnoredAny>(text).is_ok());
                    assert!(std::str::from_utf8(text).is_ok());
                    let _used = routing.into_key().map(|key| key.bytes(body).len());
                }
                Err(fault) => assert!(fault.at <= body.len()),
            }
        }
        assert!(matches!(events.next(&mut walker), Ok(None)), "the end is final");
    }
    agrees_with_oracle(body);
}

#[test]
#[expect(clippy::print_stdout, reason = "a failure is repeated from its seed")]
fn mutated_bodies_never_panic() {
    let seed = 0x6d73_636f_6c6c;
    println!("seed {seed:#x}");
    let mut rng = millstream_runtime::Rng::from_seed(seed);
    let corpus: [&[u8]; 6] = [
        br#"{"event":"view","user_id":"u\u00e9","properties":{"a":[1,2.5e3,null,true]}}"#,
        b"[{\"a\":1},{\"b\":\"\xf0\x9f\x98\x80\"},[],3]",
        b"{\"a\":1}\n{\"b\":{\"c\":{}}}\r\n\n{}",
        br#"{"a":"\ud83d\ude00","context":{"user":{"id":"\\x"}},"message_id":7}"#,
        b"[[[[[[[[[[[[[[[[{}]]]]]]]]]]]]]]]]",
        br#"{"k":{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"k":11}}"#,
    ];
    for _ in 0..30_000 {
        let pick = |rng: &mut millstream_runtime::Rng, len: usize| {
            usize::try_from(rng.below(len as u64)).expect("small")
        };
        let mut body = corpus[pick(&mut rng, corpus.len())].to_vec();
        for _ in 0..=rng.below(4) {
            let at = pick(&mut rng, body.len());
            match rng.below(4) {
                0 => body[at] = b"{}[]\",:\\u0-.eE \n\xff"[pick(&mut rng, 17)],
                1 => {
                    body.remove(at);
                }
                2 => body.insert(at, u8::try_from(rng.below(256)).expect("a byte")),
                _ => body.truncate(at + 1),
            }
            if body.is_empty() {
                body.push(b'{');
            }
        }
        fuzz(&body);
    }
}
