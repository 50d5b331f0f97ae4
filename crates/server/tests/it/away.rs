//! A node that is started while Kafka is away, or that Kafka leaves: it takes events, says so, and
//! forwards them when Kafka is there.

use std::path::Path;
use std::time::Duration;

use millstream_testkit::kafka::{Cluster, Config, Kafka};
use serde_json::Value;

use crate::quickstart::{QUICKSTART, kafka_and_lake};
use crate::refused::tool;
use crate::sandbox::{Sandbox, TEMPORARY, alone};

/// How long what waits may take to arrive; only a hang takes as long.
const PATIENCE: Duration = Duration::from_secs(300);

/// The exit code that says that something needed is not there.
const UNAVAILABLE: i32 = 69;

/// The quickstart on Kafka, which notices soon that nobody answers.
fn config(cluster: &Cluster, lake: &Path) -> String {
    config_with(cluster, lake, "2 s")
}

/// The quickstart on Kafka, whose requests may take so long.
fn config_with(cluster: &Cluster, lake: &Path, request_time_max: &str) -> String {
    let time_max = format!("  request_time_max: {request_time_max}");
    format!("{QUICKSTART}{}", kafka_and_lake(&cluster.bootstrap(), lake, &time_max))
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

#[test]
fn a_node_takes_events_before_a_request_to_a_cluster_that_is_away_has_timed_out() {
    let _alone = alone();
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let mut cluster = kafka.start(&Config::default()).unwrap();
    cluster.broker(0).stop().unwrap();
    let lake = tempfile::tempdir().unwrap();
    // Longer than anybody waits here for a node that starts.
    let mut sandbox = Sandbox::with_config(&config_with(&cluster, lake.path(), "300 s"));
    sandbox.start();
    post(&sandbox, 0..20);
    let (status, body) = sandbox.get("/readyz");
    assert_eq!(status, 200, "events should be sent here: {body}");
    assert!(body.contains("Kafka is away since") && body.contains("no broker answers"), "{body}");
    sandbox.wait_until("it says what it does", PATIENCE, |sandbox| {
        let log = sandbox.log();
        log.contains("until Kafka has them") && log.contains("away: events are kept in the spool")
    });

    cluster.start().unwrap();
    sandbox.wait_until("20 rows", PATIENCE, |sandbox| sandbox.row_count() >= 20);
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
}

#[test]
fn a_node_that_kafka_leaves_says_so_once_and_names_a_topic_that_is_gone() {
    let _alone = alone();
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let mut cluster = kafka.start(&Config::default()).unwrap();
    let lake = tempfile::tempdir().unwrap();
    let mut sandbox = Sandbox::with_config(&config(&cluster, lake.path()));
    sandbox.start();
    post(&sandbox, 0..20);
    sandbox.wait_until("20 rows", PATIENCE, |sandbox| sandbox.row_count() >= 20);

    cluster.broker(0).stop().unwrap();
    sandbox.wait_until("it says that Kafka is away", PATIENCE, |sandbox| {
        sandbox.get("/readyz").1.contains("Kafka is away since")
    });
    post(&sandbox, 20..40);
    let (status, body) = sandbox.get("/readyz");
    assert_eq!(status, 200, "events should be sent here: {body}");
    assert_eq!(body.lines().count(), 2, "one line says it for all tasks: {body}");
    assert!(body.contains("Connection refused"), "what is wrong is not told: {body}");
    cluster.start().unwrap();
    sandbox.wait_until("it says that Kafka is there", PATIENCE, |sandbox| {
        !sandbox.get("/readyz").1.contains("away")
    });
    assert_eq!(sandbox.log().matches("kafka is away").count(), 1, "{}", sandbox.log());
    sandbox.wait_until("40 rows", PATIENCE, |sandbox| sandbox.row_count() >= 40);

    let line = format!("brokers: \"{}\"", cluster.bootstrap());
    let delete = ["--topic", "events-clean", "--delete"];
    tool(&kafka, &line, "org.apache.kafka.tools.TopicCommand", &delete);
    sandbox.wait_until("it names the topic that is gone", PATIENCE, |sandbox| {
        sandbox.get("/readyz").1.contains("missing: topic events-clean is not in Kafka any more")
    });
    let (_, body) = sandbox.get("/readyz");
    assert_eq!(body.matches("missing: topic").count(), 1, "the others are there: {body}");
    sandbox.restart();
    assert!(!sandbox.get("/readyz").1.contains("missing:"), "{}", sandbox.get("/readyz").1);
    sandbox.wait_until("the sink says how to go on", PATIENCE, |sandbox| {
        sandbox.get("/readyz").1.contains("millstream tasks reset")
    });
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
}
