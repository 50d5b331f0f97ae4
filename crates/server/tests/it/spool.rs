//! The collector's spool on a real Kafka: events are taken while Kafka is away, and each arrives
//! once, in order.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use millstream_testkit::kafka::{Cluster, Config, Kafka};
use serde_json::Value;
use tokio::time::Instant;

use crate::sandbox::{Sandbox, alone};

/// How long what waits may take to arrive; only a hang takes as long.
const PATIENCE: Duration = Duration::from_secs(300);

/// How many keys the events have.
const KEYS: u64 = 7;

/// The configuration that everybody begins with.
const QUICKSTART: &str = include_str!("../../../../examples/quickstart.yaml");

/// The quickstart on Kafka, routed by user, with tables that outlive the collector's disk.
fn config(cluster: &Cluster, lake: &Path) -> String {
    let routed = QUICKSTART.replace("  topic: events\n", "  topic: events\n  key: user_id\n");
    let (brokers, lake) = (cluster.bootstrap(), lake.display());
    let spool = "spool: { keep: 1 h, register_interval: 200 ms }";
    format!(
        "{routed}\nkafka: {{ brokers: \"{brokers}\" }}\nlake: {{ path: \"{lake}\" }}\n{spool}\n"
    )
}

/// Posts one event after the other, each of which must be taken.
struct Load {
    posted: AtomicU64,
    is_over: AtomicBool,
}

impl Load {
    fn new(posted: u64) -> Self {
        Self { posted: AtomicU64::new(posted), is_over: AtomicBool::new(false) }
    }

    fn run(&self, sandbox: &Sandbox) {
        while !self.is_over.load(Ordering::Relaxed) {
            let number = self.posted.load(Ordering::Relaxed);
            let user = number % KEYS;
            let event = format!(
                r#"{{"event":"e","user_id":"u{user}","message_id":"{number}","timestamp":1795342272345}}"#
            );
            let (status, body) = sandbox.post(&event);
            assert_eq!(status, 200, "event {number} is refused: {body}");
            self.posted.store(number + 1, Ordering::Relaxed);
        }
    }

    /// Ends the load when it is dropped, also when a check fails meanwhile.
    fn until_dropped(&self) -> Over<'_> {
        Over(&self.is_over)
    }

    fn posted(&self) -> u64 {
        self.posted.load(Ordering::Relaxed)
    }

    /// Waits until so many more are posted and so much time has passed.
    fn go_on(&self, sandbox: &Sandbox, more: u64, least: Duration) {
        let (from, began) = (self.posted(), Instant::now());
        sandbox.wait_until("the load goes on", PATIENCE, |_| {
            self.posted() >= from + more && began.elapsed() >= least
        });
    }
}

struct Over<'l>(&'l AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Waits until everything that was posted is in the table; returns the rows in the log's order.
fn rows(sandbox: &Sandbox, count: u64) -> Vec<Value> {
    let counted = |sandbox: &Sandbox| {
        let output =
            sandbox.run(&["query", "--format", "json", "SELECT count(*) AS n FROM events"]);
        let rows: Option<Value> = serde_json::from_str(&output.stdout).ok();
        rows.and_then(|rows| rows[0]["n"].as_u64()).unwrap_or(0)
    };
    sandbox.wait_until(&format!("{count} rows"), PATIENCE, |sandbox| counted(sandbox) >= count);
    let rows = sandbox.query(
        "SELECT user_id, CAST(message_id AS BIGINT) AS n FROM events \
         ORDER BY _ms_partition, _ms_offset",
    );
    rows.as_array().unwrap().clone()
}

/// Checks that each event is there once, and that each user's events are in order.
fn check(rows: &[Value], posted: u64) {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for row in rows {
        let (user, number) = (row["user_id"].as_str().unwrap(), row["n"].as_u64().unwrap());
        let before = last.insert(user.to_owned(), number);
        let expected = before.map_or(number % KEYS, |before| before + KEYS);
        assert_eq!(number, expected, "the next event of {user} after {before:?}");
    }
    assert_eq!(rows.len() as u64, posted);
}

fn spool_tasks(sandbox: &Sandbox) -> Vec<Value> {
    let (_, body) = sandbox.get("/api/v1/status");
    let status: Value = serde_json::from_str(&body).unwrap_or_default();
    let tasks = status["tasks"].as_array().cloned().unwrap_or_default();
    let is_spool = |task: &Value| {
        task["task"].as_str().is_some_and(|task| task.starts_with("millstream.spool."))
    };
    tasks.into_iter().filter(is_spool).collect()
}

#[test]
#[ignore = "takes minutes: `disturb::outage` kills the broker in every gate"]
fn with_kafka_away_nothing_is_refused_and_a_wiped_disk_skips_nothing() {
    let _alone = alone();
    let Some(kafka) = Kafka::install().or_skip() else { return };
    let mut cluster = kafka.start(&Config::default()).unwrap();
    let lake = tempfile::tempdir().unwrap();
    let mut sandbox = Sandbox::with_config(&config(&cluster, lake.path()));
    sandbox.start();

    let load = Load::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| load.run(&sandbox));
        let _over = load.until_dropped();
        sandbox.wait_until("something is forwarded", PATIENCE, |sandbox| {
            spool_tasks(sandbox).iter().any(|task| task["inputs"][0]["next"].as_u64() > Some(0))
        });
        load.go_on(&sandbox, 50, Duration::ZERO);
        cluster.broker(0).kill().unwrap();
        load.go_on(&sandbox, 200, Duration::from_secs(20));
        sandbox.wait_until("the spool shows that Kafka is away", PATIENCE, |sandbox| {
            let is_waiting = |task: &Value| {
                task["state"] == "stuck"
                    && task["lag"].as_u64() > Some(0)
                    && task["oldest_ms"].is_i64()
            };
            spool_tasks(sandbox).iter().any(is_waiting)
        });
        cluster.start().unwrap();
        load.go_on(&sandbox, 50, Duration::from_secs(1));
    });
    check(&rows(&sandbox, load.posted()), load.posted());
    sandbox.wait_until("nothing waits", PATIENCE, |sandbox| {
        let tasks = spool_tasks(sandbox);
        tasks.len() == 4 && tasks.iter().all(|task| task["lag"] == 0)
    });
    let refused = replay(&sandbox);
    assert_eq!(refused.code, 75, "a node runs: {}{}", refused.stdout, refused.stderr);
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
    let agreed = replay(&sandbox);
    assert_eq!(agreed.code, 0, "{}", agreed.stderr);
    assert!(agreed.stdout.contains("nothing is to be replayed"), "{}", agreed.stdout);

    // The disk is gone: another journal, the same cluster and table.
    fs::remove_dir_all(sandbox.data()).unwrap();
    sandbox.start();
    let more = Load::new(load.posted());
    std::thread::scope(|scope| {
        scope.spawn(|| more.run(&sandbox));
        let _over = more.until_dropped();
        more.go_on(&sandbox, 30, Duration::ZERO);
    });
    check(&rows(&sandbox, more.posted()), more.posted());
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
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
        let tasks = spool_tasks(sandbox);
        tasks.iter().filter_map(|task| task["counts"]["written"].as_u64()).sum()
    };
    sandbox.wait_until("40 are forwarded", PATIENCE, |sandbox| forwarded(sandbox) == 40);
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());

    // A cluster that knows nothing of what this journal has forwarded.
    fs::write(sandbox.data().with_file_name("millstream.yaml"), after).unwrap();
    sandbox.start();
    sandbox.wait_until("the spool refuses", PATIENCE, |sandbox| {
        let tasks = spool_tasks(sandbox);
        tasks.len() == 4 && tasks.iter().all(|task| task["state"] == "failed")
    });
    let (status, reasons) = sandbox.get("/readyz");
    assert_eq!(status, 503, "{reasons}");
    assert!(reasons.contains("millstream spool replay"), "{reasons}");
    sandbox.kill();

    let allowed = replay(&sandbox);
    assert_eq!(allowed.code, 0, "{}", allowed.stderr);
    assert_eq!(allowed.stdout.matches("goes on at offset 0").count(), 4, "{}", allowed.stdout);
    sandbox.start();
    sandbox.wait_until("40 are forwarded again", PATIENCE, |sandbox| forwarded(sandbox) == 40);
    assert_eq!(sandbox.get("/readyz").0, 200);
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
}

fn replay(sandbox: &Sandbox) -> crate::sandbox::Output {
    let config = sandbox.data().with_file_name("millstream.yaml");
    sandbox.run(&["spool", "replay", "-c", config.to_str().unwrap()])
}
