//! What goes, what stays, and what moves to the archive.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream_runtime::disk::fault::{FaultDisk, Survival};

use super::{World, append, batch, cx, owner, partition, read_all, small, topic, topic_of};
use crate::contract::{Log, LogAdmin, Opened};
use crate::error::{AdminError, OpenError, PositionRefused, ReaderError};
use crate::journal::Journal;
use crate::topic::TopicKind;
use crate::transaction::{Consumed, Transaction};

const DAY: Duration = Duration::from_secs(86_400);

fn world(disk: &FaultDisk) -> World {
    World::on(Arc::new(disk.clone()), Path::new("/data/journal"), small())
}

async fn fill(journal: &Journal, topic: &str, count: usize) {
    for _ in 0..count {
        append(journal, &partition(topic, 0), &[&[7; 20_000]]).await;
    }
}

/// Commits that everything before `offset` is read.
async fn consume(journal: &Journal, opened: &mut Opened, topic: &str, offset: u64) {
    let partition = partition(topic, 0);
    let mut next = journal.bounds(&cx(), &partition).await.unwrap().end;
    assert!(offset <= next.offset.0);
    next.offset.0 = offset;
    let consumed = vec![Consumed { partition, next }];
    let transaction = Transaction { consumed, ..Transaction::default() };
    opened.writer.transact(&cx(), transaction).await.unwrap();
}

async fn start(journal: &Journal, topic: &str) -> u64 {
    journal.bounds(&cx(), &partition(topic, 0)).await.unwrap().start.offset.0
}

#[tokio::test]
async fn retention_never_passes_the_slowest_registered_task() {
    let disk = FaultDisk::new(1);
    let mut world = world(&disk);
    let journal = world.open().unwrap();
    topic(&journal, "events", 1).await;
    let inputs = [partition("events", 0)];
    let mut fast = journal.open(&cx(), &owner("fast", &inputs)).await.unwrap();
    let mut slow = journal.open(&cx(), &owner("slow", &inputs)).await.unwrap();
    fill(&journal, "events", 20).await;
    consume(&journal, &mut fast, "events", 20).await;
    world.clock.advance(2 * DAY);
    journal.maintain().await;
    assert_eq!(start(&journal, "events").await, 0, "the slow task has read nothing");
    consume(&journal, &mut slow, "events", 10).await;
    journal.maintain().await;
    let moved = start(&journal, "events").await;
    assert!((5..=10).contains(&moved), "{moved}");

    // Positions survive their segments, and the start survives a power cut.
    drop((fast, slow));
    let disk = disk.reboot(Survival::Synced);
    let mut world = self::world(&disk);
    let journal = world.open().unwrap();
    assert_eq!(start(&journal, "events").await, moved);
    let slow = journal.open(&cx(), &owner("slow", &inputs)).await.unwrap();
    let position = slow.committed.consumed[&inputs[0]];
    assert_eq!(position.offset.0, 10);
    journal.reader(&cx(), &inputs[0], position).await.unwrap();
    assert_eq!(read_all(&journal, &inputs[0]).await.len() as u64, 20 - moved);
    let mut early = position;
    early.offset.0 = 1;
    let refused = journal.reader(&cx(), &inputs[0], early).await;
    let is_refused =
        matches!(refused, Err(ReaderError::Position(PositionRefused::BeforeStart { .. })));
    assert!(is_refused, "{refused:?}");
}

#[tokio::test]
async fn young_records_stay() {
    let disk = FaultDisk::new(1);
    let mut world = world(&disk);
    let journal = world.open().unwrap();
    topic(&journal, "events", 1).await;
    fill(&journal, "events", 20).await;
    world.clock.advance(DAY / 2);
    journal.maintain().await;
    assert_eq!(start(&journal, "events").await, 0);
    world.clock.advance(DAY);
    journal.maintain().await;
    assert!(start(&journal, "events").await >= 10);
}

#[tokio::test]
async fn dead_letters_outlive_their_segments_in_the_archive() {
    let disk = FaultDisk::new(1);
    let mut world = world(&disk);
    let journal = world.open().unwrap();
    topic(&journal, "events", 1).await;
    topic_of(&journal, "dead", 1, TopicKind::DeadLetters).await;
    let dead = partition("dead", 0);
    for number in 0..10_u8 {
        fill(&journal, "events", 3).await;
        append(&journal, &dead, &[&[number; 100]]).await;
    }
    let expected = read_all(&journal, &dead).await;
    world.clock.advance(2 * DAY);
    journal.maintain().await;
    assert!(start(&journal, "events").await > 20);
    assert_eq!(read_all(&journal, &dead).await, expected);
    let archive = Path::new("/data/journal/archive");
    let archived = |disk: &FaultDisk| {
        let files = millstream_runtime::Disk::list(disk, archive).unwrap();
        files.iter().filter(|file| file.name.ends_with(".journal")).count()
    };
    assert!(archived(&disk) > 5);

    // They are there after a power cut, and a new reader may begin in the middle.
    let disk = disk.reboot(Survival::Synced);
    let mut world = self::world(&disk);
    world.clock.advance(2 * DAY);
    let journal = world.open().unwrap();
    assert_eq!(read_all(&journal, &dead).await, expected);
    world.clock.advance(40 * DAY);
    journal.maintain().await;
    journal.maintain().await;
    assert_eq!(archived(&disk), 0, "they go in their turn");
    let bounds = journal.bounds(&cx(), &dead).await.unwrap();
    assert_eq!(bounds.start, bounds.end, "it starts where records are, or at its end");
    assert_eq!(bounds.end.offset.0, 10);
    assert_eq!(read_all(&journal, &dead).await, Vec::<Vec<u8>>::new());
}

#[tokio::test]
async fn a_task_that_nobody_opens_any_more_holds_for_a_while_only() {
    let disk = FaultDisk::new(1);
    let mut world = world(&disk);
    let journal = world.open().unwrap();
    topic(&journal, "events", 1).await;
    journal.open(&cx(), &owner("removed", &[partition("events", 0)])).await.unwrap();
    fill(&journal, "events", 10).await;
    drop(journal);
    let journal = world.open().unwrap();
    world.clock.advance(6 * DAY);
    journal.maintain().await;
    assert_eq!(start(&journal, "events").await, 0);
    assert_eq!(journal.tasks(&cx()).await.unwrap().len(), 1);
    world.clock.advance(2 * DAY);
    journal.maintain().await;
    assert_eq!(journal.tasks(&cx()).await.unwrap().len(), 0);
    assert!(start(&journal, "events").await > 5);
}

#[tokio::test]
async fn a_released_task_goes_on_where_it_stood_if_its_records_are_there() {
    let disk = FaultDisk::new(1);
    let mut world = world(&disk);
    // Nothing is due by age: what is released stays readable until room is short.
    world.config.retention = 100 * DAY;
    let journal = world.open().unwrap();
    topic(&journal, "events", 1).await;
    let task = owner("removed", &[partition("events", 0)]);
    let mut opened = journal.open(&cx(), &task).await.unwrap();
    fill(&journal, "events", 10).await;
    consume(&journal, &mut opened, "events", 4).await;
    let epoch = opened.epoch;
    drop((opened, journal));

    let journal = world.open().unwrap();
    world.clock.advance(8 * DAY);
    // The second round finds nothing to release.
    for _ in 0..2 {
        journal.maintain().await;
        assert!(journal.tasks(&cx()).await.unwrap().is_empty());
    }
    let events = partition("events", 0);
    drop(journal);
    let journal = world.open().unwrap();
    let mut opened = journal.open(&cx(), &task).await.unwrap();
    assert!(opened.committed.began && opened.epoch > epoch);
    assert_eq!(opened.committed.consumed[&events].offset.0, 4);
    let refused = journal.trim(&cx(), &events, millstream_model::Offset(5)).await;
    assert!(matches!(refused, Err(AdminError::PassesPosition { .. })), "it holds again");
    consume(&journal, &mut opened, "events", 6).await;
    drop((opened, journal));

    let journal = world.open().unwrap();
    world.clock.advance(8 * DAY);
    journal.maintain().await;
    journal.trim(&cx(), &events, millstream_model::Offset(9)).await.unwrap();
    let refused = journal.open(&cx(), &task).await;
    let is_refused =
        matches!(refused, Err(OpenError::Position(PositionRefused::BeforeStart { .. })));
    assert!(is_refused, "{refused:?}");
}

#[tokio::test]
async fn a_task_that_was_quiet_before_a_restart_is_not_taken_for_an_orphan() {
    let disk = FaultDisk::new(1);
    let mut world = world(&disk);
    let journal = world.open().unwrap();
    topic(&journal, "events", 1).await;
    let quiet = owner("quiet", &[partition("events", 0)]);
    let mut opened = journal.open(&cx(), &quiet).await.unwrap();
    fill(&journal, "events", 10).await;
    consume(&journal, &mut opened, "events", 4).await;
    world.clock.advance(8 * DAY);
    journal.maintain().await;
    drop((opened, journal));
    let journal = world.open().unwrap();
    journal.maintain().await;
    let opened = journal.open(&cx(), &quiet).await.unwrap();
    assert!(opened.committed.began);
    assert_eq!(opened.committed.consumed[&quiet.inputs[0]].offset.0, 4);
}

#[tokio::test]
async fn a_task_whose_open_is_refused_is_not_taken_for_an_orphan() {
    let disk = FaultDisk::new(1);
    let mut world = world(&disk);
    let journal = world.open().unwrap();
    topic(&journal, "events", 2).await;
    let mut task = owner("task", &[partition("events", 0)]);
    let mut opened = journal.open(&cx(), &task).await.unwrap();
    fill(&journal, "events", 10).await;
    consume(&journal, &mut opened, "events", 4).await;
    drop((opened, journal));
    let journal = world.open().unwrap();
    task.inputs.push(partition("events", 1));
    for _ in 0..2 {
        let refused = journal.open(&cx(), &task).await;
        let is_refused = matches!(refused, Err(OpenError::Position(PositionRefused::Lost { .. })));
        assert!(is_refused, "{refused:?}");
        world.clock.advance(8 * DAY);
        journal.maintain().await;
    }
    assert_eq!(journal.tasks(&cx()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn dead_letters_stay_for_their_time_even_when_room_is_short() {
    let disk = FaultDisk::new(1);
    let mut world = world(&disk);
    world.config.dead_letters_retention = DAY / 2;
    let journal = world.open().unwrap();
    topic(&journal, "events", 1).await;
    topic_of(&journal, "dead", 1, TopicKind::DeadLetters).await;
    let dead = partition("dead", 0);
    append(&journal, &dead, &[b"first", b"second"]).await;
    // More than four fifths of 4 MiB.
    fill(&journal, "events", 175).await;
    journal.maintain().await;
    assert!(start(&journal, "events").await > 0, "room is not short: {:?}", journal.stats());
    assert_eq!(read_all(&journal, &dead).await, [b"first".to_vec(), b"second".to_vec()]);
    // A round deletes a few segments only.
    world.clock.advance(DAY);
    for _ in 0..5 {
        journal.maintain().await;
    }
    assert_eq!(start(&journal, "dead").await, 2);
}

#[tokio::test]
async fn trim_makes_room_but_never_passes_a_task() {
    let disk = FaultDisk::new(1);
    let journal = world(&disk).open().unwrap();
    topic(&journal, "events", 1).await;
    let events = partition("events", 0);
    let mut task =
        journal.open(&cx(), &owner("task", std::slice::from_ref(&events))).await.unwrap();
    fill(&journal, "events", 10).await;
    consume(&journal, &mut task, "events", 6).await;
    let refused = journal.trim(&cx(), &events, millstream_model::Offset(7)).await;
    assert!(matches!(refused, Err(AdminError::PassesPosition { .. })), "{refused:?}");
    journal.trim(&cx(), &events, millstream_model::Offset(6)).await.unwrap();
    assert_eq!(start(&journal, "events").await, 6);
    let used = journal.stats().bytes_used;
    journal.maintain().await;
    assert!(journal.stats().bytes_used < used);
    assert_eq!(read_all(&journal, &events).await.len(), 4);
    let values = vec![(events.clone(), batch(&[b"x"]))];
    let appended = journal.enqueue(values).unwrap().await.unwrap();
    assert_eq!(appended[0].landed.offsets().unwrap().start().0, 10);
}
