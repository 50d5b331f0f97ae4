//! The segment that is written: created, allocated ahead, appended to, synced, sealed.
//!
//! Creating the next segment is what commits a cut or a seal: its head names the exact end of
//! the one before, so bytes behind that end never come back, whatever the disk still holds.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use millstream_model::{Incarnation, Timestamp};
use millstream_runtime::Disk;
use millstream_runtime::crash_point::crash_point;
use millstream_runtime::disk::{DiskFile, OpenMode};
use tracing::warn;

use super::error::{FileError, at_path};
use super::frame::{self, Kind, Stamp};
use super::index::{MemoryIndex, Summary};
use super::removal::remove_if_there;
use super::segment::{Home, Segment, file_name};
use super::state::{Link, State};

/// How far ahead of the end a segment is allocated: a full disk shows before anything of a
/// group is written, and few groups change the file's size.
const ALLOCATE_BYTES_MAX: u64 = 8 << 20;

/// Parts are written together up to this size.
///
/// The kernel caches what one call writes in runs of memory as long as the call. On a virtual
/// machine that gives free memory back to its host, long runs are what the host has to find again:
/// calls of 1 MiB took up to ten times as long as sixteen of 64 KiB.
const TOGETHER_BYTES_MAX: usize = 64 << 10;

/// The segment that is written.
#[derive(Debug)]
pub(super) struct Active {
    pub segment: Arc<Segment>,
    pub link: Link,
    pub incarnation: Incarnation,
    /// Where the next frame goes; everything before it is durable.
    pub end: u64,
    /// Where the head ends: a segment that ends there is empty.
    pub head_end: u64,
    /// Whether it holds records; a segment without any need not be kept.
    pub has_records: bool,
    /// The CRC of the last frame.
    pub previous: u32,
    file: Arc<dyn DiskFile>,
    allocated: Option<u64>,
    allocate_bytes: u64,
}

/// What the head of a new segment says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Birth<'a> {
    pub link: Link,
    pub incarnation: Incarnation,
    pub time: Timestamp,
    pub state: &'a State,
    /// The most bytes of a segment.
    pub segment_bytes_max: u64,
}

impl Active {
    /// Creates a segment; when this returns, it and all that it says is durable.
    pub(super) fn create(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        birth: &Birth<'_>,
    ) -> Result<Self, FileError> {
        let path = dir.join(file_name(birth.link.number));
        // A file of this number is what an attempt left that did not get this far.
        remove_if_there(&**disk, &path).map_err(at_path(&path))?;
        Self::write_head(disk, dir, birth).map_err(|source| {
            // Its head may be complete, and names an end: as long as it may come back, nothing
            // can be written behind that end.
            let gone = remove_if_there(&**disk, &path).and_then(|()| disk.sync_dir(dir));
            at_path(&path)(gone.err().map_or(source, io::Error::other))
        })
    }

    fn write_head(disk: &Arc<dyn Disk>, dir: &Path, birth: &Birth<'_>) -> io::Result<Self> {
        let Birth { link, incarnation, time, state, segment_bytes_max } = *birth;
        let allocate_bytes = segment_bytes_max.min(ALLOCATE_BYTES_MAX);
        let mut buf = Vec::new();
        let stamp = Stamp { previous: 0, incarnation, durable_end: 0, time };
        let previous = frame::encode(&mut buf, Kind::Snapshot, stamp, 0, |buf| {
            state.encode(link, buf);
        });
        let file = disk.open(&dir.join(file_name(link.number)), OpenMode::CreateNew)?;
        let end = buf.len() as u64;
        let allocated = allocate(&*file, end + allocate_bytes, end)?;
        file.write_all_at(&buf, 0)?;
        file.sync_data()?;
        crash_point("journal.roll");
        disk.sync_dir(dir)?;
        let summary = Summary { number: link.number, incarnation, end, time_last: time };
        let segment = Segment::unloaded(Arc::clone(disk), dir, link.number, Home::Journal)
            .with_file(Arc::clone(&file))
            .with_index(MemoryIndex::default(), summary);
        Ok(Self {
            segment: Arc::new(segment),
            link,
            incarnation,
            end,
            head_end: end,
            has_records: false,
            previous,
            file,
            allocated,
            allocate_bytes,
        })
    }

    /// Makes room for `bytes` more; an error means that nothing was written.
    pub(super) fn make_room(&mut self, bytes: u64) -> io::Result<()> {
        let needed = self.end + bytes;
        if self.allocated.is_some_and(|allocated| allocated < needed) {
            self.allocated = allocate(&*self.file, needed + self.allocate_bytes, needed)?;
        }
        Ok(())
    }

    /// Writes frames behind the end, from where their bytes are. The end does not move yet.
    pub(super) fn write(&self, frames: &[(&[u8], &[Bytes])]) -> io::Result<()> {
        let (mut at, mut bufs, mut len) = (self.end, Vec::new(), 0);
        for (head, pieces) in frames {
            for part in std::iter::once(*head).chain(pieces.iter().map(|piece| &piece[..])) {
                if len > 0 && len + part.len() > TOGETHER_BYTES_MAX {
                    at = self.write_step(&mut bufs, at)?;
                    len = 0;
                }
                bufs.push(IoSlice::new(part));
                len += part.len();
            }
        }
        self.write_step(&mut bufs, at).map(|_end| ())
    }

    /// Writes and empties `bufs`; returns where they end.
    fn write_step(&self, bufs: &mut Vec<IoSlice<'_>>, at: u64) -> io::Result<u64> {
        let len: usize = bufs.iter().map(|buf| buf.len()).sum();
        self.file.write_all_vectored_at(bufs, at)?;
        bufs.clear();
        Ok(at + len as u64)
    }

    /// Makes what was written durable. After an error the segment must be sealed.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Gives back what was allocated ahead, when the segment is sealed.
    pub(super) fn trim_allocation(&self) {
        if let Err(error) = self.file.set_len(self.end) {
            // It costs room, nothing else: where the segment ends stands in its successor's head.
            warn!(segment = self.link.number, %error, "room allocated ahead is not given back");
        }
    }

    /// Takes back what a failed write left behind the end.
    pub(super) fn cut_back(&mut self) -> io::Result<()> {
        self.allocated = self.allocated.map(|_| self.end);
        self.file.set_len(self.end)
    }
}

/// Allocates `wanted` bytes, or at least `needed`. Returns how many, `None` when the file system
/// cannot allocate ahead.
fn allocate(file: &dyn DiskFile, wanted: u64, needed: u64) -> io::Result<Option<u64>> {
    let result = match file.allocate(wanted) {
        Err(error) if is_full(&error) => file.allocate(needed).map(|()| needed),
        result => result.map(|()| wanted),
    };
    match result {
        Ok(allocated) => Ok(Some(allocated)),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(error),
    }
}

/// Tells whether an error means that there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
