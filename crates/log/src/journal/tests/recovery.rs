//! What recovery keeps, cuts and refuses.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millstream_runtime::Disk;
use millstream_runtime::disk::OpenMode;
use millstream_runtime::disk::fault::{Fault, FaultDisk, OpKind, Survival, When};

use super::{World, append, cx, owner, partition, read_all, small, topic};
use crate::contract::{Log, LogAdmin};
use crate::journal::segment::file_name;
use crate::journal::{Journal, OpenJournalError};

const DIR: &str = "/data/journal";

fn world(disk: &FaultDisk) -> World {
    World::on(Arc::new(disk.clone()), Path::new(DIR), small())
}

fn segment(number: u64) -> PathBuf {
    Path::new(DIR).join(file_name(number))
}

fn read_file(disk: &FaultDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Where what was written ends, without what was allocated ahead.
fn written_end(disk: &FaultDisk, path: &Path) -> u64 {
    let bytes = read_file(disk, path);
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
}

/// Appends three times and stops as a power cut does; returns where the last frame begins.
async fn three_appends() -> (FaultDisk, u64) {
    let disk = FaultDisk::new(1);
    let journal = world(&disk).open().unwrap();
    let events = partition("events", 0);
    topic(&journal, "events", 1).await;
    append(&journal, &events, &[b"one"]).await;
    append(&journal, &events, &[b"two"]).await;
    let last_at = written_end(&disk, &segment(1));
    append(&journal, &events, &[b"three"]).await;
    (disk.reboot(Survival::Synced), last_at)
}

async fn values(journal: &Journal) -> Vec<Vec<u8>> {
    read_all(journal, &partition("events", 0)).await
}

#[tokio::test]
async fn a_torn_tail_is_cut_at_every_byte() {
    let (disk, last_at) = three_appends().await;
    let end = written_end(&disk, &segment(1));
    for cut in last_at..end {
        let disk = disk.copy();
        disk.open(&segment(1), OpenMode::ReadWrite).unwrap().set_len(cut).unwrap();
        let journal = world(&disk).open().unwrap();
        assert_eq!(values(&journal).await, [b"one".to_vec(), b"two".to_vec()], "cut at {cut}");
        append(&journal, &partition("events", 0), &[b"four"]).await;
        drop(journal);
        let journal = world(&disk).open().unwrap();
        let expected = [b"one".to_vec(), b"two".to_vec(), b"four".to_vec()];
        assert_eq!(values(&journal).await, expected, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_tail_with_holes_is_cut_whichever_byte_is_lost() {
    let (disk, last_at) = three_appends().await;
    let end = written_end(&disk, &segment(1));
    for at in last_at..end {
        let disk = disk.copy();
        let file = disk.open(&segment(1), OpenMode::ReadWrite).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[!byte[0]], at).unwrap();
        let journal = world(&disk).open().unwrap();
        assert_eq!(values(&journal).await, [b"one".to_vec(), b"two".to_vec()], "byte {at}");
    }
}

#[tokio::test]
async fn damage_before_what_was_durable_is_refused_and_nothing_is_changed() {
    let (disk, last_at) = three_appends().await;
    let mut refused = 0;
    for at in 0..last_at {
        let disk = disk.copy();
        let file = disk.open(&segment(1), OpenMode::ReadWrite).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[!byte[0]], at).unwrap();
        let before = read_file(&disk, &segment(1));
        let result = world(&disk).open();
        let is_refused = matches!(
            result,
            Err(OpenJournalError::Corrupt { .. } | OpenJournalError::Version { .. })
        );
        assert!(is_refused, "byte {at}: {result:?}");
        assert_eq!(read_file(&disk, &segment(1)), before, "byte {at}");
        refused += 1;
    }
    assert!(refused > 200, "only {refused} bytes were damaged");
}

#[tokio::test]
async fn after_an_orderly_end_damage_of_the_last_record_is_refused_too() {
    let disk = FaultDisk::new(1);
    let journal = world(&disk).open().unwrap();
    topic(&journal, "events", 1).await;
    append(&journal, &partition("events", 0), &[b"precious"]).await;
    let at = written_end(&disk, &segment(1)) - 1;
    drop(journal);
    disk.open(&segment(1), OpenMode::ReadWrite).unwrap().write_all_at(b"!", at).unwrap();
    let result = world(&disk).open();
    assert!(matches!(result, Err(OpenJournalError::Corrupt { .. })), "{result:?}");
}

#[tokio::test]
async fn opening_reads_one_segment_however_many_there_are() {
    let disk = FaultDisk::new(1);
    let mut config = small();
    config.bytes_max = millstream_model::ByteSize::mib(64);
    let mut world = World::on(Arc::new(disk.clone()), Path::new(DIR), config);
    let journal = world.open().unwrap();
    let events = partition("events", 0);
    topic(&journal, "events", 1).await;
    for _ in 0..200 {
        append(&journal, &events, &[&[7; 20_000]]).await;
    }
    let segments = journal.stats().segments;
    assert!(segments > 60, "{segments}");
    drop(journal);
    let read = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&read);
    let count = move |op: &millstream_runtime::disk::fault::Op| {
        if op.kind == OpKind::Read {
            counter.fetch_add(op.bytes, Ordering::Relaxed);
        }
        false
    };
    disk.inject(When::Every(Box::new(count)), Fault::Error);
    let journal = world.open().unwrap();
    let read = read.load(Ordering::Relaxed);
    assert!(read < 3 * 64 * 1024, "{read} bytes were read");
    assert_eq!(read_all(&journal, &events).await.len(), 200);
}

#[tokio::test]
async fn restarts_do_not_pile_up_segments() {
    let mut disk = FaultDisk::new(1);
    let journal = world(&disk).open().unwrap();
    topic(&journal, "events", 1).await;
    append(&journal, &partition("events", 0), &[b"one"]).await;
    for round in 0..20 {
        disk = disk.reboot(Survival::Written);
        let journal = world(&disk).open().unwrap();
        // An epoch frame is no reason to keep a segment: the next snapshot says it.
        journal.open(&cx(), &owner("task", &[partition("events", 0)])).await.unwrap();
        let files = disk.list(Path::new(DIR)).unwrap();
        let segments = files.iter().filter(|file| file.name.ends_with(".journal")).count();
        assert!(segments <= 2, "round {round}: {files:?}");
        assert_eq!(values(&journal).await, [b"one".to_vec()]);
        assert_eq!(journal.tasks(&cx()).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_crash_at_any_step_of_recovery_recovers_to_the_same_records() {
    let (start, _) = three_appends().await;
    let expected = [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()];
    let mut stopped = 0;
    for change in 1.. {
        let disk = start.copy();
        disk.crash_at(change);
        let opened = world(&disk).open();
        if !disk.is_crashed() {
            break;
        }
        drop(opened);
        stopped += 1;
        for survival in [Survival::Synced, Survival::Written, Survival::Mixture(change)] {
            let disk = disk.copy().reboot(survival);
            let journal = world(&disk).open().unwrap();
            assert_eq!(values(&journal).await, expected, "change {change}, {survival:?}");
        }
    }
    assert!(stopped >= 5, "recovery made only {stopped} changes");
}

#[tokio::test]
async fn a_missing_or_damaged_index_is_built_again() {
    let disk = FaultDisk::new(1);
    let journal = world(&disk).open().unwrap();
    let events = partition("events", 0);
    topic(&journal, "events", 1).await;
    for _ in 0..10 {
        append(&journal, &events, &[&[7; 20_000]]).await;
    }
    drop(journal);
    let files = disk.list(Path::new(DIR)).unwrap();
    let indexes = files.iter().filter(|file| file.name.ends_with(".index"));
    for (number, index) in indexes.enumerate() {
        let path = Path::new(DIR).join(&index.name);
        if number % 2 == 0 {
            disk.remove(&path).unwrap();
        } else {
            disk.open(&path, OpenMode::ReadWrite).unwrap().write_all_at(&[9; 8], 60).unwrap();
        }
    }
    let journal = world(&disk).open().unwrap();
    assert_eq!(read_all(&journal, &events).await.len(), 10);
}
