//! What a catalog row names is on disk before the row is.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use millstream_lake::commit::Committer;
use millstream_lake::{Lake, Seams};
use millstream_pipeline::sink::Sink as _;
use millstream_runtime::Context;

use crate::support::disk::{Op, RecordingDisk};
use crate::support::fault::FaultyCatalog;
use crate::support::{House, commit_settings, inputs, table, write};

/// Returns the files whose bytes or name are not durable after `ops`.
fn at_risk(ops: &[Op]) -> BTreeSet<PathBuf> {
    let (mut bytes, mut names) = (BTreeSet::new(), BTreeSet::new());
    for op in ops {
        match op {
            Op::Create(path) => {
                bytes.insert(path.clone());
                names.insert(path.clone());
            }
            Op::Write(path) => {
                bytes.insert(path.clone());
            }
            Op::Sync(path) => {
                bytes.remove(path);
            }
            Op::SyncDir(dir) => names.retain(|path: &PathBuf| path.parent() != Some(dir)),
            Op::Remove(_) | Op::Swap { .. } => {}
        }
    }
    &bytes | &names
}

#[tokio::test]
async fn data_and_metadata_are_durable_before_the_catalog_row() {
    let (house, cx) = (House::new(), Context::background());
    let disk = RecordingDisk::default();
    let seams = Seams { disk: Arc::new(disk.clone()), clock: house.clock.clone() };
    let mut sink = house.sink_of(crate::support::config(), seams.clone());
    sink.open(&cx, &inputs(1)).await.unwrap();
    write(&mut sink, 0, 0, 10).await.unwrap();
    sink.commit(&cx).await.unwrap();
    let ops = disk.journal.lock().unwrap().ops.clone();
    let created = |suffix: &str| {
        let is =
            |op: &&Op| matches!(op, Op::Create(path) if path.to_string_lossy().ends_with(suffix));
        ops.iter().filter(is).count()
    };
    assert_eq!((created(".parquet"), created(".avro")), (2, 2));
    assert_eq!(at_risk(&ops), BTreeSet::new());

    // The same files, and the row among them in order.
    disk.journal.lock().unwrap().ops.clear();
    let catalog = FaultyCatalog::open(&house.lake_dir(), Arc::clone(&disk.journal)).await;
    let lake = Lake::with_catalog(&house.lake_dir(), catalog, seams);
    let mut committer = Committer::new(lake, table(), commit_settings());
    committer.commit(&cx, &millstream_lake::commit::Change::default()).await.unwrap();
    let ops = disk.journal.lock().unwrap().ops.clone();
    let swap = ops.iter().position(|op| matches!(op, Op::Swap { .. })).unwrap();
    assert_eq!(at_risk(&ops[..swap]), BTreeSet::new());
    let Op::Swap { to } = &ops[swap] else { unreachable!() };
    let named = PathBuf::from(to.strip_prefix("file://").unwrap());
    assert!(ops[..swap].contains(&Op::Sync(named)), "{ops:?}");
}
