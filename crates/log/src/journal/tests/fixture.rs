//! The committed journal of format version 1: still written byte for byte, still read.
//!
//! `MILLSTREAM_WRITE_FIXTURE=1 cargo test -p millstream-log --lib fixture` writes it anew; that
//! is right only as long as the version was not released.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use millstream_model::{
    ByteSize, HeadersBuilder, Offset, Record, RecordBatch, RecordBatchBuilder, SourceId, Timestamp,
};
use millstream_runtime::Disk;
use millstream_runtime::disk::OpenMode;
use millstream_runtime::disk::fault::FaultDisk;

use super::{World, append, cx, owner, partition, read_all, small, topic, topic_of};
use crate::contract::{Log, LogAdmin};
use crate::journal::Config;
use crate::topic::TopicKind;
use crate::transaction::{Consumed, Transaction};

const DIR: &str = "/journal";

fn fixture_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("test-data/journal/v1")
}

/// The files of the fixture by their path within it.
pub(in crate::journal) fn fixture_files() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for below in ["", "archive"] {
        for entry in std::fs::read_dir(fixture_dir().join(below)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(fixture_dir()).unwrap().to_str().unwrap().to_owned();
                files.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn config() -> Config {
    Config {
        segment_bytes_max: ByteSize::kib(16),
        group_bytes_max: ByteSize::kib(16),
        batch_bytes_max: ByteSize::kib(8),
        transaction_bytes_max: ByteSize::kib(8),
        ..small()
    }
}

fn world(disk: &FaultDisk) -> World {
    World::on(Arc::new(disk.clone()), Path::new(DIR), config())
}

fn keyed(value: &[u8]) -> RecordBatch {
    let headers = HeadersBuilder::new().with("ms.request_id", b"r-1");
    let mut builder = RecordBatchBuilder::new();
    builder.push(Record {
        timestamp: Timestamp::from_millis(1_700_000_000_000),
        key: Some(b"user-1"),
        value: Some(value),
        headers: headers.as_headers(),
    });
    builder.finish()
}

/// Writes a journal with every kind of frame, an archive and two incarnations.
async fn write_journal() -> BTreeMap<String, Vec<u8>> {
    let disk = FaultDisk::new(1);
    let mut world = world(&disk);
    let journal = world.open().unwrap();
    topic(&journal, "events", 2).await;
    topic(&journal, "clean", 1).await;
    topic_of(&journal, "dead", 1, TopicKind::DeadLetters).await;
    let inputs = [partition("events", 0), partition("events", 1)];
    let both = vec![(inputs[0].clone(), keyed(b"one")), (inputs[1].clone(), keyed(b"two"))];
    journal.enqueue(both).unwrap().await.unwrap();
    let mut task = journal.open(&cx(), &owner("app.events.clean.0", &inputs)).await.unwrap();
    for number in 0..6_u8 {
        append(&journal, &inputs[1], &[&[number; 4000]]).await;
    }
    let mut consumed = Vec::new();
    for input in &inputs {
        let next = journal.bounds(&cx(), input).await.unwrap().end;
        consumed.push(Consumed { partition: input.clone(), next });
    }
    let transaction = Transaction {
        records: vec![
            (partition("clean", 0), keyed(b"ONE")),
            (partition("dead", 0), keyed(b"two")),
        ],
        consumed,
        positions: vec![(SourceId::new("ms.counts").unwrap(), Bytes::from_static(b"read=8"))],
    };
    task.writer.transact(&cx(), transaction).await.unwrap();
    for number in 0..4_u8 {
        append(&journal, &inputs[0], &[&[number; 4000]]).await;
    }
    journal.open(&cx(), &owner("removed", &[])).await.unwrap();
    journal.trim(&cx(), &inputs[1], Offset(2)).await.unwrap();
    world.clock.advance(Duration::from_secs(2 * 86_400));
    journal.maintain().await;
    drop((task, journal));
    let journal = world.open().unwrap();
    append(&journal, &inputs[1], &[b"after a restart"]).await;
    drop(journal);
    files_of(&disk)
}

fn files_of(disk: &FaultDisk) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for below in ["", "archive/"] {
        let dir = Path::new(DIR).join(below);
        for entry in disk.list(&dir).unwrap() {
            if entry.is_dir || entry.name == "lock" {
                continue;
            }
            let file = disk.open(&dir.join(&entry.name), OpenMode::Read).unwrap();
            let mut bytes = vec![0; usize::try_from(entry.bytes).unwrap()];
            file.read_exact_at(&mut bytes, 0).unwrap();
            files.insert(format!("{below}{}", entry.name), bytes);
        }
    }
    files
}

#[tokio::test]
async fn the_format_of_version_1_has_not_changed() {
    let written = write_journal().await;
    if std::env::var("MILLSTREAM_WRITE_FIXTURE").is_ok() {
        std::fs::create_dir_all(fixture_dir().join("archive")).unwrap();
        for (name, bytes) in &written {
            std::fs::write(fixture_dir().join(name), bytes).unwrap();
        }
    }
    let committed = fixture_files();
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&written), names(&committed));
    for (name, bytes) in &written {
        assert!(*bytes == committed[name], "{name} is written otherwise than in version 1");
    }
}

#[tokio::test]
async fn a_journal_of_version_1_is_read() {
    let disk = FaultDisk::new(1);
    disk.create_dir_all(&Path::new(DIR).join("archive")).unwrap();
    for (name, bytes) in fixture_files() {
        let file = disk.open(&Path::new(DIR).join(name), OpenMode::CreateNew).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
    }
    let journal = world(&disk).open().unwrap();
    let events = read_all(&journal, &partition("events", 0)).await;
    let lengths: Vec<usize> = events.iter().map(Vec::len).collect();
    assert_eq!(lengths, [4000, 4000, 4000, 4000]);
    assert_eq!(read_all(&journal, &partition("dead", 0)).await, [b"two"]);
    assert_eq!(read_all(&journal, &partition("events", 1)).await, [b"after a restart"]);
    let bounds = journal.bounds(&cx(), &partition("events", 1)).await.unwrap();
    assert_eq!((bounds.start.offset.0, bounds.end.offset.0), (7, 8));
    let task = owner("app.events.clean.0", &[]).task;
    let committed = journal.committed(&cx(), &task).await.unwrap().unwrap();
    assert!(committed.began);
    assert_eq!(committed.consumed[&partition("events", 1)].offset.0, 7);
    let counts = &committed.positions[&SourceId::new("ms.counts").unwrap()];
    assert_eq!(counts.as_ref(), b"read=8");
    assert_eq!(journal.topics(&cx()).await.unwrap().len(), 3);
}
