//! The archive: what must outlive its segment, copied with its offsets.
//!
//! An archive file has the number and the incarnation of the segment it came from and the same
//! frames and sections, less what is not kept: whoever reads segments reads it. It is written
//! under another name, synced and renamed, so that it is there as a whole or not at all.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use millstream_runtime::Disk;
use millstream_runtime::disk::{DiskFile, OpenMode};

use super::change::{Change, Commit, Section};
use super::codec::{PartitionKey, Put};
use super::error::{FileError, at_path};
use super::frame::{self, Kind, Stamp};
use super::index::{Entry, MemoryIndex, Summary};
use super::recovery::ARCHIVE;
use super::removal::{remove_if_there, remove_or_warn};
use super::segment::{Home, Segment, file_name, number_of};
use super::segment_table::SegmentTable;
use super::shared::Shared;

/// What an unfinished archive file is called until it is renamed.
const UNFINISHED: &str = "unfinished";

/// Copies what `segment` holds of these partitions into the archive; durable on return.
pub(super) fn archive_segment(
    shared: &Shared,
    segment: &Segment,
    keys: &[PartitionKey],
) -> Result<Arc<Segment>, FileError> {
    let dir = shared.dir.join(ARCHIVE);
    shared.disk.create_dir_all(&dir).map_err(at_path(&dir))?;
    // The directory may be there since an attempt whose sync failed.
    shared.disk.sync_dir(&shared.dir).map_err(at_path(&shared.dir))?;
    let unfinished = dir.join(UNFINISHED);
    remove_if_there(&*shared.disk, &unfinished).map_err(at_path(&unfinished))?;
    let path = dir.join(file_name(segment.number));
    let written = write(shared, segment, keys, &unfinished);
    let finished = written.and_then(|written| {
        shared.disk.rename(&unfinished, &path).map_err(at_path(&path))?;
        shared.disk.sync_dir(&dir).map_err(at_path(&dir))?;
        Ok(written)
    });
    let (index, summary) = match finished {
        Ok(finished) => finished,
        Err(error) => {
            // It must not go on taking room; if it stays, the next attempt removes it.
            remove_or_warn(&*shared.disk, &unfinished);
            return Err(error);
        }
    };
    let copy = Segment::unloaded(Arc::clone(&shared.disk), &dir, segment.number, Home::Archive)
        .with_index(index, summary);
    copy.store_index();
    Ok(Arc::new(copy))
}

fn write(
    shared: &Shared,
    segment: &Segment,
    keys: &[PartitionKey],
    path: &Path,
) -> Result<(MemoryIndex, Summary), FileError> {
    let summary = segment.summary();
    let file = shared.disk.open(path, OpenMode::CreateNew).map_err(at_path(path))?;
    let stamp = Stamp {
        previous: 0,
        incarnation: summary.incarnation,
        durable_end: 0,
        time: summary.time_last,
    };
    let mut copy =
        Copy { file, path: path.to_owned(), stamp, end: 0, index: MemoryIndex::default() };
    copy.write_head(shared, segment.number)?;
    for key in keys {
        let start = shared.state().topics.span(*key).map(|span| span.start).unwrap_or_default();
        let mut next = segment.range(*key).map_or(start, |(first, _)| first.max(start));
        loop {
            let entries = segment.entries_from(*key, next)?;
            let Some(last) = entries.last() else { break };
            next = last.end();
            for entry in entries {
                copy.write_section(segment, *key, entry)?;
            }
        }
    }
    copy.file.sync_data().map_err(at_path(path))?;
    Ok((copy.index, Summary { end: copy.end, ..summary }))
}

/// An archive file that is written.
#[derive(Debug)]
struct Copy {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    stamp: Stamp,
    end: u64,
    index: MemoryIndex,
}

impl Copy {
    fn write_head(&mut self, shared: &Shared, number: u64) -> Result<(), FileError> {
        let mut head = Vec::new();
        self.stamp.previous = frame::encode(&mut head, Kind::Archive, self.stamp, 0, |buf| {
            buf.put_u64(number);
            buf.put(shared.log.0.as_bytes());
        });
        self.append(&head)
    }

    /// Copies one section, checked, as a frame of its own.
    fn write_section(
        &mut self,
        segment: &Segment,
        key: PartitionKey,
        entry: Entry,
    ) -> Result<(), FileError> {
        let records = read_section(segment, &entry)?;
        let Entry { base, count, bytes, crc, .. } = entry;
        let section = Section { key, base, count, bytes, crc };
        let change = Change::Commit(Commit { sections: vec![section], ..Commit::default() });
        let mut head = Vec::new();
        let crc = frame::encode(&mut head, Kind::Append, self.stamp, bytes, |buf| {
            change.encode(buf);
        });
        self.stamp.previous = crc;
        self.index.add(&[section], self.end + head.len() as u64);
        self.append(&head)?;
        self.append(&records)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all_at(bytes, self.end).map_err(at_path(&self.path))?;
        self.end += bytes.len() as u64;
        Ok(())
    }
}

/// Reads the bytes of a section and checks them.
fn read_section(segment: &Segment, entry: &Entry) -> Result<Bytes, FileError> {
    let mut bytes = vec![0; entry.bytes as usize];
    let file = segment.file()?;
    file.read_exact_at(&mut bytes, entry.position).map_err(at_path(&segment.path))?;
    if crc32c::crc32c(&bytes) != entry.crc {
        return Err(FileError::Corrupt {
            path: segment.path.clone(),
            at: entry.position,
            reason: "records do not match their checksum",
        });
    }
    Ok(Bytes::from(bytes))
}

/// Finds the archive files when a journal is opened. One whose segment is still there is a copy
/// of a deletion that did not get further: it is removed, and made again when the time comes.
pub(super) fn find_archived(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    journal: &BTreeSet<u64>,
    segments: &SegmentTable,
) -> Result<(), FileError> {
    let dir = dir.join(ARCHIVE);
    let entries = match disk.list(&dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(at_path(&dir))?,
    };
    for number in entries.iter().filter_map(|entry| number_of(&entry.name)) {
        let segment = Segment::unloaded(Arc::clone(disk), &dir, number, Home::Archive);
        if !journal.contains(&number) {
            segments.insert(Arc::new(segment));
            continue;
        }
        for path in [segment.path.clone(), segment.index_path()] {
            remove_if_there(&**disk, &path).map_err(at_path(&path))?;
        }
    }
    Ok(())
}
