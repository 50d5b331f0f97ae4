//! A node whose journal is full: it refuses, keeps what it took, and takes more once there is room.

use std::time::Duration;

use crate::quickstart::on_small_log;
use crate::sandbox::Sandbox;

/// How long a full node may take to drain; only a hang takes as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Far more requests than fit.
const REQUESTS_MAX: usize = 2_000;
/// A journal of 8 MiB in segments of 1 MiB.
const SMALL: &str = "\
log:
  bytes_max: 8 MiB
  segment_bytes_max: 1 MiB
  group_bytes_max: 512 KiB
  batch_bytes_max: 512 KiB
  transaction_bytes_max: 1 MiB
  reserve_bytes: 256 KiB
  disk_free_min: 1 MiB
";

#[test]
fn a_full_journal_refuses_until_its_backlog_has_drained_and_loses_nothing() {
    let mut sandbox = Sandbox::with_config(&configuration());
    sandbox.start();
    assert_eq!(sandbox.post(&batch(0)).0, 200);
    sandbox.settle();

    // Without its warehouse the sink cannot move on, and nothing it has not read can go.
    let warehouse = sandbox.data().join("lake/warehouse");
    let away = sandbox.data().join("warehouse.away");
    std::fs::rename(&warehouse, &away).unwrap();
    std::fs::write(&warehouse, "not a directory").unwrap();
    let (accepted, next) = post_until_full(&sandbox);

    std::fs::remove_file(&warehouse).unwrap();
    std::fs::rename(&away, &warehouse).unwrap();
    sandbox.wait_until("intake returns by itself", PATIENCE, |sandbox| {
        sandbox.post("[]").0 == 200 && sandbox.get("/readyz").0 == 200
    });
    assert_eq!(sandbox.post(&batch(next)).0, 200);
    sandbox.settle();
    let rows = sandbox.query("SELECT count(*) AS n, count(DISTINCT message_id) AS ids FROM events");
    let expected = (1 + accepted + 1) * EVENTS;
    println!("{expected} events through a full journal");
    assert_eq!(rows, serde_json::json!([{ "n": expected, "ids": expected }]));
}

#[test]
fn a_sink_that_left_the_configuration_is_named_where_it_fills_the_journal() {
    let whole = configuration();
    let mut sandbox = Sandbox::with_config(&whole);
    sandbox.start();
    assert_eq!(sandbox.post(&batch(0)).0, 200);
    sandbox.settle();
    assert_eq!(sandbox.stop(), 0);
    let (without_sinks, _) = whole.split_once("\nsinks:\n").unwrap();
    std::fs::write(sandbox.data().join("../millstream.yaml"), without_sinks).unwrap();
    sandbox.start();

    let held = "held: millstream.events.sink left the configuration and holds back";
    sandbox.wait_until("the orphan is named", PATIENCE, |sandbox| {
        let (status, reasons) = sandbox.get("/readyz");
        assert_eq!(status, 200, "{reasons}");
        reasons.contains(held)
    });
    post_until_full(&sandbox);
    sandbox.wait_until("readiness names the orphan", PATIENCE, |sandbox| {
        let (status, reasons) = sandbox.get("/readyz");
        status == 503 && reasons.contains("full: ") && reasons.contains(held)
    });
    let (status, refusal) = sandbox.post(&batch(REQUESTS_MAX));
    assert_eq!(status, 503, "{refusal}");
    assert!(refusal.contains("log_full") && refusal.contains(held), "{refusal}");
}

/// Events in one request.
const EVENTS: usize = 100;

/// Posts until a request is refused and the node says that it is not ready. Returns how many
/// requests were accepted and the number of the next.
fn post_until_full(sandbox: &Sandbox) -> (usize, usize) {
    let mut accepted = 0;
    for request in 1..REQUESTS_MAX {
        let (status, body) = sandbox.post(&batch(request));
        match status {
            200 => accepted += 1,
            // One refusal may come from a backlog that is cleaned in the next moment.
            503 if sandbox.get("/readyz").0 == 503 => return (accepted, request + 1),
            503 => {}
            _ => panic!("unexpected answer {status}: {body}"),
        }
    }
    panic!("{REQUESTS_MAX} requests did not fill 8 MiB");
}

fn batch(request: usize) -> String {
    let event = |number: usize| {
        serde_json::json!({
            "message_id": format!("{request}-{number}"),
            "event": "view",
            "user_id": "u",
            "timestamp": "2026-11-22 10:11:12",
            "properties": { "filler": "x".repeat(900) },
        })
    };
    serde_json::Value::Array((0..EVENTS).map(event).collect()).to_string()
}

/// Returns the quickstart's configuration with a small journal.
fn configuration() -> String {
    on_small_log(SMALL, "256 KiB").replace("commit_interval: 1 s", "commit_interval: 100 ms")
}
