//! One segment: a file of frames, and the index that says where records stand in it.
//!
//! A segment is written by one thread and read by many. Its index lives in memory while it is
//! written; a sealed segment's index is a file, loaded when first asked for and built again from
//! the segment when it is missing or damaged.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use millstream_model::{Incarnation, Offset, Timestamp};
use millstream_runtime::disk::OpenMode;
use millstream_runtime::{Disk, DiskFile};
use tracing::warn;

use super::change::Section;
use super::codec::PartitionKey;
use super::error::{FileError, at_path};
use super::index::{Directory, ENTRY_BYTES, Entry, HEAD_BYTES, MemoryIndex, Summary};
use super::removal::{remove_if_there, remove_or_warn};
use super::scan::{Scan, Step};

/// How many entries of the active segment a reader copies at a time.
const ENTRIES_AT_ONCE: usize = 1024;

/// Returns the name of a segment's file.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:020}.journal")
}

/// Returns the number of the segment with this file name.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".journal")?;
    let all_digits = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = if all_digits { digits.parse::<u64>().ok() } else { None };
    // The next number must exist too.
    number.filter(|number| *number < u64::MAX)
}

/// Where a segment's file stands, and so how long it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// In the journal itself.
    Journal,
    /// In the archive: only what outlives the segment.
    Archive,
}

#[derive(Debug)]
enum Index {
    /// The segment is being written, or was sealed just now.
    Memory(MemoryIndex, Summary),
    File(Arc<Directory>),
    Unloaded,
}

/// One segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub number: u64,
    pub home: Home,
    pub path: PathBuf,
    disk: Arc<dyn Disk>,
    file: OnceLock<Arc<dyn DiskFile>>,
    index: RwLock<Index>,
    /// Held while the index is loaded or built, so that it happens once.
    loading: Mutex<()>,
}

impl Segment {
    /// Names a segment whose file exists; opens it when it is first read.
    pub(super) fn unloaded(disk: Arc<dyn Disk>, dir: &Path, number: u64, home: Home) -> Self {
        Self {
            number,
            home,
            path: dir.join(file_name(number)),
            disk,
            file: OnceLock::new(),
            index: RwLock::new(Index::Unloaded),
            loading: Mutex::new(()),
        }
    }

    /// Names a segment whose index is known.
    pub(super) fn with_index(self, index: MemoryIndex, summary: Summary) -> Self {
        Self { index: RwLock::new(Index::Memory(index, summary)), ..self }
    }

    /// Uses a file that is open already.
    pub(super) fn with_file(self, file: Arc<dyn DiskFile>) -> Self {
        Self { file: OnceLock::from(file), ..self }
    }

    /// Returns the open file.
    pub(super) fn file(&self) -> Result<Arc<dyn DiskFile>, FileError> {
        if let Some(file) = self.file.get() {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&self.path, OpenMode::Read).map_err(at_path(&self.path))?;
        Ok(Arc::clone(self.file.get_or_init(|| file)))
    }

    /// Returns where the index file stands.
    pub(super) fn index_path(&self) -> PathBuf {
        self.path.with_extension("index")
    }

    /// Adds what a frame brought; only while the segment is written.
    pub(super) fn add(&self, sections: &[Section], body_at: u64, end: u64, time: Timestamp) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let Index::Memory(memory, summary) = &mut *index else {
            unreachable!("only the active segment is written");
        };
        memory.add(sections, body_at);
        summary.end = end;
        summary.time_last = time;
    }

    /// Returns how many entries the index of the active segment has.
    pub(super) fn memory_entries(&self) -> usize {
        match &*self.index.read().unwrap_or_else(PoisonError::into_inner) {
            Index::Memory(memory, _) => memory.len(),
            Index::File(_) | Index::Unloaded => 0,
        }
    }

    /// Writes the index file of a sealed segment and gives its memory back.
    ///
    /// A failure costs memory, not data: the index stays where it is.
    pub(super) fn store_index(&self) {
        let (bytes, directory) = {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            let Index::Memory(memory, summary) = &*index else { return };
            (memory.encode(*summary), memory.directory(*summary))
        };
        match self.write_index(&bytes) {
            Ok(()) => self.set_index(Index::File(Arc::new(directory))),
            Err(error) => {
                warn!(segment = self.number, %error, "segment index stays in memory");
                // What was written of it would be built anew anyway: its checksum is wrong.
                remove_or_warn(&*self.disk, &self.index_path());
            }
        }
    }

    fn write_index(&self, bytes: &[u8]) -> io::Result<()> {
        let path = self.index_path();
        remove_if_there(&*self.disk, &path)?;
        self.disk.open(&path, OpenMode::CreateNew)?.write_all_at(bytes, 0)
    }

    fn set_index(&self, index: Index) {
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
    }

    /// Loads the index if need be; `exact_end` tells where the segment ends if it must be built.
    pub(super) fn load(
        &self,
        exact_end: impl FnOnce() -> Result<u64, FileError>,
    ) -> Result<(), FileError> {
        let is_loaded = || {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            !matches!(&*index, Index::Unloaded)
        };
        if is_loaded() {
            return Ok(());
        }
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if is_loaded() {
            return Ok(());
        }
        if let Some(directory) = self.read_directory() {
            self.set_index(Index::File(Arc::new(directory)));
            return Ok(());
        }
        self.rebuild(exact_end()?)
    }

    /// Reads the directory of the index file; `None` when it is missing or damaged.
    fn read_directory(&self) -> Option<Directory> {
        let file = self.disk.open(&self.index_path(), OpenMode::Read).ok()?;
        let file_len = file.len().ok()?;
        let mut head = vec![0; HEAD_BYTES];
        file.read_exact_at(&mut head, 0).ok()?;
        let len = Directory::bytes_len(&head)?;
        if len as u64 > file_len {
            return None;
        }
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0).ok()?;
        Directory::decode(&bytes).filter(|directory| directory.summary.number == self.number)
    }

    /// Builds the index from the segment, which must be whole up to `end`.
    fn rebuild(&self, end: u64) -> Result<(), FileError> {
        warn!(segment = self.number, "segment index is built again");
        let (index, summary) = build_index(&self.path, self.file()?, self.number, end)?;
        self.set_index(Index::Memory(index, summary));
        self.store_index();
        Ok(())
    }

    /// Returns the facts about the segment; it must be loaded.
    pub(super) fn summary(&self) -> Summary {
        match &*self.index.read().unwrap_or_else(PoisonError::into_inner) {
            Index::Memory(_, summary) => *summary,
            Index::File(directory) => directory.summary,
            Index::Unloaded => unreachable!("callers load the segment first"),
        }
    }

    /// Returns the incarnation of the segment; it must be loaded.
    pub(super) fn incarnation(&self) -> Incarnation {
        self.summary().incarnation
    }

    /// Returns the offsets of a partition in this segment; it must be loaded.
    pub(super) fn range(&self, key: PartitionKey) -> Option<(Offset, Offset)> {
        match &*self.index.read().unwrap_or_else(PoisonError::into_inner) {
            Index::Memory(memory, _) => memory.range(key),
            Index::File(directory) => {
                directory.partitions.get(&key).map(|listed| (listed.start, listed.end))
            }
            Index::Unloaded => unreachable!("callers load the segment first"),
        }
    }

    /// Returns every partition with its offsets in this segment; it must be loaded.
    pub(super) fn ranges(&self) -> Vec<(PartitionKey, Offset, Offset)> {
        match &*self.index.read().unwrap_or_else(PoisonError::into_inner) {
            Index::Memory(memory, _) => memory.ranges().collect(),
            Index::File(directory) => {
                let partitions = directory.partitions.iter();
                partitions.map(|(key, listed)| (*key, listed.start, listed.end)).collect()
            }
            Index::Unloaded => unreachable!("callers load the segment first"),
        }
    }

    /// Returns entries of a partition from the one that holds `offset` on: some of them while
    /// the segment is written, all of them afterwards. The segment must be loaded.
    pub(super) fn entries_from(
        &self,
        key: PartitionKey,
        offset: Offset,
    ) -> Result<Vec<Entry>, FileError> {
        let (directory, end) = match &*self.index.read().unwrap_or_else(PoisonError::into_inner) {
            Index::Memory(memory, _) => {
                return Ok(memory.entries_from(key, offset, ENTRIES_AT_ONCE));
            }
            Index::File(directory) => (Arc::clone(directory), directory.summary.end),
            Index::Unloaded => unreachable!("callers load the segment first"),
        };
        let mut entries = match self.read_entries(&directory, key) {
            Some(entries) => entries,
            None => {
                self.rebuild(end)?;
                let (index, _) = build_index(&self.path, self.file()?, self.number, end)?;
                index.entries_from(key, offset, usize::MAX)
            }
        };
        let from = entries.partition_point(|entry| entry.end() <= offset);
        entries.drain(..from);
        Ok(entries)
    }

    /// Reads the entries of a partition; `None` when they are damaged.
    fn read_entries(&self, directory: &Directory, key: PartitionKey) -> Option<Vec<Entry>> {
        let Some(listed) = directory.partitions.get(&key) else { return Some(Vec::new()) };
        let file = self.disk.open(&self.index_path(), OpenMode::Read).ok()?;
        let len = usize::try_from(listed.count).ok()?.checked_mul(ENTRY_BYTES)?;
        if listed.position.checked_add(len as u64)? > file.len().ok()? {
            return None;
        }
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, listed.position).ok()?;
        if crc32c::crc32c(&bytes) != listed.crc {
            return None;
        }
        super::index::decode_entries(&bytes)
    }
}

/// Walks a sealed file, which must be whole up to `end`, and builds its index.
pub(super) fn build_index(
    path: &Path,
    file: Arc<dyn DiskFile>,
    number: u64,
    end: u64,
) -> Result<(MemoryIndex, Summary), FileError> {
    let corrupt = |at, reason| FileError::Corrupt { path: path.to_owned(), at, reason };
    let (mut scan, first) = Scan::start(path, file, end)?.map_err(|reason| corrupt(0, reason))?;
    let mut index = MemoryIndex::default();
    let mut summary =
        Summary { number, incarnation: first.stamp.incarnation, end, time_last: first.stamp.time };
    while scan.at() < end {
        match scan.step()? {
            Step::Frame(frame) => {
                index.add(frame.change.sections(), frame.body_at);
                summary.time_last = frame.stamp.time;
            }
            Step::Invalid(reason) => return Err(corrupt(scan.at(), reason)),
        }
    }
    Ok((index, summary))
}
