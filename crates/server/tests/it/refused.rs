//! A log taken back under a table, a topic created anew, a table set back under its log: refused with
//! the reason and the remedy, and after the remedy everything goes on.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use millstream_testkit::kafka::{Cluster, Config, Kafka};
use serde_json::{Value, json};

use crate::kill::readers::Readers;
use crate::on_kafka::kafka_line;
use crate::quickstart::changed;
use crate::sandbox::{Output, Sandbox, alone};

/// How long what waits may take to arrive; only a hang takes as long.
const PATIENCE: Duration = Duration::from_secs(120);

/// The quickstart on Kafka without a spool: the collector answers when Kafka has the events.
fn config(kafka_line: &str) -> String {
    format!("{}\n{kafka_line}", changed("durability: fsync ", "durability: replicated "))
}

/// Posts events with the message ids of a range.
fn post(sandbox: &Sandbox, ids: std::ops::Range<u64>) {
    let event = |id: u64| {
        json!({ "message_id": format!("m{id:06}"), "event": "e", "user_id": format!("u{id}"),
            "timestamp": 1_795_000_000_000_u64 + id })
    };
    let batch: Vec<Value> = ids.map(event).collect();
    let body = Value::Array(batch).to_string();
    // Of a topic that was created anew the producer has yet to hear.
    sandbox.wait_until("the events are taken", PATIENCE, |sandbox| sandbox.post(&body).0 == 200);
}

/// Returns how many rows there are, and how many message ids.
fn counts(sandbox: &Sandbox) -> (u64, u64) {
    let sql = "SELECT count(*) AS n, count(DISTINCT message_id) AS ids FROM events";
    let output = sandbox.run(&["query", "--format", "json", sql]);
    let rows: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
    (rows[0]["n"].as_u64().unwrap_or(0), rows[0]["ids"].as_u64().unwrap_or(0))
}

fn wait_for(sandbox: &Sandbox, rows: u64, ids: u64) {
    let what = format!("{rows} rows with {ids} message ids");
    sandbox.wait_until(&what, PATIENCE, |sandbox| counts(sandbox) >= (rows, ids));
    assert_eq!(counts(sandbox), (rows, ids));
}

/// Waits until the node is not ready, and says why and what helps.
fn wait_for_refusal(sandbox: &Sandbox, why: &str) {
    sandbox.wait_until(&format!("refused: {why}"), PATIENCE, |sandbox| {
        let (status, reasons) = sandbox.get("/readyz");
        status == 503 && reasons.contains(why) && reasons.contains("millstream tasks reset")
    });
}

/// Waits until the books balance and nothing is in flight.
fn wait_for_books(sandbox: &Sandbox) {
    sandbox.wait_until("the books balance", PATIENCE, |sandbox| {
        let output = sandbox.run(&["reconcile", "--format", "json"]);
        let books: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        books["balanced"] == true && books["books"][0]["in_flight"] == 0
    });
}

/// Asks for the books, which do not balance, and say why and what helps.
fn assert_books_say_created_anew(sandbox: &Sandbox, task: &str) {
    let books = sandbox.run(&["reconcile"]);
    assert_eq!(books.code, 1, "{}{}", books.stdout, books.stderr);
    let mut lines = books.stdout.lines();
    let cause = lines.find(|line| line.contains(task) && line.contains("created anew"));
    assert!(cause.is_some_and(|cause| cause.contains("tasks reset")), "{}", books.stdout);
}

fn reset(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    let config = sandbox.data().with_file_name("millstream.yaml");
    let mut all = vec!["tasks", "reset", "-c", config.to_str().unwrap()];
    all.extend(arguments);
    sandbox.run(&all)
}

/// Resets first for show, then for good.
fn reset_after_a_dry_run(sandbox: &Sandbox, arguments: &[&str]) -> Output {
    let mut dry = arguments.to_vec();
    dry.push("--dry-run");
    let shown = reset(sandbox, &dry);
    assert_eq!(shown.code, 0, "{}{}", shown.stdout, shown.stderr);
    assert!(shown.stdout.contains("nothing was changed"), "{}", shown.stdout);
    let done = reset(sandbox, arguments);
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    // What the dry run showed still stood there to be done.
    assert!(shown.stdout.starts_with(&done.stdout), "{} / {}", shown.stdout, done.stdout);
    let again = reset(sandbox, arguments);
    assert!(again.stdout.contains("nothing is to be reset"), "{}{}", again.stdout, again.stderr);
    done
}

/// Stops the node in order.
fn stop(sandbox: &mut Sandbox) {
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
}

/// Deletes a topic and makes it again with as many partitions, behind everybody's back.
fn create_anew(kafka: &Kafka, line: &str, topic: &str) {
    tool(kafka, line, "org.apache.kafka.tools.TopicCommand", &["--topic", topic, "--delete"]);
    // As large as the records that may be sent.
    let create = ["--create", "--partitions", "4", "--config", "max.message.bytes=2000000"];
    let create: Vec<&str> = ["--topic", topic].into_iter().chain(create).collect();
    tool(kafka, line, "org.apache.kafka.tools.TopicCommand", &create);
}

/// Runs a program of Kafka's on the brokers of a configuration's line.
pub(crate) fn tool(kafka: &Kafka, line: &str, class: &str, arguments: &[&str]) {
    let brokers = line.split('"').nth(1).unwrap();
    let mut tool = kafka.tool(class);
    let output = tool.args(["--bootstrap-server", brokers]).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// Does something to the table, as its user might; returns what that printed.
fn set_back(readers: &Readers, sandbox: &Sandbox, action: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/set_back.py");
    let mut command = Command::new(readers.python());
    command.arg(script).arg(sandbox.data().join("lake")).arg("events").args(action);
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{action:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_topic_created_anew_is_refused_and_read_from_its_beginning_after_a_reset() {
    let _alone = alone();
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let Some(line) = kafka_line("anew") else { return };
    let mut sandbox = Sandbox::with_config(&config(&line));
    sandbox.start();
    post(&sandbox, 0..20);
    wait_for(&sandbox, 20, 20);

    // Under the node that runs, then under the node that starts.
    create_anew(&kafka, &line, "anew-events-clean");
    wait_for_refusal(&sandbox, "created anew");
    post(&sandbox, 20..40);
    stop(&mut sandbox);
    sandbox.start();
    wait_for_refusal(&sandbox, "created anew");
    assert_eq!(counts(&sandbox), (20, 20), "nothing of it is stored");
    assert_books_say_created_anew(&sandbox, "events.sink.");
    let refused = reset(&sandbox, &["--sink", "events", "--from", "beginning"]);
    assert_eq!(refused.code, 75, "a node runs: {}{}", refused.stdout, refused.stderr);
    stop(&mut sandbox);
    reset_after_a_dry_run(&sandbox, &["--sink", "events", "--from", "beginning"]);
    sandbox.start();
    wait_for(&sandbox, 40, 40);
    wait_for_books(&sandbox);

    // The same for the topic that a pipeline reads, while no node runs.
    stop(&mut sandbox);
    create_anew(&kafka, &line, "anew-events");
    sandbox.start();
    wait_for_refusal(&sandbox, "created anew");
    post(&sandbox, 40..60);
    assert_eq!(counts(&sandbox), (40, 40), "nothing of it is cleaned");
    assert_books_say_created_anew(&sandbox, "events.clean.");
    stop(&mut sandbox);
    let none = reset(&sandbox, &["--pipeline", "event", "--from", "beginning"]);
    assert_eq!(none.code, 64, "{}", none.stderr);
    reset_after_a_dry_run(&sandbox, &["--pipeline", "events", "--from", "beginning"]);
    sandbox.start();
    wait_for(&sandbox, 60, 60);
    wait_for_books(&sandbox);
    stop(&mut sandbox);
}

#[test]
fn a_table_set_back_is_refused_and_what_it_lost_is_stored_again_after_a_reset() {
    let _alone = alone();
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let (Some(line), Some(readers)) = (kafka_line("back"), Readers::install()) else { return };
    let mut sandbox = Sandbox::with_config(&config(&line));
    sandbox.start();
    post(&sandbox, 0..20);
    wait_for(&sandbox, 20, 20);
    wait_for_books(&sandbox);
    let older = set_back(&readers, &sandbox, &["show"]);
    let (snapshot, location) = older.trim().split_once(' ').unwrap();
    post(&sandbox, 20..40);
    wait_for(&sandbox, 40, 40);

    // By a user who makes an older snapshot the current one, under the node that runs.
    set_back(&readers, &sandbox, &["snapshot", snapshot]);
    post(&sandbox, 40..60);
    wait_for_refusal(&sandbox, "was rolled back");
    let books = sandbox.run(&["reconcile"]);
    assert_ne!(books.code, 0, "{}", books.stdout);
    let said = format!("{}{}", books.stdout, books.stderr);
    assert!(said.contains("rolled back"), "the books do not say it: {said}");
    stop(&mut sandbox);
    reset_after_a_dry_run(&sandbox, &["--sink", "events", "--from", "table"]);
    sandbox.start();
    wait_for(&sandbox, 60, 60);
    wait_for_books(&sandbox);

    // By a catalog that is restored from a backup, under the node that starts.
    stop(&mut sandbox);
    set_back(&readers, &sandbox, &["catalog", location]);
    sandbox.start();
    wait_for_refusal(&sandbox, "set back to an older snapshot");
    let books = sandbox.run(&["reconcile"]);
    assert_eq!(books.code, 1, "the books do not say it: {}{}", books.stdout, books.stderr);
    post(&sandbox, 60..80);
    sandbox.wait_until("all of it is clean", PATIENCE, |sandbox| {
        let (_, body) = sandbox.get("/api/v1/lag");
        let rows: Vec<Value> = serde_json::from_str(&body).unwrap_or_default();
        let mut clean = rows.iter().filter(|row| row["role"] == "clean").peekable();
        clean.peek().is_some() && clean.all(|row| row["lag"] == 0)
    });
    assert_eq!(counts(&sandbox), (20, 20), "nothing is stored behind the gap");

    // And the log does not have any more what the table lost.
    stop(&mut sandbox);
    let offsets =
        |partition| json!({ "topic": "back-events-clean", "partition": partition, "offset": -1 });
    let all: Vec<Value> = (0..4).map(offsets).collect();
    let file = sandbox.data().with_file_name("delete.json");
    fs::write(&file, json!({ "partitions": all, "version": 1 }).to_string()).unwrap();
    let arguments = ["--offset-json-file", file.to_str().unwrap()];
    tool(&kafka, &line, "org.apache.kafka.tools.DeleteRecordsCommand", &arguments);
    let refused = reset(&sandbox, &["--sink", "events", "--from", "table"]);
    assert_eq!(refused.code, 65, "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stderr.contains("--from beginning"), "no remedy: {}", refused.stderr);
    let done = reset_after_a_dry_run(&sandbox, &["--sink", "events", "--from", "beginning"]);
    assert!(!done.stdout.contains(": 0 offsets skipped"), "the gap is not named: {}", done.stdout);
    sandbox.start();
    post(&sandbox, 80..100);
    wait_for(&sandbox, 40, 40);
    stop(&mut sandbox);
}

/// Ends a cluster in order and starts it again, after something was done to its files.
fn restart(cluster: &mut Cluster, between: impl FnOnce(&mut Cluster)) {
    cluster.broker(0).stop().unwrap();
    between(cluster);
    cluster.start().unwrap();
}

#[test]
fn a_log_taken_back_under_a_table_is_refused_also_when_it_has_grown_past_it() {
    let _alone = alone();
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let mut cluster = kafka.start(&Config::default()).unwrap();
    let line = format!("kafka: {{ brokers: \"{}\" }}\n", cluster.bootstrap());
    let mut sandbox = Sandbox::with_config(&config(&line));
    sandbox.start();
    post(&sandbox, 0..20);
    wait_for(&sandbox, 20, 20);
    stop(&mut sandbox);
    restart(&mut cluster, |cluster| cluster.backup().unwrap());
    sandbox.start();
    post(&sandbox, 20..40);
    wait_for(&sandbox, 40, 40);
    stop(&mut sandbox);

    restart(&mut cluster, |cluster| cluster.restore().unwrap());
    // What tells two histories apart is the leader epoch, which grows with each start: one more than
    // the history had that is lost.
    restart(&mut cluster, |_| {});
    sandbox.start();
    wait_for_refusal(&sandbox, "restored from an older state");
    // It grows past where the table stands, with other records.
    post(&sandbox, 40..120);
    let pipelines_are_done = |sandbox: &Sandbox| {
        let (_, status) = sandbox.get("/api/v1/status");
        let status: Value = serde_json::from_str(&status).unwrap_or_default();
        let tasks = status["tasks"].as_array().cloned().unwrap_or_default();
        let clean = tasks
            .iter()
            .filter(|task| task["task"].as_str().is_some_and(|name| name.contains(".clean.")));
        clean.map(|task| task["counts"]["written"].as_u64().unwrap_or(0)).sum::<u64>() == 100
    };
    sandbox.wait_until("100 are cleaned", PATIENCE, pipelines_are_done);
    stop(&mut sandbox);
    sandbox.start();
    wait_for_refusal(&sandbox, "restored from an older state");
    assert_eq!(counts(&sandbox), (40, 40), "nothing of it is stored, nothing skipped");

    stop(&mut sandbox);
    let done = reset_after_a_dry_run(&sandbox, &["--sink", "events", "--from", "beginning"]);
    assert!(done.stdout.contains("read again"), "{}", done.stdout);
    sandbox.start();
    // The first twenty are in both: the choice was to skip nothing.
    wait_for(&sandbox, 140, 120);
    wait_for_books(&sandbox);
    stop(&mut sandbox);
}
