//! A node that is started while Kafka is away: it takes events, says so, and forwards them when
//! Kafka is there.

use std::path::Path;
use std::time::Duration;

use millstream_testkit::kafka::{Cluster, Config, Kafka};
use serde_json::Value;

use crate::quickstart::{QUICKSTART, kafka_and_lake};
use crate::sandbox::{Sandbox, TEMPORARY, alone};

/// How long what waits may take to arrive; only a hang takes as long.
const PATIENCE: Duration = Duration::from_secs(300);

/// The exit code that says that something needed is not there.
const UNAVAILABLE: i32 = 69;

/// The quickstart on Kafka, which notices soon that nobody answers.
fn config(cluster: &Cluster, lake: &Path) -> String {
    let soon = "  request_time_max: 2 s";
    format!("{QUICKSTART}{}", kafka_and_lake(&cluster.bootstrap(), lake, soon))
}

/// Posts good events, each of which must be taken.
fn post(sandbox: &Sandbox, numbers: std::ops::Range<u32>) {
    for number in numbers {
        let event = format!(
            r#"{{"event":"e","user_id":"u{number}","message_id":"{number}","timestamp":1795342272345}}"#
        );
        let (status, body) = sandbox.post(&event);
        assert_eq!(status, 200, "event {number} is refused: {body}");
    }
}

/// Returns how many different events the table has.
fn events(sandbox: &Sandbox) -> u64 {
    let rows = sandbox.query("SELECT count(DISTINCT message_id) AS n FROM events");
    rows[0]["n"].as_u64().unwrap()
}

/// Checks that who looks learns that Kafka is away, and gets no answer that looks like a fault.
fn check_what_is_said(sandbox: &Sandbox) {
    let (status, body) = sandbox.get("/readyz");
    assert_eq!(status, 200, "events should be sent here: {body}");
    assert!(body.contains("Kafka is away since 20"), "{body}");
    assert!(body.contains("kept in the spool") && body.contains("no broker answers"), "{body}");
    let (status, body) = sandbox.get("/api/v1/status");
    assert_eq!(status, 200, "{body}");
    let status: Value = serde_json::from_str(&body).unwrap();
    assert!(status["notes"][0].as_str().unwrap().contains("Kafka is away"), "{body}");
    assert!(sandbox.log().contains("kafka is away"), "{}", sandbox.log());
    for command in [&["reconcile"][..], &["tap", "events", "--no-follow"], &["topics"], &["dlq"]] {
        let output = sandbox.run(command);
        assert!(
            [UNAVAILABLE, TEMPORARY].contains(&output.code),
            "{command:?}: {}{}",
            output.code,
            output.stderr
        );
        assert!(output.stderr.contains("Kafka is away since"), "{command:?}: {}", output.stderr);
    }
    let lag = sandbox.run(&["lag", "--format", "json"]);
    assert_eq!(lag.code, 0, "{}", lag.stderr);
    let rows = lag.json();
    let waiting = |role: &str, key: &str| {
        let rows = rows.as_array().unwrap().iter().filter(|row| row["role"] == role);
        rows.filter_map(|row| row[key].as_u64()).sum::<u64>()
    };
    assert!(waiting("spool", "lag") > 0, "the spool's rows are known: {rows}");
    assert_eq!(waiting("clean", "end"), 0, "{rows}");
    assert!(lag.stderr.contains("Kafka is away since"), "{}", lag.stderr);
}

#[test]
fn a_node_started_while_kafka_is_away_takes_events_and_stores_each_once_when_it_is_there() {
    let _alone = alone();
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let mut cluster = kafka.start(&Config::default()).unwrap();
    cluster.broker(0).stop().unwrap();
    let lake = tempfile::tempdir().unwrap();
    let mut sandbox = Sandbox::with_config(&config(&cluster, lake.path()));

    sandbox.start();
    post(&sandbox, 0..40);
    check_what_is_said(&sandbox);
    // It ends in order while it waits, and takes up what it kept.
    sandbox.restart();
    post(&sandbox, 40..80);
    sandbox.kill();
    sandbox.start();
    post(&sandbox, 80..120);

    cluster.start().unwrap();
    sandbox.wait_until("120 rows", PATIENCE, |sandbox| sandbox.row_count() >= 120);
    sandbox.settle();
    assert_eq!(sandbox.row_count(), 120, "rows");
    assert_eq!(events(&sandbox), 120, "different events");
    assert!(!sandbox.get("/readyz").1.contains("away"), "{}", sandbox.get("/readyz").1);
    assert!(sandbox.log().contains("kafka is there"), "{}", sandbox.log());
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
}

#[test]
fn a_cluster_that_refuses_a_waiting_node_is_shown_with_the_remedy_and_events_are_taken() {
    let _alone = alone();
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let mut cluster = kafka.start(&Config::default()).unwrap();
    let lake = tempfile::tempdir().unwrap();
    let yaml = config(&cluster, lake.path());
    let other = yaml.replacen("events: { partitions: 4", "events: { partitions: 2", 1);
    assert_ne!(yaml, other, "the quickstart names its partitions");
    let mut first = Sandbox::with_config(&yaml);
    first.start();
    assert_eq!(first.stop(), 0, "{}", first.log());
    cluster.broker(0).stop().unwrap();

    let mut sandbox = Sandbox::with_config(&other);
    sandbox.start();
    post(&sandbox, 0..10);
    cluster.start().unwrap();
    sandbox.wait_until("the refusal is shown", PATIENCE, |sandbox| {
        sandbox.get("/readyz").1.contains("Kafka refuses this node since")
    });
    let (status, body) = sandbox.get("/readyz");
    assert_eq!(status, 200, "events are taken all the same: {body}");
    assert!(body.contains("topic events has 4 partitions, 2 were asked for"), "{body}");
    assert!(body.contains("see `topics.events`"), "{body}");
    assert!(sandbox.log().contains("kafka refuses this node"), "{}", sandbox.log());
    post(&sandbox, 10..20);
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());

    // With Kafka there, the same is a refusal at the start.
    let config = sandbox.data().with_file_name("millstream.yaml");
    let config = config.to_str().unwrap();
    let free = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let refused = sandbox.run(&[&["run", "-c", config][..], &free].concat());
    assert_eq!(refused.code, 78, "{}", refused.stderr);
    assert!(refused.stderr.contains("2 were asked for"), "{}", refused.stderr);
}
