//! Nodes on a real Kafka: the same configuration as on the journal, one line apart.

use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use millstream_testkit::Availability;
use millstream_testkit::kafka::{Cluster, Config, Kafka};
use serde_json::{Value, json};

use crate::quickstart::{QUICKSTART, changed, rows};
use crate::sandbox::{Sandbox, alone};

/// How long events may take from the collector to the table; only a hang takes as long.
const PATIENCE: Duration = Duration::from_secs(90);

/// One cluster for the tests that do not disturb it.
static CLUSTER: LazyLock<Availability<Mutex<Cluster>>> = LazyLock::new(|| match Kafka::install() {
    Availability::Available(kafka) => kafka.start(&Config::default()).map(Mutex::new).into(),
    Availability::Missing(reason) => Availability::Missing(reason),
});

/// Returns the line that moves a configuration to Kafka, under a prefix of its own; `None`, and
/// says so, where there is no Kafka.
pub(crate) fn kafka_line(prefix: &str) -> Option<String> {
    let cluster = CLUSTER.as_ref().or_skip()?.lock().unwrap_or_else(|poison| poison.into_inner());
    let brokers = cluster.bootstrap();
    Some(format!("kafka: {{ brokers: \"{brokers}\", topic_prefix: \"{prefix}-\" }}\n"))
}

/// How many events one request carries.
const REQUEST_EVENTS: u64 = 100;

/// One event, the same wherever it is called: in every form of time, with and without a channel,
/// one in fifty without what it must have.
fn event(id: u64) -> Value {
    let timestamp = match id % 3 {
        0 => json!("2026-11-22T10:11:12.345+02:00"),
        1 => json!(1_795_000_000_000_u64 + id),
        _ => json!("2026-11-22 10:11:12"),
    };
    let channel = match id % 4 {
        0 => json!({ "channel": null, "price": id }),
        1 => json!({ "price": id }),
        _ => json!({ "channel": "web", "title": "Wollmütze \u{1f9e3}" }),
    };
    let mut event = json!({
        "message_id": format!("m{id:06}"), "event": "page_view", "timestamp": timestamp,
        "properties": channel, "context": { "app_version": "4.1.0", "os": "linux" },
        "bad_field": id,
    });
    if !id.is_multiple_of(50) {
        event["user_id"] = json!(format!("u{}", id % 97));
    }
    event
}

/// Posts the same events, good and bad, wherever it is called; returns how many are good.
fn post_samples(sandbox: &Sandbox, events: u64) -> usize {
    for first in (0..events).step_by(100) {
        let batch: Vec<Value> = (first..events.min(first + REQUEST_EVENTS)).map(event).collect();
        let (status, body) = sandbox.post(&Value::Array(batch).to_string());
        assert_eq!(status, 200, "{body}");
    }
    (0..events).filter(|id| !id.is_multiple_of(50)).count()
}

/// Compares two tables row by row, and shows the first difference.
fn assert_same(found: &[Value], expected: &[Value]) {
    assert_eq!(found.len(), expected.len(), "rows");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
}

fn wait_for_rows(sandbox: &Sandbox, count: usize) {
    sandbox.wait_until(&format!("{count} rows in the table"), PATIENCE, |sandbox| {
        sandbox.row_count() == count
    });
}

#[test]
fn the_same_configuration_fills_the_same_table_on_both_logs() {
    let _alone = alone();
    let Some(line) = kafka_line("same") else { return };
    let mut on_journal = Sandbox::with_config(QUICKSTART);
    on_journal.start();
    let good = post_samples(&on_journal, 3_000);
    on_journal.settle();
    let expected = rows(&on_journal);
    assert_eq!(expected.len(), good);

    let mut on_kafka = Sandbox::with_config(&format!("{QUICKSTART}\n{line}"));
    on_kafka.start();
    post_samples(&on_kafka, 3_000);
    wait_for_rows(&on_kafka, good);
    assert_same(&rows(&on_kafka), &expected);
    assert_eq!(on_kafka.stop(), 0, "{}", on_kafka.log());
    println!("both logs: compared {good} rows, column by column");
}

/// Runs a command that needs the table where it is not.
fn assert_table_is_elsewhere(node: &Sandbox, command: &[&str]) {
    let output = node.run(command);
    assert_eq!(output.code, 69, "{}{}", output.stdout, output.stderr);
    let lake = node.data().join("lake");
    for said in ["not here", lake.to_str().unwrap(), "the worker that has the sink role"] {
        assert!(output.stderr.contains(said), "{command:?}, no `{said}`: {}", output.stderr);
    }
    assert!(!output.stdout.contains("balanced"), "{}", output.stdout);
}

#[test]
fn workers_with_some_of_the_roles_do_the_whole_together() {
    let _alone = alone();
    let Some(line) = kafka_line("roles") else { return };
    let lake = tempfile::tempdir().unwrap();
    let lake_line = format!("lake: {{ path: \"{}\" }}\n", lake.path().display());
    let config = format!("{QUICKSTART}\n{line}{lake_line}");
    let apart = format!("{QUICKSTART}\n{line}");
    let node = |(roles, config)| Sandbox::with_config(config).with_args(&["--roles", roles]);
    let (config, apart) = (config.as_str(), apart.as_str());
    let mut nodes = [("collector", config), ("clean", apart), ("sink", config)].map(node);
    for node in &mut nodes {
        node.start();
    }
    let good = post_samples(&nodes[0], 500);
    wait_for_rows(&nodes[2], good);
    let ids: Vec<Value> = rows(&nodes[2]).iter().map(|row| row["message_id"].clone()).collect();
    let expected = (0..500).filter(|id| id % 50 != 0).map(|id| json!(format!("m{id:06}")));
    assert_same(&ids, &expected.collect::<Vec<_>>());

    // Who shares the tables has the books; who does not is told where they are.
    for node in [&nodes[0], &nodes[2]] {
        node.settle();
    }
    assert_table_is_elsewhere(&nodes[1], &["reconcile"]);
    assert_table_is_elsewhere(&nodes[1], &["query", "SELECT * FROM events"]);
    let books = nodes[1].run(&["reconcile", "--format", "json"]);
    assert_eq!((books.code, &books.json()["balanced"]), (69, &json!(false)), "{}", books.stdout);
    assert_eq!(books.json()["absent"][0]["registered"], good);
    for node in &mut nodes {
        assert_eq!(node.stop(), 0, "{}", node.log());
    }
}

#[test]
fn some_roles_are_refused_on_the_journal_with_the_way_out() {
    let sandbox = Sandbox::with_config(QUICKSTART);
    let config = sandbox.data().with_file_name("millstream.yaml");
    let output = sandbox.run(&["run", "-c", config.to_str().unwrap(), "--roles", "clean,sink"]);
    assert_eq!(output.code, 64, "{}", output.stderr);
    assert!(output.stderr.contains("embedded journal"), "{}", output.stderr);
    assert!(output.stderr.contains("`kafka`"), "{}", output.stderr);
}

/// Returns a configuration whose pipeline and sink have other names, and what else each says.
fn renamed(config: &str, [pipeline, sink]: [&str; 2]) -> String {
    let (of_pipeline, of_sink) = ("\npipelines:\n  events:\n", "\nsinks:\n  events:\n");
    assert!(config.contains(of_pipeline) && config.contains(of_sink));
    config
        .replace(of_pipeline, &format!("\npipelines:\n  cleaned:\n{pipeline}"))
        .replace(of_sink, &format!("\nsinks:\n  stored:\n{sink}"))
}

#[test]
fn a_rename_beside_a_worker_with_the_old_names_doubles_nothing() {
    let _alone = alone();
    let Some(line) = kafka_line("renamed") else { return };
    let lake = tempfile::tempdir().unwrap();
    let lake_line = format!("lake: {{ path: \"{}\" }}\n", lake.path().display());
    let config = format!("{QUICKSTART}\n{line}{lake_line}");
    let mut old = Sandbox::with_config(&config);
    old.start();
    let good = post_samples(&old, 300);
    wait_for_rows(&old, good);

    // A worker that never ran here cannot know the old names: the cluster and the table do.
    let from = "    renamed_from: events\n";
    for (said, refusal) in [
        (["", ""], "pipeline `cleaned` is new to this cluster, and pipeline `events`"),
        ([from, ""], "sink `stored` is new to table `events`, which sink `events`"),
    ] {
        let undeclared = Sandbox::with_config(&renamed(&config, said));
        let file = undeclared.data().with_file_name("millstream.yaml");
        let run = ["run", "-c", file.to_str().unwrap(), "--roles", "clean,sink"];
        let ports = ["--admin", "127.0.0.1:0"];
        let output = undeclared.run(&[run.as_slice(), ports.as_slice()].concat());
        assert_eq!(output.code, 78, "{}", output.stderr);
        assert!(output.stderr.contains(refusal), "{}", output.stderr);
        assert!(output.stderr.contains("renamed_from: events"), "{}", output.stderr);
    }

    let new = Sandbox::with_config(&renamed(&config, [from, from]));
    let mut new = new.with_args(&["--roles", "clean,sink"]);
    new.start();
    // Its collector goes on, and what it takes is there once. A task that has nothing to do does not
    // hear that it is fenced.
    let more = Value::Array((1_000..1_100).map(event).collect()).to_string();
    assert_eq!(old.post(&more).0, 200);
    old.wait_until("the worker with the old names is refused", PATIENCE, |old| {
        let (status, reasons) = old.get("/readyz");
        status == 503 && reasons.matches("goes on under another name").count() >= 4
    });
    let good = good + (1_000..1_100).filter(|id| id % 50 != 0).count();
    wait_for_rows(&new, good);
    let ids = new.query("SELECT count(DISTINCT message_id) AS ids FROM events");
    assert_eq!(ids[0]["ids"].as_u64(), Some(good as u64));
    assert_eq!(old.stop(), 0, "{}", old.log());
    assert_eq!(new.stop(), 0, "{}", new.log());
}

#[test]
fn a_collector_without_a_spool_is_not_ready_while_kafka_is_away() {
    let _alone = alone();
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let mut cluster = kafka.start(&Config::default()).unwrap();
    let section =
        format!("\nkafka:\n  brokers: \"{}\"\n  request_time_max: 2 s\n", cluster.bootstrap());
    let replicated = changed("  durability: fsync", "  durability: replicated");
    let config = format!("{replicated}{section}");
    let mut sandbox = Sandbox::with_config(&config).with_args(&["--roles", "collector"]);
    sandbox.start();
    let (status, body) = sandbox.get("/readyz");
    assert_eq!(status, 200, "{body}");
    cluster.broker(0).kill().unwrap();
    sandbox.wait_until("it says that Kafka is away", PATIENCE, |sandbox| {
        let (status, body) = sandbox.get("/readyz");
        status == 503 && body.contains("Kafka is away since")
    });
    cluster.start().unwrap();
    sandbox.wait_until("it is ready again", PATIENCE, |sandbox| sandbox.get("/readyz").0 == 200);
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
}
