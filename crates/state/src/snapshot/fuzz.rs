//! What fuzzing needs of snapshots.

use std::path::Path;

use millstream_model::Offset;
use millstream_runtime::Disk;
use millstream_runtime::disk::OpenMode;

use super::format::{MAGIC, Reader};
use super::{Identity, at, read};
use crate::memory::MemoryStore;
use crate::store::StoreError;

/// Makes the checksums of all frames right, as far as lengths lead.
pub(crate) fn seal(bytes: &mut [u8]) {
    let mut from = MAGIC.len();
    while let Some(len) = bytes.get(from..from + 8).and_then(|head| head.first_chunk()) {
        let len = u32::from_le_bytes(*len) as usize;
        let payload = from + 8..(from + 8).saturating_add(if len == 0 { 8 } else { len });
        let Some(crc) = bytes.get(payload.clone()).map(crc32c::crc32c) else { return };
        bytes[from + 4..from + 8].copy_from_slice(&crc.to_le_bytes());
        from = payload.end;
    }
}

/// Reads the file at `path` as whatever it claims to be a snapshot of.
pub(crate) fn read_any(disk: &dyn Disk, path: &Path) -> Result<Option<MemoryStore>, StoreError> {
    let file = disk.open(path, OpenMode::Read).map_err(at(path))?;
    let (position, label) = Reader::new(&*file, path).head()?;
    let identity = Identity {
        log: position.log,
        topic: position.topic,
        partition: label.partition,
        fingerprint: label.fingerprint,
        since: Offset::ZERO,
        written_after: None,
    };
    read(disk, path, &identity, u64::MAX)
}
