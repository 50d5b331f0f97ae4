//! A journal that is full: what is still taken, and how it comes back.

use std::path::Path;
use std::sync::Arc;

use millstream_model::{ByteSize, SourceId};
use millstream_runtime::disk::fault::FaultDisk;

use super::{World, append, batch, cx, owner, partition, read_all, small, topic, topic_of};
use crate::contract::{Log, Writer};
use crate::error::{EnqueueError, TransactError};
use crate::journal::{Journal, Level};
use crate::topic::TopicKind;
use crate::transaction::{Consumed, Transaction};

fn transaction(to: &str) -> Transaction {
    let records = vec![(partition(to, 0), batch(&[&[7; 10_000]]))];
    Transaction { records, ..Transaction::default() }
}

fn positions() -> Transaction {
    let position = (SourceId::new("file").unwrap(), bytes::Bytes::from_static(b"42"));
    Transaction { positions: vec![position], ..Transaction::default() }
}

async fn commit_until_full(writer: &mut dyn Writer, to: &str) -> u32 {
    let mut committed = 0;
    loop {
        match writer.transact(&cx(), transaction(to)).await {
            Ok(()) => committed += 1,
            Err(TransactError::Full) => return committed,
            Err(error) => panic!("{error}"),
        }
        assert!(committed < 10_000);
    }
}

async fn append_until_full(journal: &Journal) {
    for _ in 0..10_000 {
        let records = vec![(partition("events", 0), batch(&[&[7; 10_000]]))];
        let result = match journal.enqueue(records) {
            Ok(append) => append.await.map(drop),
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => {}
            Err(EnqueueError::Full { retry_after }) => {
                assert!(!retry_after.is_zero());
                return;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the journal never fills up");
}

#[tokio::test]
async fn intake_stops_first_then_processors_then_dead_letters_and_positions_never() {
    let dir = tempfile::tempdir().unwrap();
    let journal = World::real(dir.path(), small()).open().unwrap();
    for (name, kind) in [
        ("events", TopicKind::Events),
        ("clean", TopicKind::Events),
        ("dead", TopicKind::DeadLetters),
    ] {
        topic_of(&journal, name, 1, kind).await;
    }
    let inputs = [partition("events", 0)];
    let mut task = journal.open(&cx(), &owner("task", &inputs)).await.unwrap();
    append_until_full(&journal).await;
    assert!(commit_until_full(task.writer.as_mut(), "clean").await > 0);
    assert!(commit_until_full(task.writer.as_mut(), "dead").await > 0);
    task.writer.transact(&cx(), positions()).await.unwrap();
    assert_eq!(journal.stats().level, Level::PositionsOnly);

    // Once the backlog is read everything comes back by itself.
    let next = journal.bounds(&cx(), &inputs[0]).await.unwrap().end;
    let consumed = vec![Consumed { partition: inputs[0].clone(), next }];
    let read = Transaction { consumed, ..Transaction::default() };
    task.writer.transact(&cx(), read).await.unwrap();
    for _ in 0..20 {
        journal.maintain().await;
    }
    assert_eq!(journal.stats().level, Level::Open, "{:?}", journal.stats());
    append(&journal, &inputs[0], &[b"again"]).await;
}

#[tokio::test]
async fn a_full_disk_refuses_records_takes_positions_and_recovers_by_itself() {
    let disk = FaultDisk::new(1);
    let mut config = small();
    config.bytes_max = ByteSize::mib(256);
    config.reserve_bytes = ByteSize::kib(256);
    let mut world = World::on(Arc::new(disk.clone()), Path::new("/journal"), config);
    let journal = world.open().unwrap();
    topic(&journal, "events", 1).await;
    let events = partition("events", 0);
    let mut task = journal.open(&cx(), &owner("task", &[])).await.unwrap();
    append(&journal, &events, &[b"before"]).await;
    disk.set_capacity(Some(disk.used_bytes()));
    append_until_full(&journal).await;
    let before = read_all(&journal, &events).await;
    for _ in 0..1000 {
        task.writer.transact(&cx(), positions()).await.unwrap();
    }
    assert_eq!(read_all(&journal, &events).await, before);
    disk.set_capacity(None);
    journal.maintain().await;
    append(&journal, &events, &[b"after"]).await;
    drop((task, journal));
    let journal = world.open().unwrap();
    let after = read_all(&journal, &events).await;
    assert_eq!(after.len(), before.len() + 1);
    assert_eq!(after[..before.len()], before);
}
