//! The collector's spool on another Kafka than the one that it forwarded to. Kafka away and a
//! collector's disk wiped: `disturb/outage.rs`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use millstream_testkit::kafka::{Cluster, Config, Kafka};
use serde_json::json;

use crate::quickstart::{QUICKSTART, kafka_and_lake, routed_by_user};
use crate::sandbox::{Output, Sandbox, alone};

/// How long what waits may take to arrive; only a hang takes as long.
const PATIENCE: Duration = Duration::from_secs(300);

/// The quickstart on Kafka, routed by user, with tables that outlive the collector's disk.
fn config(cluster: &Cluster, lake: &Path) -> String {
    let on_kafka = kafka_and_lake(&cluster.bootstrap(), lake, "");
    let spool = "spool: { keep: 1 h, register_interval: 200 ms }";
    format!("{}{on_kafka}{spool}\n", routed_by_user())
}

#[test]
fn another_cluster_is_refused_until_a_replay_is_allowed() {
    let _alone = alone();
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let clusters = [(); 2].map(|()| kafka.start(&Config::default()).unwrap());
    let lake = tempfile::tempdir().unwrap();
    let [before, after] = [&clusters[0], &clusters[1]].map(|cluster| config(cluster, lake.path()));
    let mut sandbox = Sandbox::with_config(&before).with_args(&["--roles", "collector"]);
    sandbox.start();
    for user in 0..40 {
        let event = format!(r#"{{"event":"e","user_id":"u{user}"}}"#);
        assert_eq!(sandbox.post(&event).0, 200);
    }
    let forwarded = |sandbox: &Sandbox| -> u64 {
        let tasks = sandbox.spool_tasks();
        tasks.iter().filter_map(|task| task["counts"]["written"].as_u64()).sum()
    };
    sandbox.wait_until("40 are forwarded", PATIENCE, |sandbox| forwarded(sandbox) == 40);
    let books = |sandbox: &Sandbox| sandbox.run(&["reconcile", "--format", "json"]).json();
    // The books of a sink are drawn up where its table is; the topics are seen from everywhere.
    let stored = |sandbox: &Sandbox| -> u64 {
        let topic = sandbox.run(&["topics", "events", "--format", "json"]).json();
        let partitions = topic["partitions"].as_array().expect("a topic has partitions");
        partitions.iter().filter_map(|partition| partition["end"].as_u64()).sum()
    };
    let line = |accepted: u64, forwarded: u64, waiting: u64| {
        json!({
            "accepted": accepted, "forwarded": forwarded, "refused": 0, "waiting": waiting,
            "before": 0,
        })
    };
    sandbox.wait_until("the journal knows it", PATIENCE, |sandbox| {
        books(sandbox)["spool"] == line(40, 40, 0)
    });
    assert!(stored(&sandbox) >= 40, "{}", sandbox.log());
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());

    // A cluster that knows nothing of what this journal has forwarded.
    fs::write(sandbox.data().with_file_name("millstream.yaml"), after).unwrap();
    sandbox.start();
    sandbox.wait_until("the spool refuses", PATIENCE, |sandbox| {
        let tasks = sandbox.spool_tasks();
        tasks.len() == 4 && tasks.iter().all(|task| task["state"] == "failed")
    });
    assert_eq!(sandbox.post(r#"{"event":"e","user_id":"u0"}"#).0, 200);
    let found = books(&sandbox);
    assert_eq!(found["spool"], line(41, 40, 1));
    assert_eq!(stored(&sandbox), 0, "Kafka has none of them");
    let (status, reasons) = sandbox.get("/readyz");
    assert_eq!(status, 503, "{reasons}");
    assert!(reasons.contains("millstream spool replay"), "{reasons}");
    sandbox.kill();

    let allowed = replay(&sandbox);
    assert_eq!(allowed.code, 0, "{}", allowed.stderr);
    assert_eq!(allowed.stdout.matches("goes on at offset 0").count(), 4, "{}", allowed.stdout);
    sandbox.start();
    sandbox.wait_until("41 are forwarded again", PATIENCE, |sandbox| forwarded(sandbox) == 41);
    assert_eq!(sandbox.get("/readyz").0, 200);
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
}

/// How many rows the table has, and no event twice.
fn wait_for_rows(sandbox: &Sandbox, count: u64) {
    let sql = "SELECT count(*) AS n, count(DISTINCT message_id) AS ids FROM events";
    sandbox.wait_until(&format!("{count} rows"), PATIENCE, |sandbox| {
        sandbox.row_count() as u64 >= count
    });
    let rows = sandbox.query(sql);
    assert_eq!((rows[0]["n"].as_u64(), rows[0]["ids"].as_u64()), (Some(count), Some(count)));
}

/// Lets a node accept events while Kafka is away, ends it, and lets Kafka come back.
fn accept_and_die(sandbox: &mut Sandbox, cluster: &mut Cluster, ids: std::ops::Range<u64>) {
    cluster.broker(0).kill().unwrap();
    for id in ids {
        let event = format!(
            r#"{{"message_id":"m{id}","event":"e","user_id":"u{id}",
            "timestamp":"2026-11-22T10:11:12Z"}}"#
        );
        let (status, body) = sandbox.post(&event);
        assert_eq!(status, 200, "{body}");
    }
    sandbox.kill();
    cluster.start().unwrap();
}

#[test]
fn what_a_spool_holds_is_forwarded_whatever_the_node_is_asked_to_do_next() {
    let _alone = alone();
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let mut cluster = kafka.start(&Config::default()).unwrap();
    let lake = tempfile::tempdir().unwrap();
    let config = config(&cluster, lake.path());
    let mut sandbox = Sandbox::with_config(&config);
    sandbox.start();
    accept_and_die(&mut sandbox, &mut cluster, 0..20);

    // The collector is given another topic.
    let pipeline = "\npipelines:\n  incoming:\n    from: incoming\n    \
                    steps: [{ timestamp: timestamp }]\n    to: events-clean\n    \
                    dead_letters: incoming-dead\n";
    let topics = "\ntopics:\n  incoming: { partitions: 4 }\n  incoming-dead: { partitions: 1 }\n";
    let moved = config
        .replace("  topic: events\n", "  topic: incoming\n")
        .replace("\ntopics:\n", topics)
        .replace("\npipelines:\n", pipeline);
    fs::write(sandbox.data().with_file_name("millstream.yaml"), &moved).unwrap();
    sandbox.start();
    wait_for_rows(&sandbox, 20);
    sandbox.wait_until("the node is ready", PATIENCE, |sandbox| sandbox.get("/readyz").0 == 200);
    accept_and_die(&mut sandbox, &mut cluster, 20..40);

    // It answers only when Kafka has the events.
    let replicated = moved.replace("durability: fsync", "durability: replicated");
    let (replicated, _spool) = replicated.split_once("spool: {").unwrap();
    assert!(replicated.contains("durability: replicated"));
    fs::write(sandbox.data().with_file_name("millstream.yaml"), replicated).unwrap();
    sandbox.start();
    sandbox.wait_until("the spool shows what it forwards", PATIENCE, |sandbox| {
        let of_incoming = |task: &serde_json::Value| {
            task["task"].as_str().is_some_and(|id| id.starts_with("millstream.spool.incoming."))
        };
        sandbox.spool_tasks().iter().any(of_incoming)
    });
    wait_for_rows(&sandbox, 40);
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());

    // Nothing is left: no task, and nothing comes a second time.
    sandbox.start();
    wait_for_rows(&sandbox, 40);
    assert!(sandbox.spool_tasks().is_empty(), "{:?}", sandbox.spool_tasks());
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
}

#[test]
fn a_journal_that_was_a_log_of_its_own_is_no_spool() {
    let mut sandbox = Sandbox::with_config(QUICKSTART);
    sandbox.start();
    let event = r#"{"event":"e","user_id":"u","timestamp":"2026-11-22T10:11:12Z"}"#;
    assert_eq!(sandbox.post(event).0, 200);
    sandbox.settle();
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
    let file = sandbox.data().with_file_name("millstream.yaml");
    // Nobody listens there: it is refused before anything is asked of Kafka.
    let on_kafka = format!("{QUICKSTART}\nkafka: {{ brokers: \"127.0.0.1:1\" }}\n");
    fs::write(&file, on_kafka).unwrap();
    for roles in ["collector,clean,sink", "clean,sink"] {
        let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let run = ["run", "-c", file.to_str().unwrap(), "--roles", roles];
        let output = sandbox.run(&[run.as_slice(), ports.as_slice()].concat());
        assert_eq!(output.code, 78, "{}", output.stderr);
        assert!(output.stderr.contains("was a log of its own"), "{}", output.stderr);
        assert!(output.stderr.contains("--data"), "{}", output.stderr);
    }
    assert_eq!(replay(&sandbox).code, 78);
    fs::write(&file, QUICKSTART).unwrap();
    sandbox.start();
    assert_eq!(sandbox.row_count(), 1);
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
}

/// Runs `spool replay` on the sandbox's own configuration.
pub(crate) fn replay(sandbox: &Sandbox) -> Output {
    let config = sandbox.data().with_file_name("millstream.yaml");
    sandbox.run(&["spool", "replay", "-c", config.to_str().unwrap()])
}
