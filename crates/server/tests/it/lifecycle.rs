//! The life of a node: post, clean, store, query, reconcile, restart; drain and refusal.

mod late;
mod renamed;

use std::net::TcpListener;
use std::thread;

use serde_json::{Value, json};

use crate::quickstart::changed;
use crate::sandbox::{Sandbox, binary, get, run_in};

/// Good and bad events, in every form that the quickstart understands.
fn mixed_events() -> Value {
    json!([
        { "message_id": "1", "event": "page_view", "user_id": "u1",
          "timestamp": "2026-11-22T10:11:12.345+02:00", "properties": { "channel": null },
          "context": { "app_version": "4.1.0" }, "bad_field": 1 },
        { "message_id": "2", "event": "purchase", "user_id": "u2", "timestamp": 1_795_000_000_000_u64,
          "properties": { "channel": "web" } },
        { "message_id": "3", "event": "page_view", "user_id": "u3",
          "timestamp": "2026-11-22 10:11:12" },
        { "message_id": "4", "event": "page_view", "timestamp": 0 },
        { "message_id": "5", "event": "page_view", "user_id": "u5", "timestamp": "yesterday" },
        { "message_id": "6", "event": 7, "user_id": "u6", "timestamp": 0 },
    ])
}

fn events(first: usize, count: usize) -> String {
    let event = |id: usize| {
        json!({ "message_id": format!("m{id}"), "event": "page_view", "user_id": format!("u{id}"),
                "timestamp": 1_795_000_000_000_u64 + id as u64 })
    };
    Value::Array((first..first + count).map(event).collect()).to_string()
}

fn stored(sandbox: &Sandbox) -> u64 {
    let books = sandbox.run(&["reconcile", "--format", "json"]).json();
    books["books"][0]["stored"].as_u64().unwrap()
}

#[test]
fn a_posted_event_becomes_one_clean_row_and_a_bad_one_a_dead_letter() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    let (status, body) = sandbox.post(&mixed_events().to_string());
    assert_eq!(status, 200, "{body}");
    sandbox.settle();

    let rows = sandbox.query(
        "SELECT message_id, event, channel, app_version, CAST(timestamp AS VARCHAR) AS t \
         FROM events ORDER BY message_id",
    );
    let cell = |row: usize, column: &str| rows[row][column].as_str().map(str::to_owned);
    assert_eq!(rows.as_array().unwrap().len(), 3, "{rows}");
    assert_eq!(cell(0, "channel").as_deref(), Some("unknown"));
    assert_eq!(cell(0, "app_version").as_deref(), Some("4.1.0"));
    assert_eq!(cell(1, "channel").as_deref(), Some("web"));
    assert_eq!(cell(2, "channel").as_deref(), Some("unknown"));
    assert!(cell(0, "t").unwrap().starts_with("2026-11-22T08:11:12.345"), "{rows}");
    assert!(cell(2, "t").unwrap().starts_with("2026-11-22T10:11:12"), "{rows}");

    let letters = sandbox.run(&["dlq", "--format", "json"]);
    let letters: Vec<Value> =
        letters.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut reasons: Vec<(&str, &str)> = letters
        .iter()
        .map(|letter| (letter["step"].as_str().unwrap(), letter["field"].as_str().unwrap()))
        .collect();
    reasons.sort_unstable();
    assert_eq!(
        reasons,
        [("1:require", "user_id"), ("3:timestamp", "timestamp"), ("6:schema", "event")]
    );

    let books = sandbox.run(&["reconcile", "--deep"]);
    assert_eq!(books.code, 0, "{}{}", books.stdout, books.stderr);
    assert!(books.stdout.contains("balanced"), "{}", books.stdout);
}

#[test]
fn after_a_restart_everything_is_still_there_once_and_goes_on() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    assert_eq!(sandbox.post(&events(0, 500)).0, 200);
    sandbox.restart();
    assert_eq!(sandbox.post(&events(500, 500)).0, 200);
    sandbox.settle();
    let rows = sandbox.query("SELECT count(*) AS n, count(DISTINCT message_id) AS ids FROM events");
    assert_eq!((rows[0]["n"].as_u64(), rows[0]["ids"].as_u64()), (Some(1000), Some(1000)));
}

#[test]
fn a_drained_node_leaves_nothing_half_done() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    let accepted: usize = thread::scope(|scope| {
        let sandbox = &sandbox;
        let clients = (0..4).map(|client| {
            scope.spawn(move || {
                let requests = (0..25).filter(|request| {
                    sandbox.post(&events(client * 1_000 + request * 20, 20)).0 == 200
                });
                requests.count() * 20
            })
        });
        clients.collect::<Vec<_>>().into_iter().map(|client| client.join().unwrap()).sum()
    });
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
    assert!(!sandbox.data().join("node.json").try_exists().unwrap());
    // What the drain left in the log is still on its way: the books say so, without a node.
    let books = sandbox.run(&["reconcile", "--format", "json"]);
    assert_eq!(books.code, 0, "{}{}", books.stdout, books.stderr);
    assert_eq!(books.json()["books"][0]["accepted"].as_u64(), Some(accepted as u64));

    sandbox.start();
    sandbox.settle();
    assert_eq!(stored(&sandbox), accepted as u64);
}

#[test]
fn a_killed_node_loses_nothing_that_it_acknowledged() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    for request in 0..10 {
        assert_eq!(sandbox.post(&events(request * 100, 100)).0, 200);
        if request % 3 == 0 {
            sandbox.kill();
            sandbox.start();
        }
    }
    sandbox.kill();
    sandbox.start();
    sandbox.settle();
    let rows = sandbox.query("SELECT count(*) AS n, count(DISTINCT message_id) AS ids FROM events");
    assert_eq!((rows[0]["n"].as_u64(), rows[0]["ids"].as_u64()), (Some(1000), Some(1000)));
    let books = sandbox.run(&["reconcile", "--deep"]);
    assert_eq!(books.code, 0, "{}", books.stdout);
}

#[test]
fn a_second_node_on_one_directory_is_refused() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    let second = sandbox.run(&["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    assert_eq!(second.code, 75, "{}", second.stderr);
    assert!(second.stderr.contains("another node runs on data directory"), "{}", second.stderr);
    assert_eq!(sandbox.post(&events(0, 1)).0, 200, "the first goes on");
}

#[test]
fn nodes_with_their_own_directories_and_ports_run_side_by_side() {
    let (mut first, mut second) = (Sandbox::new(), Sandbox::new());
    first.start();
    second.start();
    assert_eq!(first.post(&events(0, 3)).0, 200);
    assert_eq!(second.post(&events(0, 5)).0, 200);
    first.settle();
    second.settle();
    assert_eq!((stored(&first), stored(&second)), (3, 5));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let sandbox = Sandbox::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flags in [
        ["--listen", address.as_str(), "--admin", "127.0.0.1:0"],
        ["--admin", address.as_str(), "--listen", "127.0.0.1:0"],
    ] {
        let output = sandbox.run(&[&["run"], flags.as_slice()].concat());
        assert_eq!(output.code, 75, "{}", output.stderr);
        assert!(output.stderr.contains(&format!("listen on {address}")), "{}", output.stderr);
        assert!(output.stderr.contains(&format!("with {} ADDRESS", flags[0])), "{}", output.stderr);
    }
}

#[test]
fn health_metrics_and_status_are_served() {
    let mut sandbox = Sandbox::new();
    let node = sandbox.start();
    assert_eq!(sandbox.post(&events(0, 10)).0, 200);
    sandbox.settle();
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(sandbox.get(path).0, 200, "{path}");
        assert_eq!(get(node.collector, path).0, 200, "collector {path}");
    }
    let (_, metrics) = sandbox.get("/metrics");
    assert!(metrics.contains("# TYPE millstream_"), "{metrics}");
    assert!(metrics.contains("millstream_pipeline_sink_rows_total"), "{metrics}");

    let (_, status) = sandbox.get("/api/v1/status");
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["ready"], true, "{status}");
    let tasks = status["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 5, "{status}");
    assert!(tasks.iter().all(|task| task["lag"] == 0), "{status}");
    assert_eq!(sandbox.get("/nothing").0, 404);
}

#[test]
fn the_thread_whose_panic_ends_the_process_is_there_under_its_name() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    let threads = std::fs::read_dir(format!("/proc/{}/task", sandbox.pid())).unwrap();
    let names: Vec<String> = threads
        .filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")).ok())
        .collect();
    assert!(names.iter().any(|name| name.trim() == "journal"), "{names:?}");
}

#[test]
fn a_table_that_was_dropped_stops_its_sink_and_is_named() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    assert_eq!(sandbox.post(&events(0, 100)).0, 200);
    sandbox.settle();
    assert_eq!(sandbox.stop(), 0);
    std::fs::remove_dir_all(sandbox.data().join("lake")).unwrap();
    sandbox.start();
    let (status, reasons) = sandbox.get("/readyz");
    assert_eq!(status, 503, "{reasons}");
    assert!(reasons.contains("stuck: task millstream.events.sink"), "{reasons}");
    assert!(reasons.contains("its table was dropped"), "{reasons}");
    let (_, health) = sandbox.get("/healthz");
    let health: Value = serde_json::from_str(&health).unwrap();
    let stuck = health["tasks"].as_array().unwrap().iter().filter(|task| task["stuck"].is_object());
    assert_eq!(stuck.count(), 1, "{health}");
    assert_eq!(sandbox.post(&events(100, 1)).0, 200, "intake goes on: the log keeps it");
}

#[test]
fn the_books_balance_at_any_moment_while_events_come() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    thread::scope(|scope| {
        let sandbox = &sandbox;
        let posting = scope.spawn(move || {
            for request in 0..200 {
                assert_eq!(sandbox.post(&events(request * 100, 100)).0, 200);
            }
        });
        let mut looks = 0;
        while !posting.is_finished() || looks < 3 {
            let (status, books) = sandbox.get("/api/v1/reconcile");
            assert_eq!(status, 200, "{books}");
            let books: Value = serde_json::from_str(&books).unwrap();
            assert_eq!(books["balanced"], true, "{books}");
            looks += 1;
        }
        posting.join().unwrap();
    });
    sandbox.settle();
    assert_eq!(stored(&sandbox), 20_000);
}

#[test]
fn another_number_of_partitions_is_refused() {
    let config = |partitions: u32| {
        changed("events: { partitions: 4 }", &format!("events: {{ partitions: {partitions} }}"))
    };
    let mut sandbox = Sandbox::with_config(&config(4));
    sandbox.start();
    assert_eq!(sandbox.stop(), 0);
    std::fs::write(sandbox.data().join("../millstream.yaml"), config(3)).unwrap();
    let file = sandbox.data().join("../millstream.yaml");
    let output = sandbox.run(&[
        "run",
        "-c",
        file.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ]);
    assert_eq!(output.code, 78, "{}", output.stderr);
    assert!(
        output.stderr.contains("topic events has 4 partitions, 3 were asked for"),
        "{}",
        output.stderr
    );
}

#[test]
fn a_signal_before_the_node_is_ready_ends_it_in_order() {
    let mut sandbox = Sandbox::new();
    sandbox.start();
    sandbox.signal("INT");
    assert_eq!(sandbox.wait_for_end(std::time::Duration::from_secs(60)), Some(0));
    assert!(sandbox.log().contains("stopped"), "{}", sandbox.log());
}

#[test]
fn every_example_starts() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        if text.contains("\nkafka:") {
            // No cluster listens where it says; that it runs on one is proven elsewhere.
            let valid = run_in(path.parent().unwrap(), &["validate", "-c", path.to_str().unwrap()]);
            assert_eq!(valid.code, 0, "{}", valid.stderr);
            continue;
        }
        let mut sandbox = Sandbox::with_config(&text);
        sandbox.start();
        assert_eq!(sandbox.stop(), 0, "{}: {}", path.display(), sandbox.log());
    }
    // The binary itself needs no terminal and no home.
    let output = binary().env_clear().arg("--version").output().unwrap();
    assert!(output.status.success());
}
