use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::{Fault, FaultDisk, OpKind, Survival, When};
use crate::disk::{Disk, DiskFile, OpenMode};

const EVERY_SURVIVAL: [Survival; 3] = [Survival::Synced, Survival::Written, Survival::Killed];

fn path() -> &'static Path {
    Path::new("/data/file")
}

/// A disk with `/data/file`, empty and durable.
fn disk_with_file() -> (FaultDisk, Arc<dyn DiskFile>) {
    let disk = FaultDisk::new(7);
    disk.create_dir_all(Path::new("/data")).unwrap();
    let file = disk.open(path(), OpenMode::CreateNew).unwrap();
    disk.sync_dir(Path::new("/data")).unwrap();
    (disk, file)
}

fn content(disk: &FaultDisk) -> Vec<u8> {
    let file = disk.open(path(), OpenMode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn synced_bytes_survive_every_reboot() {
    let (disk, file) = disk_with_file();
    file.write_all_at(&[1; 10_000], 0).unwrap();
    file.sync_data().unwrap();
    for survival in EVERY_SURVIVAL {
        assert_eq!(content(&disk.reboot(survival)), [1; 10_000], "{survival:?}");
    }
    for seed in 0..50 {
        assert_eq!(content(&disk.reboot(Survival::Mixture(seed))), [1; 10_000], "seed {seed}");
    }
}

#[test]
fn unsynced_bytes_survive_as_the_variant_says() {
    let (disk, file) = disk_with_file();
    file.write_all_at(b"unsynced", 0).unwrap();
    assert_eq!(content(&disk.reboot(Survival::Synced)), b"");
    assert_eq!(content(&disk.reboot(Survival::Written)), b"unsynced");
    assert_eq!(content(&disk.reboot(Survival::Killed)), b"unsynced");
}

#[test]
fn a_killed_process_leaves_bytes_that_a_power_cut_still_takes() {
    let (disk, file) = disk_with_file();
    file.write_all_at(b"unsynced", 0).unwrap();
    let next = disk.reboot(Survival::Killed);
    assert_eq!(content(&next), b"unsynced");
    assert_eq!(content(&next.reboot(Survival::Synced)), b"");
}

#[test]
fn a_mixture_tears_pages_and_separates_size_from_bytes() {
    let (disk, file) = disk_with_file();
    file.write_all_at(&[1; 8192], 0).unwrap();
    let images: Vec<_> =
        (0..200).map(|seed| content(&disk.reboot(Survival::Mixture(seed)))).collect();
    let has = |what: &str, found: &dyn Fn(&Vec<u8>) -> bool| {
        assert!(images.iter().any(found), "no reboot has {what}");
    };
    has("the old size", &|image| image.is_empty());
    has("all bytes", &|image| *image == [1; 8192]);
    has("the size without bytes", &|image| *image == [0; 8192]);
    has("a size in between", &|image| !image.is_empty() && image.len() < 8192);
    has("a torn page", &|image| {
        image.len() == 8192 && image[..4096].contains(&0) && image[..4096].contains(&1)
    });
    let sectors_are_whole = |image: &Vec<u8>| {
        image.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0]))
    };
    assert!(images.iter().all(sectors_are_whole));
}

#[test]
fn a_page_may_survive_in_an_older_content() {
    let (disk, file) = disk_with_file();
    for version in 1..=3 {
        file.write_all_at(&[version; 512], 0).unwrap();
    }
    let survives = |version: u8| {
        (0..200).any(|seed| content(&disk.reboot(Survival::Mixture(seed))) == [version; 512])
    };
    assert!(survives(0) && survives(1) && survives(2) && survives(3));
}

#[test]
fn a_failing_sync_is_reported_once_and_its_bytes_are_lost() {
    let (disk, file) = disk_with_file();
    file.write_all_at(&[1; 40_960], 0).unwrap();
    disk.inject(When::Nth(OpKind::Sync, 1), Fault::Error);
    file.sync_data().unwrap_err();
    file.sync_data().expect("the kernel reports an error once");
    let survived = content(&disk.reboot(Survival::Written));
    assert!(survived.contains(&0), "all ten pages reached the medium");
}

#[test]
fn a_page_written_again_after_a_failing_sync_is_synced_whole() {
    let (disk, file) = disk_with_file();
    file.write_all_at(&[1; 4096], 0).unwrap();
    disk.inject(When::Nth(OpKind::Sync, 1), Fault::Error);
    file.sync_data().unwrap_err();
    file.write_all_at(&[2; 4096], 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(content(&disk.reboot(Survival::Synced)), [2; 4096]);
}

#[test]
fn names_survive_only_after_the_directory_is_synced() {
    let (disk, file) = disk_with_file();
    file.sync_data().unwrap();
    disk.rename(path(), Path::new("/data/renamed")).unwrap();
    let names = |disk: &FaultDisk| {
        let entries = disk.list(Path::new("/data")).unwrap();
        entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&disk.copy().reboot(Survival::Synced)), ["file"]);
    for seed in 0..50 {
        let found = names(&disk.copy().reboot(Survival::Mixture(seed)));
        assert_eq!(found.len(), 1, "a rename is atomic: {found:?}");
    }
    disk.sync_dir(Path::new("/data")).unwrap();
    assert_eq!(names(&disk.reboot(Survival::Synced)), ["renamed"]);
}

#[test]
fn a_removed_file_may_come_back() {
    let (disk, file) = disk_with_file();
    file.write_all_at(b"kept", 0).unwrap();
    file.sync_data().unwrap();
    disk.remove(path()).unwrap();
    assert_eq!(content(&disk.reboot(Survival::Synced)), b"kept");
}

#[test]
fn a_full_disk_writes_what_fits_and_then_refuses() {
    let (disk, file) = disk_with_file();
    disk.set_capacity(Some(8192));
    assert_eq!(file.write_at(&[1; 10_000], 0).unwrap(), 8192);
    assert_eq!(file.write_at(&[1; 10], 8192).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.free_bytes(Path::new("/data")).unwrap(), 0);
    assert_eq!(file.write_at(&[2; 10], 0).unwrap(), 10, "a block in use needs no space");
    disk.set_capacity(None);
    file.write_all_at(&[1; 10], 8192).unwrap();
}

#[test]
fn allocated_blocks_take_writes_on_a_full_disk() {
    let (disk, file) = disk_with_file();
    disk.set_capacity(Some(8192));
    file.allocate(8192).unwrap();
    assert_eq!(file.len().unwrap(), 8192);
    file.write_all_at(&[1; 8192], 0).unwrap();
    assert_eq!(file.allocate(8193).unwrap_err().kind(), ErrorKind::StorageFull);
}

#[test]
fn scripted_faults_strike_their_operation() {
    let (disk, file) = disk_with_file();
    disk.inject(When::Nth(OpKind::Write, 1), Fault::ShortWrite);
    disk.inject(When::Nth(OpKind::Write, 2), Fault::Interrupted);
    disk.inject(When::Nth(OpKind::Write, 3), Fault::NoSpace);
    disk.inject(When::Nth(OpKind::Write, 4), Fault::TornWrite);
    disk.inject(When::Nth(OpKind::Read, 1), Fault::Error);
    let count = file.write_at(&[1; 100], 0).unwrap();
    assert!((1..100).contains(&count));
    assert_eq!(file.write_at(&[1; 100], 0).unwrap_err().kind(), ErrorKind::Interrupted);
    assert_eq!(file.write_at(&[1; 100], 0).unwrap_err().kind(), ErrorKind::StorageFull);
    assert!(file.write_at(&[1; 100], 0).is_err());
    assert!(file.read_at(&mut [0; 10], 0).is_err());
    assert_eq!(file.read_at(&mut [0; 1], 0).unwrap(), 1);
}

#[test]
fn a_crash_stops_the_numbered_change_and_everything_after_it() {
    let (disk, file) = disk_with_file();
    let before = disk.changes();
    disk.crash_at(before + 2);
    file.write_all_at(b"first", 0).unwrap();
    assert!(file.sync_data().is_err());
    assert!(disk.is_crashed());
    assert!(file.len().is_err() && disk.list(Path::new("/data")).is_err());
    let last = disk.operations().last().cloned().unwrap();
    assert_eq!((last.change, last.kind), (before + 2, OpKind::Sync));
}

#[test]
fn a_lock_excludes_until_it_is_dropped_or_the_machine_reboots() {
    let (disk, _file) = disk_with_file();
    let lock = disk.lock(Path::new("/data/lock")).unwrap();
    let taken = disk.lock(Path::new("/data/lock")).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::WouldBlock);
    disk.reboot(Survival::Killed).lock(Path::new("/data/lock")).unwrap();
    drop(lock);
    let (disk, _file) = disk_with_file();
    drop(disk.lock(Path::new("/data/lock")).unwrap());
    disk.lock(Path::new("/data/lock")).unwrap();
}

#[test]
fn a_held_sync_goes_on_when_released() {
    let (disk, file) = disk_with_file();
    file.write_all_at(b"bytes", 0).unwrap();
    disk.hold_syncs();
    let syncing = std::thread::spawn(move || file.sync_data());
    disk.wait_for_held_sync();
    assert_eq!(content(&disk.copy().reboot(Survival::Synced)), b"");
    disk.release_syncs();
    syncing.join().unwrap().unwrap();
    assert_eq!(content(&disk.reboot(Survival::Synced)), b"bytes");
}
