//! Fuzz targets: whatever the bytes are, decoding answers and never panics.

use std::path::Path;
use std::sync::Arc;

use millstream_model::{Headers, Record, RecordBatchBuilder, Timestamp};
use millstream_runtime::Disk;
use millstream_runtime::disk::OpenMode;
use millstream_runtime::disk::fault::FaultDisk;

use crate::changelog::{self, Change};
use crate::{WriteBatch, snapshot};

/// Decodes a record of the changelog: the first byte says how long the key is, its highest bit a
/// tombstone; what decodes encodes to the same record.
pub fn changelog(bytes: &[u8]) {
    let Some((&key_len, rest)) = bytes.split_first() else { return };
    let (key, value) = rest.split_at(usize::from(key_len & 0x3f).min(rest.len()));
    let value = (key_len & 0x80 == 0).then_some(value);
    let timestamp = Timestamp::EPOCH;
    let record = Record { timestamp, key: Some(key), value, headers: Headers::EMPTY };
    let Ok(change) = Change::decode(record) else { return };
    let mut batch = WriteBatch::new();
    change.apply_to(&mut batch);
    let mut records = RecordBatchBuilder::new();
    changelog::encode(&batch, timestamp, &mut records);
    let records = records.finish();
    assert_eq!(records.iter().collect::<Vec<_>>(), [record]);
}

/// Reads a snapshot file with these bytes.
///
/// When the first byte's lowest bit is set, checksums are made right first: otherwise hardly any
/// input would get past them.
pub fn snapshot(bytes: &[u8]) {
    let Some((flags, bytes)) = bytes.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if flags & 1 == 1 {
        snapshot::fuzz::seal(&mut bytes);
    }
    let disk: Arc<dyn Disk> = Arc::new(FaultDisk::new(1));
    let path = Path::new("/fuzzed");
    let file = disk.open(path, OpenMode::CreateNew).expect("the disk is empty");
    file.write_all_at(&bytes, 0).expect("the disk does not fail");
    if let Ok(Some(store)) = snapshot::fuzz::read_any(&*disk, path) {
        // Whatever is taken for whole is accounted for.
        let claimed = store.iter().map(|(_, key, entry)| crate::memory::bytes_of(key, entry));
        assert_eq!(claimed.sum::<u64>(), crate::Store::info(&store).bytes);
    }
}
