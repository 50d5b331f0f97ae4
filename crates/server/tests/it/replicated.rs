//! `durability: replicated`: the collector answers for each event what Kafka said of it, and the log
//! is looked into where no node runs.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use millstream_testkit::kafka::{Cluster, Config, Kafka};
use serde_json::{Value, json};

use crate::quickstart::{changed, kafka_and_lake};
use crate::sandbox::{Sandbox, alone};

/// How long what is on its way may take to arrive; only a hang takes as long.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a batch of the topic may take after [`shrink`].
const TOPIC_BYTES_MAX: usize = 10_000;

/// The broker judges what it receives: compressed, the large record would fit.
fn config(cluster: &Cluster, lake: &Path, durability: &str) -> String {
    let quickstart = changed("  durability: fsync", &format!("  durability: {durability}"));
    let sections = kafka_and_lake(&cluster.bootstrap(), lake, "  compression: none");
    format!("{quickstart}{sections}")
}

/// Lets a topic take less from now on.
fn shrink(kafka: &Kafka, cluster: &Cluster, topic: &str) {
    let mut tool = kafka.tool("kafka.admin.ConfigCommand");
    tool.args(["--bootstrap-server", &cluster.bootstrap(), "--alter"]);
    tool.args(["--entity-type", "topics", "--entity-name", topic]);
    tool.args(["--add-config", &format!("max.message.bytes={TOPIC_BYTES_MAX}")]);
    let output = tool.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn event(number: usize, padding: usize) -> Value {
    let (id, padding) = (number.to_string(), "x".repeat(padding));
    json!({ "message_id": id, "event": "e", "user_id": "u", "timestamp": 0, "padding": padding })
}

/// Posts events and returns status and answer, each event listed.
fn post(sandbox: &Sandbox, events: &[Value]) -> (u16, Value) {
    let body = serde_json::to_string(events).unwrap();
    let answer = sandbox.post_to("/track?results=all", &body);
    (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null))
}

/// Reads a topic from Kafka itself, without a node: offset and message id of each record.
fn tapped(sandbox: &Sandbox, topic: &str) -> BTreeSet<(u64, u64, String)> {
    let config = sandbox.config();
    let output = sandbox.run(&[
        "tap",
        topic,
        "-c",
        &config,
        "--from",
        "1d",
        "--no-follow",
        "--format",
        "json",
    ]);
    assert_eq!(output.code, 0, "{}", output.stderr);
    let rows = output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let place = |row: Value| {
        let number = |key: &str| row[key].as_u64().unwrap();
        let id = row["value"]["message_id"].as_str().unwrap().to_owned();
        (number("partition"), number("offset"), id)
    };
    rows.map(place).collect()
}

#[test]
fn each_event_is_answered_by_what_became_of_it_on_kafka() {
    let _alone = alone();
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let cluster = kafka.start(&Config::default()).unwrap();
    let lake = tempfile::tempdir().unwrap();
    let mut sandbox = Sandbox::with_config(&config(&cluster, lake.path(), "replicated"));
    sandbox.start();
    shrink(&kafka, &cluster, "events");

    // Together, those of one partition are larger than its topic takes in one batch.
    let events: Vec<Value> =
        (0..40).map(|number| event(number, if number == 7 { 50_000 } else { 1_000 })).collect();
    let (status, answer) = post(&sandbox, &events);
    assert_eq!(status, 200, "{}", answer["detail"]);
    assert_eq!((&answer["accepted"], &answer["rejected"]), (&json!(39), &json!(1)));
    let results = answer["results"].as_array().unwrap();
    let expected = json!({ "index": 7, "status": "rejected", "reason": "refused_by_log" });
    assert_eq!(results[7], expected);
    let place = |result: &Value| {
        let number = |key: &str| result[key].as_u64().unwrap();
        (number("partition"), number("offset"), number("index").to_string())
    };
    let accepted = results.iter().filter(|result| result["status"] == "accepted");
    let accepted: BTreeSet<_> = accepted.map(place).collect();
    assert_eq!(accepted.len(), 39);

    let (status, answer) = post(&sandbox, &events[7..8]);
    assert_eq!((status, &answer["code"]), (400, &json!("all_rejected")));
    let (_, metrics) = sandbox.get("/metrics");
    let refused = "millstream_collector_rejected_events_total{reason=\"refused_by_log\"} 2";
    assert!(metrics.contains(refused), "not counted");
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());

    // What was answered is what Kafka has: the places too.
    assert!(tapped(&sandbox, "events") == accepted, "the answer named other places");
}

#[test]
fn without_a_node_the_log_is_read_from_kafka_or_it_is_said_that_it_is_there() {
    let _alone = alone();
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let cluster = kafka.start(&Config::default()).unwrap();
    let lake = tempfile::tempdir().unwrap();
    let mut sandbox = Sandbox::with_config(&config(&cluster, lake.path(), "fsync"));
    sandbox.start();
    shrink(&kafka, &cluster, "events");
    let bad = json!({ "message_id": "bad", "event": "e" });
    let (status, _) = post(&sandbox, &[event(0, 0), event(1, 50_000), bad]);
    assert_eq!(status, 200, "the spool takes what Kafka will not");

    let letters = |sandbox: &Sandbox, args: &[&str]| {
        let args = [&["dlq", "--format", "json"][..], args].concat();
        let output = sandbox.run(&args);
        let rows = output.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let place = |row: Value| (row["place"].as_str().unwrap().to_owned(), row["topic"].clone());
        let mut places: Vec<_> = rows.map(place).collect();
        places.sort_by(|a, b| a.0.cmp(&b.0));
        (places, output.stderr)
    };
    let log = ("log".to_owned(), json!("events-dead"));
    let spool = ("spool".to_owned(), json!("events-spool-dead"));
    sandbox.wait_until("both dead letters are listed", PATIENCE, |sandbox| {
        letters(sandbox, &[]).0 == [log.clone(), spool.clone()]
    });
    let text = sandbox.run(&["dlq"]).stdout;
    assert!(text.contains("place") && text.contains("spool"), "{text}");
    sandbox.wait_until("the good one is cleaned", PATIENCE, |sandbox| {
        let rows = sandbox.run(&["lag", "--format", "json"]).json();
        let mut rows = rows.as_array().unwrap().iter().filter(|row| row["role"] == "clean");
        rows.all(|row| row["lag"] == 0)
    });
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());

    // The spool alone, and it is said that it is no more.
    let (places, said) = letters(&sandbox, &[]);
    assert_eq!(places, std::slice::from_ref(&spool));
    assert!(said.contains("the log is Kafka at") && said.contains("-c FILE"), "{said}");
    let topics = sandbox.run(&["topics"]);
    assert!(topics.stderr.contains("spool alone"), "{}", topics.stderr);
    let refused = sandbox.run(&["lag"]);
    assert_eq!(refused.code, 69, "{}", refused.stderr);
    assert!(refused.stderr.contains("Kafka at"), "{}", refused.stderr);

    // From Kafka itself.
    let config = sandbox.config();
    let (places, said) = letters(&sandbox, &["-c", &config]);
    assert_eq!(places, [log, spool], "{said}");
    let topics = sandbox.run(&["topics", "-c", &config, "--format", "json"]).stdout;
    assert!(topics.contains("\"events-clean\""), "{topics}");
    let rows = sandbox.run(&["lag", "-c", &config, "--format", "json"]).json();
    let rows = rows.as_array().unwrap();
    let is_clean = |row: &&Value| row["role"] == "clean" && row["lag"] == 0;
    assert_eq!(rows.iter().filter(is_clean).count(), 4, "{rows:?}");
    let ids: Vec<_> = tapped(&sandbox, "events-clean").into_iter().map(|row| row.2).collect();
    assert_eq!(ids, ["0"]);
}
