//! The standard five rules, checked against a naive oracle on trees, over generated events.

use millstream_log::OffsetBatch;
use millstream_model::{Headers, Offset, RecordBatchBuilder, Timestamp};
use millstream_pipeline::cleaner::{Cleaner, Settings};
use millstream_pipeline::event::Limits;
use millstream_pipeline::step::{StepConfig, default, remove, rename, require, timestamp};
use millstream_pipeline::{Counts, DeadLetter};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::stage::partition;

fn five_rules() -> Cleaner {
    let text = str::to_owned;
    let channel = ("properties.channel".to_owned(), json!("unknown"));
    let version = ("context.app_version".to_owned(), "app_version".to_owned());
    let steps = vec![
        StepConfig::Require(require::Config { fields: vec![text("user_id"), text("event")] }),
        StepConfig::Default(default::Config { fields: vec![channel] }),
        StepConfig::Timestamp(timestamp::Config { fields: vec![text("timestamp")] }),
        StepConfig::Remove(remove::Config { fields: vec![text("bad_field")] }),
        StepConfig::Rename(rename::Config { fields: vec![version] }),
    ];
    let settings = Settings {
        pipeline: "five".to_owned(),
        steps,
        schema: None,
        limits: Limits::default(),
        input_partitions: 1,
        output_partitions: 1,
    };
    Cleaner::new(&settings).expect("the rules are well-formed")
}

/// What became of one event.
#[derive(Debug, PartialEq)]
enum Fate<T> {
    Clean(T),
    /// The step that rejected it.
    Rejected(&'static str),
}

fn clean(cleaner: &mut Cleaner, json: &str) -> Fate<String> {
    let mut records = RecordBatchBuilder::new();
    records.push_with(Timestamp::EPOCH, None, Headers::EMPTY, |out| {
        out.extend_from_slice(json.as_bytes());
    });
    let batch = OffsetBatch { first: Offset::ZERO, records: records.finish() };
    let mut outputs = cleaner.outputs(json.len());
    cleaner.clean(&partition("events", 0), &batch, &mut outputs);
    assert!(outputs.counts.is_balanced());
    let mut clean = outputs.clean;
    let clean = clean.remove(0).finish();
    if let Some(record) = clean.iter().next() {
        let value = record.value.expect("a clean event has a value").to_vec();
        return Fate::Clean(String::from_utf8(value).expect("events are UTF-8"));
    }
    let dead = outputs.dead.finish();
    let record = dead.iter().next().expect("neither clean nor dead");
    assert_eq!(record.value, Some(json.as_bytes()), "a dead letter is the event unchanged");
    let letter = DeadLetter::parse(record.headers).expect("a dead letter");
    let step = ["0:parse", "1:require", "2:default", "3:timestamp", "4:remove", "5:rename"];
    Fate::Rejected(step.into_iter().find(|step| *step == letter.step).expect("one of the steps"))
}

/// The rules on a tree, as one would write them first.
fn oracle(event: &Map<String, Value>) -> Fate<Map<String, Value>> {
    let mut event = event.clone();
    for field in ["user_id", "event"] {
        if matches!(event.get(field), None | Some(Value::Null)) || event[field] == "" {
            return Fate::Rejected("1:require");
        }
    }
    if matches!(event.get("properties"), None | Some(Value::Null)) {
        event.insert("properties".to_owned(), json!({}));
    }
    let Some(properties) = event["properties"].as_object_mut() else {
        return Fate::Rejected("2:default");
    };
    if matches!(properties.get("channel"), None | Some(Value::Null)) {
        properties.insert("channel".to_owned(), json!("unknown"));
    }
    match event.get("timestamp") {
        None | Some(Value::Null) => {}
        Some(value) => match iso(value) {
            Some(iso) => drop(event.insert("timestamp".to_owned(), json!(iso))),
            None => return Fate::Rejected("3:timestamp"),
        },
    }
    event.remove("bad_field");
    let context = event.get_mut("context").and_then(Value::as_object_mut);
    if let Some(version) = context.and_then(|context| context.remove("app_version")) {
        if !matches!(event.get("app_version"), None | Some(Value::Null)) {
            return Fate::Rejected("5:rename");
        }
        event.insert("app_version".to_owned(), version);
    }
    Fate::Clean(event)
}

/// The times that the generator makes, and what they mean.
const TIMES: [(&str, Option<&str>); 7] = [
    ("\"2026-11-22T10:11:12.345Z\"", Some("2026-11-22T10:11:12.345Z")),
    ("\"2026-11-22T11:11:12+01:00\"", Some("2026-11-22T10:11:12.000Z")),
    ("\"2026-11-22 10:11:12\"", Some("2026-11-22T10:11:12.000Z")),
    ("1795342272345", Some("2026-11-22T10:11:12.345Z")),
    ("\"soon\"", None),
    ("[]", None),
    ("{\"a\":1}", None),
];

fn iso(value: &Value) -> Option<&'static str> {
    let tree = |json: &str| serde_json::from_str::<Value>(json).expect("generated JSON");
    let is_same = |(json, _): &&(&str, _)| tree(json) == *value;
    TIMES.iter().find(is_same).expect("one of the generated times").1
}

/// A JSON text of a value, with spaces and escapes that trees do not show.
fn any_value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        "-?[1-9][0-9]{0,5}\\.[0-9]{1,5}(e-?[1-9])?",
        any::<String>().prop_map(|text| Value::String(text).to_string()),
        Just("\"\\u00e9\\ud83d\\ude00\\/{[\\\"\"".to_owned()),
        Just("\"\"".to_owned()),
    ];
    scalar.prop_recursive(3, 20, 4, |inner| {
        let pairs = prop::collection::btree_map("[a-z]{1,10}", inner.clone(), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(" , "))),
            pairs.prop_map(|pairs| object(&pairs.into_iter().collect::<Vec<_>>(), " ")),
        ]
    })
}

fn object(pairs: &[(String, String)], space: &str) -> String {
    let fields: Vec<_> =
        pairs.iter().map(|(key, value)| format!("\"{key}\"{space}:{value}")).collect();
    format!("{{{space}{}{space}}}", fields.join(&format!("{space},{space}")))
}

/// The text of an object, and its fields' texts in order.
type Generated = (String, Vec<(String, String)>);

fn any_event() -> impl Strategy<Value = Generated> {
    let id = prop_oneof![4 => Just("\"u1\""), 1 => Just("null"), 1 => Just("\"\""), 1 => Just("7")];
    let time = prop::sample::select(&TIMES).prop_map(|(json, _)| json.to_owned());
    let time = prop_oneof![6 => time, 1 => Just("null".to_owned())];
    let nested = |names: &'static [&'static str]| {
        let pairs = prop::collection::btree_map(prop::sample::select(names), any_value(), 0..3);
        let object = pairs.prop_map(|pairs| {
            let pairs: Vec<_> =
                pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            object(&pairs, "\n")
        });
        prop_oneof![6 => object, 1 => any_value()]
    };
    let field = |key: &'static str, value: BoxedStrategy<String>| {
        prop::option::weighted(0.8, value.prop_map(move |value| (key.to_owned(), value)))
    };
    let escaped = prop_oneof![3 => Just("user_id"), 1 => Just("user\\u005fid")];
    let user = (escaped, id.clone()).prop_map(|(key, value)| (key.to_owned(), value.to_owned()));
    let known = (
        prop::option::weighted(0.9, user),
        field("event", id.prop_map(str::to_owned).boxed()),
        field("timestamp", time.boxed()),
        field("properties", nested(&["channel", "price", "x\\u0020y"]).boxed()),
        field("context", nested(&["app_version", "app\\u005fversio", "os"]).boxed()),
        field("bad_field", any_value().boxed()),
        prop::option::weighted(0.1, any_value().prop_map(|v| ("app_version".to_owned(), v))),
    );
    let more = prop::collection::btree_map("x[a-z]{0,9}", any_value(), 0..5);
    (known, more, prop::sample::select(&["", " ", "\r\n\t"])).prop_flat_map(
        |(known, more, space)| {
            let (a, b, c, d, e, f, g) = known;
            let known = [a, b, c, d, e, f, g].into_iter().flatten();
            let fields: Vec<_> = known.chain(more).collect();
            Just(fields).prop_shuffle().prop_map(move |fields| (object(&fields, space), fields))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn cleaning_equals_the_rules_on_a_tree((json, fields) in any_event()) {
        let tree: Map<String, Value> = serde_json::from_str(&json).expect("generated JSON");
        let cleaned = clean(&mut five_rules(), &json);
        match (cleaned, oracle(&tree)) {
            (Fate::Clean(cleaned), Fate::Clean(expected)) => {
                let found: Map<String, Value> = serde_json::from_str(&cleaned).expect("clean JSON");
                prop_assert_eq!(&found, &expected, "{} became {}", json, cleaned);
                if expected == tree {
                    prop_assert_eq!(&cleaned, &json, "nothing changed: copied whole");
                }
                for (key, value) in &fields {
                    if key.starts_with('x') {
                        prop_assert!(cleaned.contains(value), "{} is not copied", value);
                    }
                }
            }
            (Fate::Rejected(step), Fate::Rejected(expected)) => prop_assert_eq!(step, expected),
            (found, expected) => prop_assert!(false, "{json}: {found:?}, not {expected:?}"),
        }
    }
}

#[test]
fn one_cleaner_serves_event_after_event() {
    let mut cleaner = five_rules();
    let good = r#"{"user_id":"u","event":"e","context":{"app_version":"1"},"bad_field":0}"#;
    let expected = r#"{"user_id":"u","event":"e","context":{},"properties":{"channel":"unknown"},"app_version":"1"}"#;
    for _ in 0..3 {
        assert_eq!(clean(&mut cleaner, good), Fate::Clean(expected.to_owned()));
        assert_eq!(clean(&mut cleaner, "{\"user_id\":"), Fate::Rejected("0:parse"));
        assert_eq!(clean(&mut cleaner, "{}"), Fate::Rejected("1:require"));
    }
}

#[test]
fn a_tombstone_is_no_event() {
    let mut records = RecordBatchBuilder::new();
    records.push(millstream_model::Record {
        timestamp: Timestamp::EPOCH,
        key: Some(b"k"),
        value: None,
        headers: Headers::EMPTY,
    });
    let batch = OffsetBatch { first: Offset::ZERO, records: records.finish() };
    let mut cleaner = five_rules();
    let mut outputs = cleaner.outputs(0);
    cleaner.clean(&partition("events", 0), &batch, &mut outputs);
    assert_eq!(outputs.counts, Counts { read: 1, rejected: 1, ..Counts::default() });
    let dead = outputs.dead.finish();
    assert_eq!(dead.iter().next().unwrap().value, None);
}
