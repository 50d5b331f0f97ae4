//! The collector's spool on another Kafka than the one that it forwarded to. Kafka away and a
//! collector's disk wiped: `disturb/outage.rs`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use millstream_testkit::kafka::{Cluster, Config, Kafka};
use serde_json::json;

use crate::quickstart::{kafka_and_lake, routed_by_user};
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
    let line = |accepted: u64, forwarded: u64, waiting: u64| {
        json!({
            "accepted": accepted, "forwarded": forwarded, "refused": 0, "waiting": waiting,
            "before": 0,
        })
    };
    sandbox.wait_until("the journal knows it", PATIENCE, |sandbox| {
        books(sandbox)["spool"] == line(40, 40, 0)
    });
    assert_eq!(books(&sandbox)["books"][0]["accepted"], 40);
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
    assert_eq!(found["books"][0]["accepted"], 0, "Kafka has none of them: {found}");
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

/// Runs `spool replay` on the sandbox's own configuration.
pub(crate) fn replay(sandbox: &Sandbox) -> Output {
    let config = sandbox.data().with_file_name("millstream.yaml");
    sandbox.run(&["spool", "replay", "-c", config.to_str().unwrap()])
}
