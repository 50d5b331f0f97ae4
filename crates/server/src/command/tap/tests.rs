use super::*;

fn line(json: &str) -> Box<tap::Row> {
    let Line::Record(row) = serde_json::from_str(json).unwrap() else { panic!("{json}") };
    row
}

fn text_of(json: &str, format: Format) -> String {
    let mut out = String::new();
    text::push(&mut out, &line(json), format).unwrap();
    out
}

const RECORD: &str = r#"{"record":{"topic":"events","partition":3,"offset":41,"accepted_ms":1000,"key":"u1","request_id":"r1","trace_parent":"00-4b-00-01","headers":{"ms.reason":"no user_id"},"value":{"n":12345678901234567890123}}}"#;

#[test]
fn a_record_is_one_line_with_its_context() {
    assert_eq!(
        text_of(RECORD, Format::Text),
        "1970-01-01T00:00:01.000Z events/3/41 key=u1 request=r1 trace=00-4b-00-01 \
         ms.reason=\"no user_id\" {\"n\":12345678901234567890123}\n"
    );
    let json = text_of(RECORD, Format::Json);
    assert_eq!(format!(r#"{{"record":{}}}"#, json.trim_end()), RECORD, "values stay as they are");
}

#[test]
fn what_a_terminal_would_obey_does_not_reach_it_and_long_values_are_cut() {
    let text = format!("\\u001b[2J{}", "x".repeat(1_000));
    let json = format!(
        r#"{{"record":{{"topic":"t","partition":0,"offset":0,"accepted_ms":0,"text":"{text}"}}}}"#
    );
    let line = text_of(&json, Format::Text);
    assert!(!line.contains('\u{1b}'), "{line}");
    assert!(line.ends_with("x…\n"), "{line}");
    let tombstone = r#"{"record":{"topic":"t","partition":0,"offset":0,"accepted_ms":0}}"#;
    assert!(text_of(tombstone, Format::Text).ends_with("t/0/0 (tombstone)\n"));
}

#[test]
fn what_is_asked_for_survives_the_way_to_the_node() {
    let ask = Ask {
        topic: "events".to_owned(),
        filter: Some("a b=ü&c".to_owned()),
        follow: Some(true),
        ..Ask::default()
    };
    assert_eq!(query::path(&ask), "/api/v1/tap?topic=events&filter=a%20b%3D%C3%BC%26c&follow=true");
}
