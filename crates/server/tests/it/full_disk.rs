//! A node on a file system that is full to the last byte, journal and tables alike: it refuses,
//! shows which step waits for room, and goes on by itself, nothing lost and nothing doubled.
//!
//! The file system is a small one in memory. Mounting it needs a mount namespace of our own, so the
//! test runs itself again inside one: nothing stays mounted, whatever becomes of the test.

mod ballast;
mod ledger;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::quickstart::on_small_log;
use crate::requirement::lacks;
use crate::sandbox::Sandbox;
use ballast::Ballast;
use ledger::Ledger;

/// The name of the test, by which it is run again inside a mount namespace.
const TEST: &str = "full_disk::on_a_full_disk_a_node_refuses_and_goes_on_when_there_is_room";
/// Set for the run inside.
const INSIDE: &str = "MILLSTREAM_TEST_OWN_MOUNTS";
/// How large the file system is, as `mount` takes it.
const DISK: &str = "size=64m";
/// How long a node may take for what it does by itself; only a hang takes as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// Ways to a mount namespace: as root, and as anybody where the kernel permits it.
const NAMESPACES: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
/// The disk is the only limit: the budget is larger than it.
const LOG: &str = "\
log:
  bytes_max: 1 GiB
  segment_bytes_max: 1 MiB
  group_bytes_max: 512 KiB
  batch_bytes_max: 512 KiB
  transaction_bytes_max: 1 MiB
  reserve_bytes: 1 MiB
  disk_free_min: 12 MiB
  full_retry_after: 1 s
";

#[test]
fn on_a_full_disk_a_node_refuses_and_goes_on_when_there_is_room() {
    if std::env::var_os(INSIDE).is_some() {
        let disk = tempfile::tempdir().unwrap();
        assert!(mount(disk.path()), "it could be mounted a moment ago");
        return fill_and_recover(disk.path());
    }
    let Some(namespace) = NAMESPACES.into_iter().find(|namespace| can_mount_in(namespace)) else {
        let what = "permission to mount a file system (unshare --mount)";
        return lacks(what, "MILLSTREAM_MOUNTS_REQUIRED");
    };
    let mut inside = Command::new("unshare");
    inside.args(namespace).arg(std::env::current_exe().unwrap());
    let output = inside.args(["--exact", TEST, "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
    out.lines().filter(|line| line.starts_with("full disk:")).for_each(|line| println!("{line}"));
}

fn can_mount_in(namespace: &[&str]) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let mut probe = Command::new("unshare");
    probe.args(namespace).args(["mount", "-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(dir.path());
    probe.output().is_ok_and(|output| output.status.success())
}

fn mount(dir: &Path) -> bool {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", DISK, "tmpfs"]).arg(dir);
    mount.status().is_ok_and(|status| status.success())
}

fn fill_and_recover(disk: &Path) {
    let ballast = Ballast::new(disk);
    let mut ledger = Ledger::default();
    let configuration = on_small_log(LOG, "256 KiB");
    let mut sandbox = Sandbox::with_config_and_data(&configuration, &disk.join("data"));
    sandbox.start();

    // Whatever moment the disk is full at: the sink has rows to write soon after most of them.
    sandbox.wait_until("the sink is stuck on the full disk", PATIENCE, |sandbox| {
        ballast.remove();
        wait_for_intake(sandbox);
        post_while_it_fills(sandbox, &ballast, &mut ledger);
        is_stuck_for_want_of_room(sandbox)
    });
    let refused = sandbox.post_for_answer(&ledger.batch());
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.body.contains("log_full"), "{}", refused.body);
    assert_eq!(refused.header("retry-after"), Some("1"), "{refused:?}");
    let (_, reasons) = sandbox.get("/readyz");
    assert!(reasons.contains("full: the log uses"), "{reasons}");
    println!("full disk: {}", reasons.lines().collect::<Vec<_>>().join(" | "));

    // Neither a crash nor a start needs room.
    sandbox.kill();
    sandbox.start();
    assert_eq!(sandbox.get("/readyz").0, 503, "the disk is full still");

    ballast.remove();
    wait_for_intake(&sandbox);
    assert_eq!(ledger.post(&sandbox), 200);
    sandbox.settle();
    let (good, bad) = (good_ids(&sandbox), bad_ids(&sandbox));
    ledger.check(&good, &bad);
    let empty = empty_files(&sandbox.data().join("lake"));
    assert!(empty.is_empty(), "tries that failed left {} files: {:?}", empty.len(), empty.first());
    let books = sandbox.run(&["reconcile", "--deep"]);
    assert_eq!(books.code, 0, "{}{}", books.stdout, books.stderr);
    assert_eq!(sandbox.stop(), 0, "{}", sandbox.log());
}

/// Posts while the disk fills to its last byte, until a request is refused after that.
fn post_while_it_fills(sandbox: &Sandbox, ballast: &Ballast, ledger: &mut Ledger) {
    let is_full = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            ballast.fill();
            is_full.store(true, Ordering::Relaxed);
        });
        loop {
            let status = ledger.post(sandbox);
            if status == 503 && is_full.load(Ordering::Relaxed) {
                break;
            }
        }
    });
}

/// Waits until intake returned by itself.
fn wait_for_intake(sandbox: &Sandbox) {
    sandbox.wait_until("intake returns", PATIENCE, |sandbox| sandbox.get("/readyz").0 == 200);
}

/// Waits until the node shows that its sink waits for room; false when it had nothing to write.
fn is_stuck_for_want_of_room(sandbox: &Sandbox) -> bool {
    let mut is_stuck = false;
    sandbox.wait_until("the sink is stuck or has nothing to do", PATIENCE, |sandbox| {
        let (_, reasons) = sandbox.get("/readyz");
        let mut stuck = reasons.lines().filter(|line| line.starts_with("stuck: task "));
        is_stuck = stuck.any(|line| {
            line.contains("millstream.events.sink at ") && line.contains("No space left on device")
        });
        is_stuck || sink_lag(sandbox) == 0
    });
    is_stuck
}

fn sink_lag(sandbox: &Sandbox) -> u64 {
    let (_, status) = sandbox.get("/api/v1/status");
    let status: Value = serde_json::from_str(&status).unwrap();
    let tasks = status["tasks"].as_array().unwrap();
    let sink = tasks.iter().find(|task| task["task"] == "millstream.events.sink").unwrap();
    sink["lag"].as_u64().unwrap()
}

/// Returns the data files without a byte, below a directory.
fn empty_files(dir: &Path) -> Vec<PathBuf> {
    let mut empty = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.metadata().unwrap());
        if kind.is_dir() {
            empty.extend(empty_files(&path));
        } else if kind.len() == 0 && path.extension().is_some_and(|found| found == "parquet") {
            empty.push(path);
        }
    }
    empty
}

fn good_ids(sandbox: &Sandbox) -> Vec<String> {
    let rows = sandbox.query("SELECT message_id AS id FROM events");
    let ids = rows.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned());
    ids.collect()
}

fn bad_ids(sandbox: &Sandbox) -> Vec<String> {
    let letters = sandbox.run(&["dlq", "--limit", "10000", "--format", "json"]).stdout;
    let id = |line: &str| {
        let letter: Value = serde_json::from_str(line).unwrap();
        let event: Value = serde_json::from_str(letter["value"].as_str().unwrap()).unwrap();
        event["message_id"].as_str().unwrap().to_owned()
    };
    letters.lines().map(id).collect()
}
