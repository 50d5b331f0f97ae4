use millstream_model::{Incarnation, LogPosition};
use millstream_runtime::Rng;
use millstream_runtime::disk::fault::{Fault, FaultDisk, Op, OpKind, Survival, When};
use uuid::Uuid;

use super::*;
use crate::{Entry, FamilyId, WriteBatch};

const BYTES_MAX: u64 = 64 << 20;

fn position(offset: u64) -> LogPosition {
    LogPosition {
        log: LogId(Uuid::from_u128(11)),
        topic: TopicId(Uuid::from_u128(12)),
        incarnation: Incarnation(13),
        offset: Offset(offset),
    }
}

fn label() -> Label {
    Label { partition: 3, written: Timestamp::from_millis(1_000), fingerprint: "dedupe/1".into() }
}

fn identity() -> Identity {
    Identity {
        log: position(0).log,
        topic: position(0).topic,
        partition: 3,
        fingerprint: "dedupe/1".into(),
        since: Offset::ZERO,
        written_after: None,
    }
}

/// A store with `entries` entries, as of `offset`.
fn store(entries: u32, offset: u64) -> MemoryStore {
    let mut batch = WriteBatch::new();
    batch.put(FamilyId(0), b"clock"[..].into(), Entry::new(&offset.to_le_bytes()));
    for number in 0..entries {
        let due = Timestamp::from_millis(i64::from(number % 7));
        let key = number.to_be_bytes();
        batch.put(FamilyId(1), key[..].into(), Entry::due_at(&key[..2], due));
    }
    let mut store = MemoryStore::new(BYTES_MAX);
    store.commit(&batch, Some(position(offset))).unwrap();
    store
}

fn dir(disk: &FaultDisk) -> SnapshotDir {
    SnapshotDir::new(Arc::new(disk.clone()), PathBuf::from("/state/task"))
}

/// What comes back from a disk that is sound.
fn loaded(dir: &SnapshotDir) -> Option<MemoryStore> {
    let Loaded { store, unreadable } = dir.load(&identity(), BYTES_MAX).unwrap();
    assert!(unreadable.is_empty(), "{unreadable:?}");
    store
}

#[test]
fn the_newest_snapshot_comes_back_and_two_are_kept() {
    let disk = FaultDisk::new(1);
    let dir = dir(&disk);
    assert_eq!(loaded(&dir), None);
    assert_eq!(dir.save(&store(0, 5), &label()).unwrap(), None);
    assert_eq!(dir.save(&store(10, 50), &label()).unwrap(), Some(Offset(5)));
    // More than one block.
    assert_eq!(dir.save(&store(30_000, 500), &label()).unwrap(), Some(Offset(50)));
    assert_eq!(dir.offsets().unwrap(), [Offset(50), Offset(500)]);
    assert_eq!(loaded(&dir), Some(store(30_000, 500)));
}

#[test]
fn snapshots_of_another_log_or_from_beyond_the_end_do_not_push_out_new_ones() {
    let other = |position: LogPosition| {
        let mut store = MemoryStore::new(BYTES_MAX);
        store.commit(&WriteBatch::new(), Some(position)).unwrap();
        store
    };
    let log = LogId(Uuid::from_u128(1));
    let topic = TopicId(Uuid::from_u128(1));
    for (stale, label) in [
        (LogPosition { log, ..position(7_000) }, label()),
        (LogPosition { log, ..position(7) }, label()),
        (LogPosition { topic, ..position(7_000) }, label()),
        (LogPosition { topic, ..position(7) }, label()),
        // The log was taken back.
        (position(7_000), label()),
        (position(7), Label { partition: 4, ..label() }),
        (position(7), Label { fingerprint: "dedupe/0".into(), ..label() }),
    ] {
        let dir = dir(&FaultDisk::new(1));
        dir.save(&other(LogPosition { offset: Offset(6), ..stale }), &label).unwrap();
        dir.save(&other(stale), &label).unwrap();
        let label = self::label();
        for (offset, kept_from) in [(10, None), (20, Some(Offset(10))), (30, Some(Offset(20)))] {
            // The one at 6 is as good as new where only what lies beyond is stale.
            let is_ours = stale == position(7_000);
            let expected = kept_from.or(is_ours.then_some(Offset(6)));
            assert_eq!(dir.save(&store(3, offset), &label).unwrap(), expected, "{stale:?}");
            let found = loaded(&dir);
            assert_eq!(found, Some(store(3, offset)), "{stale:?}");
        }
        assert_eq!(dir.offsets().unwrap(), [Offset(20), Offset(30)], "{stale:?}");
    }
}

#[test]
fn a_snapshot_of_something_else_or_too_old_is_not_used() {
    let dir = dir(&FaultDisk::new(1));
    dir.save(&store(2, 5), &label()).unwrap();
    let check = |identity: Identity, is_used| {
        let found = dir.load(&identity, BYTES_MAX).unwrap().store;
        assert_eq!(found.is_some(), is_used, "{identity:?}");
    };
    check(identity(), true);
    check(Identity { log: LogId(Uuid::from_u128(1)), ..identity() }, false);
    check(Identity { topic: TopicId(Uuid::from_u128(1)), ..identity() }, false);
    check(Identity { partition: 4, ..identity() }, false);
    check(Identity { fingerprint: "dedupe/2".into(), ..identity() }, false);
    check(Identity { since: Offset(5), ..identity() }, true);
    check(Identity { since: Offset(6), ..identity() }, false);
    check(Identity { written_after: Some(Timestamp::from_millis(999)), ..identity() }, true);
    check(Identity { written_after: Some(Timestamp::from_millis(1_000)), ..identity() }, false);
}

#[test]
fn a_damaged_snapshot_is_passed_over_for_the_one_before() {
    let disk = FaultDisk::new(1);
    let dir = dir(&disk);
    dir.save(&store(5, 5), &label()).unwrap();
    dir.save(&store(9, 9), &label()).unwrap();
    let file = disk.open(&dir.path_of(Offset(9)), OpenMode::ReadWrite).unwrap();
    let len = file.len().unwrap();
    for at in 0..len {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
        let found = loaded(&dir);
        assert_eq!(found, Some(store(5, 5)), "byte {at}");
        file.write_all_at(&byte, at).unwrap();
    }
    for cut in 0..len {
        file.set_len(len).unwrap();
        file.set_len(cut).unwrap();
        assert_eq!(loaded(&dir), Some(store(5, 5)), "cut at {cut}");
    }
}

#[test]
fn a_snapshot_that_cannot_be_read_is_named_and_the_one_before_is_used() {
    for kind in [OpKind::Open, OpKind::Len, OpKind::Read] {
        let disk = FaultDisk::new(1);
        let dir = dir(&disk);
        dir.save(&store(5, 5), &label()).unwrap();
        dir.save(&store(9, 9), &label()).unwrap();
        let newest = dir.path_of(Offset(9));
        // An open file goes by the name under which it was written.
        let stem = newest.with_extension("");
        let fits = move |op: &Op| op.kind == kind && op.path.with_extension("") == stem;
        disk.inject(When::Every(Box::new(fits)), Fault::Error);
        let Loaded { store: found, unreadable } = dir.load(&identity(), BYTES_MAX).unwrap();
        assert_eq!(found, Some(store(5, 5)), "{kind:?}");
        let [StoreError::Disk { path, .. }] = &unreadable[..] else {
            unreachable!("{unreadable:?}")
        };
        assert_eq!(*path, newest, "{kind:?}");

        // Nor does it stop the next ones, which push it out.
        dir.save(&store(20, 20), &label()).unwrap();
        assert_eq!(dir.save(&store(30, 30), &label()).unwrap(), Some(Offset(20)), "{kind:?}");
        assert_eq!(dir.offsets().unwrap(), [Offset(20), Offset(30)], "{kind:?}");
        disk.clear_faults();
        assert_eq!(loaded(&dir), Some(store(30, 30)), "{kind:?}");
    }
}

#[test]
fn where_no_snapshot_can_be_read_each_is_named() {
    let disk = FaultDisk::new(1);
    let dir = dir(&disk);
    dir.save(&store(5, 5), &label()).unwrap();
    dir.save(&store(9, 9), &label()).unwrap();
    disk.inject(When::Every(Box::new(|op| op.kind == OpKind::Open)), Fault::Error);
    let Loaded { store: found, unreadable } = dir.load(&identity(), BYTES_MAX).unwrap();
    assert_eq!((found, unreadable.len()), (None, 2));
    disk.clear_faults();
    assert_eq!(loaded(&dir), Some(store(9, 9)));
}

#[test]
fn a_power_cut_at_any_moment_leaves_a_snapshot_to_go_on_from() {
    let save_all = |disk: &FaultDisk| -> (usize, Option<Offset>) {
        let offsets = [5, 50, 500, 5_000];
        let mut kept_from = None;
        for (done, offset) in offsets.iter().enumerate() {
            match dir(disk).save(&store(20, *offset), &label()) {
                Ok(from) => kept_from = from.or(kept_from),
                Err(_crashed) => return (done, kept_from),
            }
        }
        (offsets.len(), kept_from)
    };
    let whole = FaultDisk::new(1);
    assert_eq!(save_all(&whole), (4, Some(Offset(500))));
    for change in 1..=whole.changes() {
        let survivals = [Survival::Synced, Survival::Written, Survival::Killed];
        for survival in survivals.into_iter().chain((0..4).map(Survival::Mixture)) {
            let disk = FaultDisk::new(change);
            disk.crash_at(change);
            let (done, kept_from) = save_all(&disk);
            let disk = disk.reboot(survival);
            let found = loaded(&dir(&disk));
            let offset = found.as_ref().map(|store| store.info().position.unwrap().offset);
            let at_least = [None, Some(5), Some(50), Some(500), Some(5_000)][done].map(Offset);
            assert!(offset >= at_least, "{change} {survival:?}: {offset:?} after {done}");
            // The changelog was trimmed before this at most, so the snapshot can be used.
            assert!(offset >= kept_from, "{change} {survival:?}: {offset:?}, {kept_from:?}");
            assert_eq!(found, offset.map(|offset| store(20, offset.0)));
            // What the crash left is no obstacle.
            dir(&disk).save(&store(1, 9_000), &label()).unwrap();
            let found = loaded(&dir(&disk));
            assert_eq!(found, Some(store(1, 9_000)));
        }
    }
}

fn fixture_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("test-data/snapshot/v1.snapshot")
}

fn bytes_of_file(disk: &FaultDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[test]
fn the_stored_fixture_reads_and_is_what_is_written_today() {
    let disk = FaultDisk::new(1);
    let dir = dir(&disk);
    dir.save(&store(12, 42), &label()).unwrap();
    let written = bytes_of_file(&disk, &dir.path_of(Offset(42)));
    if std::env::var_os("MILLSTREAM_WRITE_FIXTURE").is_some() {
        std::fs::create_dir_all(fixture_path().parent().unwrap()).unwrap();
        std::fs::write(fixture_path(), &written).unwrap();
    }
    assert_eq!(std::fs::read(fixture_path()).unwrap(), written);
}

const FUZZ_ROUNDS: u64 = 5_000;

#[test]
fn mutated_bytes_are_refused_without_a_panic() {
    let snapshot = std::fs::read(fixture_path()).unwrap();
    for seed in 0..FUZZ_ROUNDS {
        let mut rng = Rng::from_seed(seed);
        let mut bytes = snapshot.clone();
        for _ in 0..=rng.below(3) {
            let at = usize::try_from(rng.below(bytes.len() as u64)).unwrap();
            match rng.below(4) {
                0 => bytes[at] ^= 1 << rng.below(8),
                1 => bytes.insert(at, rng.next_u64().to_le_bytes()[0]),
                2 => bytes[at] = [0, 1, 0x7f, 0xff][rng.below(4) as usize],
                _ => bytes.truncate(at.max(1)),
            }
        }
        bytes.insert(0, u8::from(seed % 4 > 0));
        crate::fuzz::snapshot(&bytes);
        crate::fuzz::changelog(&bytes[bytes.len() / 2..]);
        let len = usize::try_from(rng.below(24)).unwrap();
        let noise: Vec<u8> = (0..len).map(|_| rng.below(5).to_le_bytes()[0]).collect();
        crate::fuzz::changelog(&noise);
    }
}
