//! What becomes of events: stored exactly, rejected one by one, answered for each.

use anyhow::Result;
use millstream_collector::Config;
use serde_json::json;

use crate::rig::{NOW, Rig, config, post};

#[tokio::test]
async fn an_event_is_stored_byte_for_byte_with_key_time_and_request() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let event = r#"{ "event":"view",  "message_id":"m-1", "n": 1.50 }"#;
    let mut client = rig.client().await?;
    let headers = format!("x-request-id: r-1\r\ntraceparent: {trace}\r\n");
    client.send(post(&headers, format!(" {event}\n"))).await?;
    let answer = client.answer().await?;

    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-request-id"), Some("r-1"));
    assert_eq!(answer.json()?, json!({"accepted": 1, "rejected": 0, "results": []}));
    let stored = rig.stop().await?;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].value, event);
    assert_eq!(stored[0].key.as_deref(), Some("m-1"));
    assert_eq!(stored[0].timestamp, NOW);
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(stored[0].headers, [header("ms.request_id", "r-1"), header("traceparent", trace)]);
    Ok(())
}

#[tokio::test]
async fn a_request_without_an_id_gets_one_that_its_records_carry() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let answer = rig.client().await?.track("{}").await?;
    let id = answer.header("x-request-id").map(str::to_owned);
    let stored = rig.stop().await?;
    assert_eq!(stored[0].headers.first().map(|(_, value)| value.clone()), id);
    assert_eq!(stored[0].key, None);
    Ok(())
}

#[tokio::test]
async fn events_with_the_same_key_go_to_the_same_partition_in_order() -> Result<()> {
    let rig = Rig::start(Config { key: Some("user.id".to_owned()), ..config() }).await?;
    let mut client = rig.client().await?;
    for number in 0..50 {
        let user = number % 7;
        let body =
            format!(r#"{{"user":{{"id":"u{user}"}},"n":{number},"message_id":"m{number}"}}"#);
        assert_eq!(client.track(&body).await?.status, 200);
    }
    let stored = rig.stop().await?;
    assert_eq!(stored.len(), 50);
    for user in 0..7 {
        let key = format!("u{user}");
        let ours: Vec<_> = stored.iter().filter(|s| s.key.as_ref() == Some(&key)).collect();
        assert!(ours.iter().all(|stored| stored.partition == ours[0].partition));
        let numbers: Vec<u64> = ours
            .iter()
            .map(|stored| serde_json::from_str::<serde_json::Value>(&stored.value))
            .filter_map(|value| value.ok()?["n"].as_u64())
            .collect();
        assert!(numbers.is_sorted() && numbers.len() == ours.len());
    }
    Ok(())
}

#[tokio::test]
async fn a_bad_event_is_named_and_does_not_refuse_its_array() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let mut client = rig.client().await?;
    let body = r#"[{"a":1}, 7, {"a":1,"a":2}, {"b":2}]"#;
    let answer = client.track(body).await?;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json()?,
        json!({"accepted": 2, "rejected": 2, "results": [
            {"index": 1, "status": "rejected", "reason": "not_an_object", "at": 10},
            {"index": 2, "status": "rejected", "reason": "duplicate_key", "at": 20},
        ]})
    );
    assert_eq!(rig.values()?, [r#"{"a":1}"#, r#"{"b":2}"#]);
    Ok(())
}

#[tokio::test]
async fn a_bad_line_is_named_and_does_not_refuse_the_others() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let mut client = rig.client().await?;
    for content_type in ["application/x-ndjson", "application/jsonl", "text/plain;charset=UTF-8"] {
        let answer = client.post(content_type, "{\"a\":1}\n{\"a\":\n\n{\"b\":2}\n").await?;
        assert_eq!(answer.status, 200, "{content_type}: {answer:?}");
        assert_eq!(
            answer.json()?,
            json!({"accepted": 2, "rejected": 1, "results": [
                {"index": 1, "status": "rejected", "reason": "cut_short", "at": 13},
            ]})
        );
    }
    assert_eq!(rig.values()?.len(), 6);
    Ok(())
}

#[tokio::test]
async fn all_results_on_request_say_where_each_event_was_stored() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let mut client = rig.client().await?;
    client.track(r#"{"before":true}"#).await?;
    let body = r#"[{"n":0},{"n":1},3,{"n":3},{"n":4}]"#;
    let head = "POST /track?x=1&results=all HTTP/1.1\r\nhost: t\r\n";
    client.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await?;
    let answer = client.answer().await?.json()?;
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(4), &json!(1)));
    let results = answer["results"].as_array().expect("a list");
    assert_eq!(results.len(), 5);
    let stored = rig.stop().await?;
    for (index, result) in results.iter().enumerate() {
        assert_eq!(result["index"], json!(index));
        if index == 2 {
            assert_eq!(result["reason"], "not_an_object");
            continue;
        }
        let found = stored.iter().find(|stored| stored.value == format!("{{\"n\":{index}}}"));
        let found = found.expect("accepted means stored");
        assert_eq!(result["topic"], "events");
        assert_eq!(result["partition"], json!(found.partition));
        assert_eq!(result["offset"], json!(found.offset.0));
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_array_is_a_success_that_stores_nothing() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let answer = rig.client().await?.track(" [ ] ").await?;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()?, json!({"accepted": 0, "rejected": 0, "results": []}));
    assert!(rig.stop().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_batch_without_a_good_event_is_refused_with_its_results() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let answer = rig.client().await?.track("[1,[]]").await?;
    assert_eq!((answer.status, answer.code()?.as_str()), (400, "all_rejected"));
    let json = answer.json()?;
    assert_eq!(json["rejected"], 2);
    assert_eq!(json["results"][1]["at"], 3);
    assert!(rig.stop().await?.is_empty());
    Ok(())
}

/// Posts one bad body and checks status and code; a good event must still pass on the same
/// connection afterwards.
async fn check_refused(content_type: &str, body: &[u8], status: u16, code: &str) -> Result<()> {
    let rig = Rig::start(config()).await?;
    let mut client = rig.client().await?;
    let answer = client.post(content_type, body).await?;
    let text = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
    assert_eq!((answer.status, answer.code()?.as_str()), (status, code), "{text}");
    let closes = answer.header("connection") == Some("close");
    if !closes {
        assert_eq!(client.track("{}").await?.status, 200);
    }
    drop(client);
    assert_eq!(rig.stop().await?.len(), usize::from(!closes));
    Ok(())
}

#[tokio::test]
async fn every_kind_of_bad_input_has_a_clear_answer_and_stores_nothing() -> Result<()> {
    let json = "application/json";
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(64), "]".repeat(64));
    let bomb = "[".repeat(1 << 20);
    let many_keys =
        format!("{{{}\"k7\":1}}", (0..100).map(|n| format!("\"k{n}\":1,")).collect::<String>());
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    let cases: [(&str, &[u8], u16, &str); 22] = [
        (json, b"", 400, "empty_body"),
        (json, b" \n", 400, "empty_body"),
        ("application/x-ndjson", b"\n\n", 400, "empty_body"),
        (json, b"{\"a\":}", 400, "malformed_json"),
        (json, b"hello", 400, "malformed_json"),
        (json, b"{\"a\":1", 400, "cut_short"),
        (json, b"[{\"a\":1},{\"b\"", 400, "cut_short"),
        (json, b"{}{}", 400, "trailing_data"),
        (json, b"7", 400, "not_an_object"),
        (json, b"\"text\"", 400, "not_an_object"),
        (json, b"{\"a\":\"\xff\xfe\"}", 400, "invalid_utf8"),
        (json, b"{\"a\":\"\\ud800\"}", 400, "lone_surrogate"),
        (json, b"{\"a\":{\"b\":1,\"b\":2}}", 400, "duplicate_key"),
        (json, many_keys.as_bytes(), 400, "duplicate_key"),
        (json, b"{\"a\":\"\x01\"}", 400, "control_character"),
        (json, deep.as_bytes(), 400, "too_deep"),
        (json, bomb.as_bytes(), 400, "cut_short"),
        (json, large.as_bytes(), 400, "event_too_large"),
        ("text/plain", b"hello", 400, "malformed_json"),
        ("application/xml", b"<a/>", 415, "content_type"),
        ("application/x-www-form-urlencoded", b"{}", 415, "content_type"),
        ("garbage", b"{}", 415, "content_type"),
    ];
    for (content_type, body, status, code) in cases {
        check_refused(content_type, body, status, code).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_encoding_is_refused_with_what_is_taken() -> Result<()> {
    let rig = Rig::start(config()).await?;
    for encoding in ["gzip", "br", "identity, gzip"] {
        let mut client = rig.client().await?;
        client.send(post(&format!("content-encoding: {encoding}\r\n"), "{}")).await?;
        let answer = client.answer().await?;
        assert_eq!((answer.status, answer.code()?.as_str()), (415, "content_encoding"));
        assert_eq!(answer.json()?["accepted"], json!(["identity"]));
    }
    let mut client = rig.client().await?;
    client.send(post("content-encoding: Identity\r\n", "{}")).await?;
    assert_eq!(client.answer().await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn more_events_than_allowed_are_refused_as_a_whole() -> Result<()> {
    let rig = Rig::start(Config { request_events_max: 3, ..config() }).await?;
    let mut client = rig.client().await?;
    assert_eq!(client.track("[{},{},{}]").await?.status, 200);
    let answer = client.track("[{},{},{},{}]").await?;
    assert_eq!((answer.status, answer.code()?.as_str()), (413, "too_many_events"));
    assert_eq!(rig.stop().await?.len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_large_batch_is_stored_whole_and_in_order() -> Result<()> {
    let rig = Rig::start(Config { key: Some("k".to_owned()), ..config() }).await?;
    let lines: String = (0..20_000).map(|n| format!("{{\"k\":\"one\",\"n\":{n}}}\n")).collect();
    let answer = rig.client().await?.post("application/x-ndjson", &lines).await?;
    assert_eq!(answer.json()?["accepted"], 20_000);
    let stored = rig.stop().await?;
    let values: String = stored.into_iter().map(|stored| stored.value + "\n").collect();
    assert!(values == lines, "other events, or in another order");
    Ok(())
}
