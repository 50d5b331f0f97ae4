//! A pipeline and a sink that come when a part of their topics is gone already.

use std::time::Duration;

use serde_json::{Value, json};

use crate::quickstart::on_small_log;
use crate::sandbox::Sandbox;

/// How long retention may take; only a hang takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Small segments that go as soon as everybody has read them.
const LOG: &str = "\
log:
  bytes_max: 8 MiB
  segment_bytes_max: 64 KiB
  group_bytes_max: 32 KiB
  batch_bytes_max: 32 KiB
  transaction_bytes_max: 64 KiB
  reserve_bytes: 64 KiB
  disk_free_min: 1 MiB
  retention: 0 s
  retention_interval: 10 ms
";

/// A second pipeline with its sink, and another sink in the place of the first.
const LATE_TOPICS: &str = "  late-clean: { partitions: 2 }\n";
const LATE_PIPELINE: &str = "  late:
    from: events
    steps:
      - require: [user_id]
    to: late-clean
    dead_letters: events-dead
";
const LATE_SINKS: &str = "  again:
    from: events-clean
    table: again
    commit_interval: 100 ms
    columns:
      - { name: message_id, type: string }
  late:
    from: late-clean
    table: late
    commit_interval: 100 ms
    columns:
      - { name: message_id, type: string }
";

fn configuration(is_late: bool) -> String {
    let config = on_small_log(LOG, "16 KiB");
    if !is_late {
        return config.replace("commit_interval: 1 s", "commit_interval: 100 ms");
    }
    let (config, _sinks) = config.split_once("\nsinks:\n").unwrap();
    let config = config.replace("\npipelines:\n", &format!("{LATE_TOPICS}\npipelines:\n"));
    format!("{config}{LATE_PIPELINE}\nsinks:\n{LATE_SINKS}")
}

/// Posts requests of ten events each; one of the ten is bad.
fn post(sandbox: &Sandbox, requests: std::ops::Range<usize>) {
    for request in requests {
        let event = |number: usize| {
            let mut event = json!({ "message_id": format!("{request}-{number}"), "event": "view",
                "timestamp": "2026-11-22 10:11:12", "properties": { "filler": "x".repeat(900) } });
            if number > 0 {
                event["user_id"] = json!(format!("u{request}-{number}"));
            }
            event
        };
        let body = Value::Array((0..10).map(event).collect()).to_string();
        let (status, answer) = sandbox.post(&body);
        assert_eq!(status, 200, "{answer}");
    }
}

/// Returns how many records of a topic are gone.
fn gone(sandbox: &Sandbox, topic: &str) -> u64 {
    let status: Value = serde_json::from_str(&sandbox.get("/api/v1/status").1).unwrap();
    let topics = status["topics"].as_array().unwrap();
    let topic = topics.iter().find(|row| row["name"] == topic).unwrap();
    topic["partitions"].as_array().unwrap().iter().map(|row| row["start"].as_u64().unwrap()).sum()
}

fn count(sandbox: &Sandbox, table: &str) -> u64 {
    let rows = sandbox.query(&format!("SELECT count(*) AS n FROM {table}"));
    rows[0]["n"].as_u64().unwrap()
}

#[test]
fn a_pipeline_and_a_sink_that_come_late_answer_for_what_was_left() {
    let mut sandbox = Sandbox::with_config(&configuration(false));
    sandbox.start();
    post(&sandbox, 0..40);
    sandbox.settle();
    sandbox.wait_until("a part of both topics is gone", PATIENCE, |sandbox| {
        gone(sandbox, "events") > 0 && gone(sandbox, "events-clean") > 0
    });
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());

    let file = sandbox.data().parent().unwrap().join("millstream.yaml");
    std::fs::write(file, configuration(true)).unwrap();
    sandbox.start();
    sandbox.settle();
    post(&sandbox, 40..60);
    sandbox.settle();
    let beside = sandbox.run(&["reconcile", "--deep", "--format", "json"]);
    assert_eq!(beside.code, 0, "{}{}", beside.stdout, beside.stderr);
    let books = beside.json();
    let line = |sink: &str| {
        let lines = books["books"].as_array().unwrap();
        let line = lines.iter().find(|line| line["sink"] == sink).unwrap();
        let of = |key: &str| line[key].as_u64().unwrap();
        assert_eq!(of("accepted"), 600, "{line}");
        (of("stored"), of("dead_lettered"), of("before"))
    };
    let (stored, dead_lettered, before) = line("again");
    assert!(before > 0 && stored >= 180, "{books}");
    assert_eq!((stored + before, dead_lettered), (540, 60));
    assert_eq!(count(&sandbox, "again"), stored);
    let (stored, dead_lettered, before) = line("late");
    assert!(before > 0 && stored >= 180 && dead_lettered >= 20, "{books}");
    assert_eq!(stored + dead_lettered + before, 600);
    assert_eq!(count(&sandbox, "late"), stored);

    let text = sandbox.run(&["reconcile"]).stdout;
    assert!(text.contains("in flight + before it began: 600 = 600"), "{text}");
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
    let without = sandbox.run(&["reconcile", "--deep", "--format", "json"]);
    assert_eq!(beside.stdout, without.stdout);
}
