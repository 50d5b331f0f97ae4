//! What a spool refuses to guess: copied disks, and clusters that were taken back.

use millstream_log::Log;
use millstream_log::memory::MemoryLog;
use millstream_model::{Offset, Timestamp};
use millstream_pipeline::TaskState;
use millstream_pipeline::spool::replay::Loss;
use millstream_runtime::{Clock, Rng};

use crate::spool_stage::{SpoolStage, input};
use crate::stage::Running;

const GOOD: [&str; 3] = ["a", "b", "c"];

/// Waits until the forwarder gives up; returns why.
async fn refusal(mut running: Running) -> String {
    let status = running.until(|status| matches!(status.state, TaskState::Failed(_))).await;
    let ended = running.task.join().await.expect("no panic");
    let TaskState::Failed(stuck) = status.state else { unreachable!("waited for it") };
    assert_eq!(ended.expect_err("it gave up").reason, stuck.reason);
    stuck.reason
}

/// A stage on which six records were forwarded, and the cluster as it was after three.
async fn with_backup() -> (SpoolStage, MemoryLog) {
    let stage = SpoolStage::new().await;
    stage.accept(&GOOD).await;
    stage.forward_until(3).await;
    let backup = stage.remote.log.backup();
    stage.accept(&["d", "e", "f"]).await;
    stage.forward_until(6).await;
    (stage, backup)
}

#[tokio::test(start_paused = true)]
async fn two_nodes_on_copies_of_one_disk_do_not_both_forward() {
    let stage = SpoolStage::new().await;
    stage.accept(&GOOD).await;
    let mut first = stage.start();
    first.until_done(3).await;
    let copy = SpoolStage {
        local: stage.local.backup(),
        remote: stage.remote.clone(),
        cx: stage.cx.clone(),
        config: stage.config.clone(),
    };
    // The copy takes over, for what is forwarded is also its own.
    let mut second = copy.start();
    second.until(|status| status.state == TaskState::Idle).await;
    copy.accept(&["of the copy"]).await;
    second.until_done(4).await;
    stage.accept(&["of the first"]).await;
    let reason = refusal(first).await;
    assert!(reason.contains("another node runs on a copy of this disk"), "{reason}");
    second.drain().await;
    assert_eq!(stage.forwarded(), ["a", "b", "c", "of the copy"]);
    // Started again it does not forget.
    let reason = refusal(stage.start()).await;
    assert!(reason.contains("not the one that was forwarded"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_behind_is_refused() {
    let mut stage = SpoolStage::new().await;
    stage.accept(&GOOD).await;
    let copy = stage.local.backup();
    stage.accept(&["d"]).await;
    stage.forward_until(4).await;
    stage.local = copy;
    let reason = refusal(stage.start()).await;
    assert!(reason.contains("this journal ends at 3"), "{reason}");
    // Grown to the same length it is still another one.
    stage.accept(&["x"]).await;
    let reason = refusal(stage.start()).await;
    assert!(reason.contains("not the one that was forwarded"), "{reason}");
    // Forwarding again heals nothing here, and a replay gives no leave to go on.
    assert_eq!(stage.replay(Loss::Accept).await.unwrap(), None);
    let reason = refusal(stage.start()).await;
    assert!(reason.contains("not the one that was forwarded"), "{reason}");
    assert_eq!(stage.forwarded(), ["a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_taken_back_is_refused_until_a_replay_is_allowed() {
    let (mut stage, backup) = with_backup().await;
    stage.remote.log = backup;
    let reason = refusal(stage.start()).await;
    assert!(reason.contains("millstream spool replay"), "{reason}");
    assert_eq!(stage.forwarded(), GOOD, "nothing was skipped");
    let replay = stage.replay(Loss::Refuse).await.unwrap().expect("it is needed");
    assert_eq!((replay.from, replay.again, replay.lost), (Offset(3), 3, 0));
    assert_eq!(stage.replay(Loss::Refuse).await.unwrap(), None, "once is enough");
    stage.accept(&["g"]).await;
    stage.forward_until(7).await;
    assert_eq!(stage.forwarded(), ["a", "b", "c", "d", "e", "f", "g"]);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_nothing_completes_is_left_torn_only_when_the_loss_is_accepted() {
    let stage = SpoolStage::new().await;
    stage.accept(&GOOD).await;
    stage.forward_until(3).await;
    stage.remote.log.tear(&stage.settings().remote_task);
    stage.accept(&["d"]).await;
    let mut running = stage.start();
    let status = running.until(|status| matches!(status.state, TaskState::Stuck(_))).await;
    let TaskState::Stuck(stuck) = status.state else { unreachable!("waited for it") };
    assert!(stuck.reason.contains("millstream spool replay --accept-loss"), "{}", stuck.reason);
    running.drain().await;
    let refused = stage.replay(Loss::Refuse).await.expect_err("a person has to accept it");
    assert!(
        anyhow::Error::new(refused)
            .chain()
            .any(|cause| cause.to_string().contains("some partitions only"))
    );
    let replay = stage.replay(Loss::Accept).await.unwrap().expect("it was needed");
    assert_eq!((replay.from, replay.again, replay.lost, replay.is_torn), (Offset(3), 0, 0, true));
    stage.forward_until(4).await;
    assert_eq!(stage.forwarded(), ["a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_leave_to_replay_is_used_up() {
    let (mut stage, backup) = with_backup().await;
    let again = backup.backup();
    stage.remote.log = backup;
    stage.replay(Loss::Refuse).await.unwrap().expect("it is needed");
    stage.forward_until(6).await;
    stage.remote.log = again;
    let reason = refusal(stage.start()).await;
    assert!(reason.contains("knows of 3 only"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_kill_during_a_replay_neither_loses_nor_doubles() {
    let (mut stage, backup) = with_backup().await;
    stage.remote.log = backup;
    stage.config.batch_bytes_max = millstream_model::ByteSize::kib(1);
    stage.replay(Loss::Refuse).await.unwrap().expect("it is needed");
    for value in 0..20 {
        stage.accept(&[&value.to_string()]).await;
        let running = stage.start();
        for _ in 0..value {
            tokio::task::yield_now().await;
        }
        running.kill().await;
    }
    stage.forward_until(26).await;
    let mut expected: Vec<String> = ["a", "b", "c", "d", "e", "f"].map(str::to_owned).into();
    expected.extend((0..20).map(|value: usize| value.to_string()));
    assert_eq!(stage.forwarded(), expected);
}

#[tokio::test(start_paused = true)]
async fn what_a_cluster_lost_and_the_journal_no_longer_has_is_named() {
    let (mut stage, backup) = with_backup().await;
    stage.local.admin().trim(&stage.cx, &input(), Offset(5)).await.unwrap();
    stage.remote.log = backup;
    let refused = stage.replay(Loss::Refuse).await.unwrap_err();
    let reason = refused.to_string();
    assert!(reason.contains("from offset 3 on") && reason.contains("begins at 5"), "{reason}");
    assert!(reason.contains("--accept-loss"), "{reason}");
    let replay = stage.replay(Loss::Accept).await.unwrap().expect("it is needed");
    assert_eq!((replay.from, replay.again, replay.lost), (Offset(5), 1, 2));
    stage.forward_until(6).await;
    assert_eq!(stage.forwarded(), ["a", "b", "c", "f"]);
}

#[tokio::test(start_paused = true)]
async fn another_cluster_is_refused_until_a_replay_is_allowed() {
    let (mut stage, _backup) = with_backup().await;
    let clock = Clock::manual(Timestamp::from_millis(1_000));
    stage.remote.log = MemoryLog::new(clock, Rng::from_seed(55));
    stage.make_topics().await;
    let reason = refusal(stage.start()).await;
    assert!(reason.contains("it is another cluster"), "{reason}");
    let replay = stage.replay(Loss::Refuse).await.unwrap().expect("it is needed");
    assert_eq!((replay.from, replay.again, replay.lost), (Offset(0), 6, 0));
    stage.forward_until(6).await;
    assert_eq!(stage.forwarded(), ["a", "b", "c", "d", "e", "f"]);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_taken_back_under_a_running_node_is_refused() {
    let (stage, backup) = with_backup().await;
    let mut running = stage.start();
    running.until(|status| status.state == TaskState::Idle).await;
    stage.remote.take_back(backup);
    stage.accept(&["g"]).await;
    let reason = refusal(running).await;
    assert!(reason.contains("knows of 3 only"), "{reason}");
    assert_eq!(stage.forwarded(), GOOD, "nothing was skipped");
}
