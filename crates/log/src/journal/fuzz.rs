//! Fuzz targets: whatever the bytes are, decoding answers and never panics.

use std::path::Path;
use std::sync::Arc;

use millstream_model::Timestamp;
use millstream_runtime::disk::OpenMode;
use millstream_runtime::disk::fault::FaultDisk;
use millstream_runtime::{Clock, Disk, Rng};

use super::change::Change;
use super::codec::PartitionKey;
use super::frame::{self, Kind};
use super::index::{self, Directory, HEAD_BYTES};
use super::recovery::{Recovered, Site, recover};
use super::segment::file_name;
use super::state::State;

/// Decodes a frame's head and the fields of its kind; what decodes encodes to the same bytes.
pub fn frame(bytes: &[u8]) {
    let Ok(head) = frame::decode(bytes) else { return };
    match head.kind {
        Kind::Snapshot => {
            if let Some((link, state)) = State::decode(head.fields) {
                let mut again = Vec::new();
                state.encode(link, &mut again);
                assert_eq!(State::decode(&again), Some((link, state)));
            }
        }
        kind => {
            if let Some(change) = Change::decode(kind, head.fields) {
                assert_eq!(change.kind(), kind);
                let mut again = Vec::new();
                change.encode(&mut again);
                assert_eq!(again, head.fields, "{change:?}");
            }
        }
    }
}

/// Decodes an index file.
pub fn index(bytes: &[u8]) {
    let Some(directory) = Directory::decode(bytes) else { return };
    assert!(directory.partitions.len() <= bytes.len().saturating_sub(HEAD_BYTES));
    for listed in directory.partitions.values() {
        let from = usize::try_from(listed.position).unwrap_or(usize::MAX);
        if let Some(entries) = bytes.get(from..) {
            // Entries may be damaged on their own: decoding them answers too.
            let decoded = index::decode_entries(entries);
            assert!(decoded.is_none_or(|decoded| decoded.len() <= entries.len()));
        }
    }
}

/// Recovers a journal whose only segment has these bytes, and reads every partition of it.
///
/// When the first byte's lowest bit is set, checksums are made right first: otherwise hardly
/// any input would get past them.
pub fn segment(bytes: &[u8]) {
    let Some((flags, bytes)) = bytes.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if flags & 1 == 1 {
        seal(&mut bytes);
    }
    let disk: Arc<dyn Disk> = Arc::new(FaultDisk::new(1));
    let dir = Path::new("/journal");
    disk.create_dir_all(dir).expect("an empty disk takes a directory");
    let path = dir.join(file_name(1));
    let file = disk.open(&path, OpenMode::CreateNew).expect("the directory is empty");
    file.write_all_at(&bytes, 0).expect("the disk does not fail");
    let clock = Clock::manual(Timestamp::EPOCH);
    let site = Site { disk: &disk, dir, clock: &clock, segment_bytes_max: 64 << 10 };
    let Ok(recovered) = recover(&site, &mut Rng::from_seed(1)) else { return };
    read_all(&recovered);
}

fn read_all(recovered: &Recovered) {
    let partitions: Vec<(PartitionKey, _)> =
        recovered.state.topics.spans().map(|(key, span)| (key, *span)).collect();
    for (key, span) in partitions.into_iter().filter(|(_, span)| span.start < span.end) {
        // A snapshot may claim records that no segment holds: looking for them answers too.
        if let Ok(Some(segment)) = recovered.segments.find(key, span.start) {
            let entries = segment.entries_from(key, span.start);
            assert!(entries.is_ok_and(|entries| !entries.is_empty()));
        }
    }
}

/// Makes the checksums and the chain of all frames right, as far as lengths lead.
fn seal(bytes: &mut [u8]) {
    let (mut at, mut previous) = (0, 0_u32);
    while let Some(len) = bytes.get(at..).and_then(frame::head_len) {
        let Some(head) = bytes.get_mut(at..at + len as usize) else { return };
        head[20..24].copy_from_slice(&previous.to_le_bytes());
        previous = crc32c::crc32c(&head[8..]);
        head[4..8].copy_from_slice(&previous.to_le_bytes());
        let mut body = [0; 4];
        body.copy_from_slice(&head[12..16]);
        at = at.saturating_add(len as usize + u32::from_le_bytes(body) as usize);
    }
}

#[cfg(test)]
mod tests;
