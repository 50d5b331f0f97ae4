//! What is durable when, and what a failed sync leaves.

use std::path::Path;

use futures::future::join_all;
use futures::poll;
use millstream_runtime::disk::fault::{Fault, FaultDisk, OpKind, Survival, When};

use super::{World, append, batch, cx, owner, partition, read_all, small, topic};
use crate::contract::Log;
use crate::error::EnqueueError;
use crate::journal::{Durability, Journal};
use crate::transaction::Transaction;

const DIR: &str = "/data/journal";

fn world(disk: &FaultDisk) -> World {
    World::on(std::sync::Arc::new(disk.clone()), Path::new(DIR), small())
}

#[tokio::test]
async fn one_sync_serves_all_who_wait() {
    let disk = FaultDisk::new(1);
    let journal = world(&disk).open().unwrap();
    let events = partition("events", 0);
    topic(&journal, "events", 1).await;
    let before = disk.counts().of(OpKind::Sync);
    disk.hold_syncs();
    let first = journal.enqueue(vec![(events.clone(), batch(&[b"0"]))]).unwrap();
    disk.wait_for_held_sync();
    let rest: Vec<_> =
        (0..99).map(|_| journal.enqueue(vec![(events.clone(), batch(&[b"1"]))]).unwrap()).collect();
    disk.release_syncs();
    first.await.unwrap();
    for appended in join_all(rest).await {
        appended.unwrap();
    }
    assert_eq!(disk.counts().of(OpKind::Sync) - before, 2);
    assert_eq!(read_all(&journal, &events).await.len(), 100);
}

/// Sends an append to each of `first`, one transaction to `between` and an append to `last`, all
/// of them one group, and returns the start of each append's first partition.
async fn group_around_a_transaction(
    disk: &FaultDisk,
    journal: &Journal,
    [first, between, last]: [&str; 3],
) -> [u64; 2] {
    let append = |to: &str, value: &[u8]| {
        journal.enqueue(vec![(partition(to, 0), batch(&[value, value]))]).unwrap()
    };
    let mut task = journal.open(&cx(), &owner("task", &[])).await.unwrap();
    let before = disk.counts().of(OpKind::Sync);
    disk.hold_syncs();
    let held = append("held", b"held");
    disk.wait_for_held_sync();
    let one = append(first, b"a");
    let records = vec![(partition(between, 0), batch(&[b"t", b"t"]))];
    let transaction = Transaction { records, ..Transaction::default() };
    let cx = cx();
    let mut transact = Box::pin(task.writer.transact(&cx, transaction));
    assert!(poll!(&mut transact).is_pending());
    let two = append(last, b"b");
    disk.release_syncs();
    held.await.unwrap();
    let starts =
        [one.await, two.await].map(|told| told.unwrap()[0].landed.offsets().unwrap().start().0);
    transact.await.unwrap();
    assert_eq!(disk.counts().of(OpKind::Sync) - before, 2, "they were not one group");
    starts
}

#[tokio::test]
async fn a_transaction_between_appends_of_its_group_keeps_its_place() {
    let cases: [([&str; 3], [u64; 2], &[&str]); 3] = [
        (["one", "one", "one"], [0, 4], &["a", "a", "t", "t", "b", "b"]),
        (["other", "one", "one"], [0, 2], &["t", "t", "b", "b"]),
        (["one", "one", "other"], [0, 0], &["a", "a", "t", "t"]),
    ];
    for (topics, starts, expected) in cases {
        let disk = FaultDisk::new(1);
        let journal = world(&disk).open().unwrap();
        for name in ["held", "one", "other"] {
            topic(&journal, name, 1).await;
        }
        let told = group_around_a_transaction(&disk, &journal, topics).await;
        assert_eq!(told, starts, "{topics:?}");
        let expected: Vec<_> = expected.iter().map(|value| value.as_bytes().to_vec()).collect();
        assert_eq!(read_all(&journal, &partition("one", 0)).await, expected, "{topics:?}");
        let disk = disk.reboot(Survival::Synced);
        let journal = world(&disk).open().unwrap();
        assert_eq!(read_all(&journal, &partition("one", 0)).await, expected, "{topics:?}");
    }
}

#[tokio::test]
async fn a_thousand_partitions_cost_one_sync() {
    let disk = FaultDisk::new(1);
    let journal = world(&disk).open().unwrap();
    topic(&journal, "events", 1000).await;
    let before = disk.counts().of(OpKind::Sync);
    let records = (0..1000).map(|number| (partition("events", number), batch(&[b"x"])));
    let appended = journal.enqueue(records.collect()).unwrap().await.unwrap();
    assert_eq!(appended.len(), 1000);
    assert_eq!(disk.counts().of(OpKind::Sync) - before, 1);
}

#[tokio::test]
async fn readers_see_nothing_before_its_sync_even_when_the_append_was_answered() {
    let disk = FaultDisk::new(1);
    let mut world = world(&disk);
    world.config.durability = Durability::Buffered;
    let journal = world.open().unwrap();
    let events = partition("events", 0);
    topic(&journal, "events", 1).await;
    disk.hold_syncs();
    journal.enqueue(vec![(events.clone(), batch(&[b"0"]))]).unwrap().await.unwrap();
    let bounds = journal.bounds(&cx(), &events).await.unwrap();
    assert_eq!(bounds.start, bounds.end);
    disk.release_syncs();
    append(&journal, &events, &[b"1"]).await;
    journal.close();
    assert_eq!(journal.bounds(&cx(), &events).await.unwrap().end.offset.0, 2);
}

#[tokio::test]
async fn after_a_failed_sync_the_segment_is_sealed_and_its_tail_never_comes_back() {
    for survival in [Survival::Synced, Survival::Written, Survival::Killed, Survival::Mixture(7)] {
        let disk = FaultDisk::new(1);
        let journal = world(&disk).open().unwrap();
        let events = partition("events", 0);
        topic(&journal, "events", 1).await;
        append(&journal, &events, &[b"before"]).await;
        let next = disk.counts().of(OpKind::Sync) + 1;
        disk.inject(When::Nth(OpKind::Sync, next), Fault::Error);
        let failed = journal.enqueue(vec![(events.clone(), batch(&[b"lost"]))]).unwrap().await;
        assert!(matches!(failed, Err(EnqueueError::Storage(_))), "{failed:?}");
        append(&journal, &events, &[b"after"]).await;
        let expected = [b"before".to_vec(), b"after".to_vec()];
        assert_eq!(read_all(&journal, &events).await, expected);
        let disk = disk.reboot(survival);
        let journal = world(&disk).open().unwrap();
        assert_eq!(read_all(&journal, &events).await, expected, "{survival:?}");
    }
}

#[tokio::test]
async fn a_process_that_dies_after_a_failed_sync_leaves_nothing_that_vanishes_later() {
    let disk = FaultDisk::new(1);
    let journal = world(&disk).open().unwrap();
    let events = partition("events", 0);
    topic(&journal, "events", 1).await;
    append(&journal, &events, &[b"before"]).await;
    let next = disk.counts().of(OpKind::Sync) + 1;
    disk.inject(When::Nth(OpKind::Sync, next), Fault::Error);
    // No further segment can be made: the process dies as it stands.
    disk.inject(When::Every(Box::new(|op| op.kind == OpKind::Create)), Fault::Error);
    let failed = journal.enqueue(vec![(events.clone(), batch(&[b"maybe"]))]).unwrap().await;
    assert!(failed.is_err());
    assert!(journal.stats().is_broken);
    let disk = disk.reboot(Survival::Killed);
    let journal = world(&disk).open().unwrap();
    let shown = read_all(&journal, &events).await;
    let disk = disk.reboot(Survival::Synced);
    let journal = world(&disk).open().unwrap();
    assert_eq!(read_all(&journal, &events).await, shown);
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_cannot_write_goes_on_when_the_disk_does() {
    let disk = FaultDisk::new(1);
    let journal = world(&disk).open().unwrap();
    let events = partition("events", 0);
    topic(&journal, "events", 1).await;
    disk.inject(When::Every(Box::new(|op| op.kind == OpKind::Sync)), Fault::Error);
    for _ in 0..3 {
        let failed = journal.enqueue(vec![(events.clone(), batch(&[b"x"]))]).unwrap().await;
        assert!(matches!(failed, Err(EnqueueError::Storage(_))), "{failed:?}");
    }
    disk.clear_faults();
    let mut attempts = 0;
    while journal.stats().is_broken {
        journal.maintain().await;
        attempts += 1;
        assert!(attempts < 1_000_000, "the journal does not come back");
    }
    append(&journal, &events, &[b"y"]).await;
    assert_eq!(read_all(&journal, &events).await, [b"y"]);
}
