//! A disk that records what is done to it, and fails when told to.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use millstream_runtime::disk::{DirEntry, Disk, DiskFile, DiskLock, OpenMode, RealDisk};

/// One change of the disk, or of the catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    Create(PathBuf),
    Write(PathBuf),
    Sync(PathBuf),
    SyncDir(PathBuf),
    Remove(PathBuf),
    Swap { to: String },
}

/// What was done so far, and the operation that fails.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) ops: Vec<Op>,
    /// How many operations still succeed; everything after fails.
    pub(crate) succeed: Option<usize>,
}

/// Shares a journal between a disk, its files and a catalog.
pub(crate) type Shared = Arc<Mutex<Journal>>;

#[derive(Debug, Clone, Default)]
pub(crate) struct RecordingDisk {
    pub(crate) journal: Shared,
    /// Whether syncs are only noted: a test of many commits is faster without them.
    pub(crate) lazy: bool,
}

/// Notes an operation, or fails it.
pub(crate) fn note(journal: &Shared, op: Op) -> io::Result<()> {
    let mut journal = journal.lock().unwrap();
    if let Some(succeed) = &mut journal.succeed {
        if *succeed == 0 {
            return Err(io::Error::other("injected"));
        }
        *succeed -= 1;
    }
    journal.ops.push(op);
    Ok(())
}

impl Disk for RecordingDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        if mode == OpenMode::CreateNew {
            note(&self.journal, Op::Create(path.to_owned()))?;
        }
        let file = RealDisk.open(path, mode)?;
        let (journal, lazy) = (Arc::clone(&self.journal), self.lazy);
        Ok(Arc::new(RecordingFile { journal, lazy, path: path.to_owned(), file }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        RealDisk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        note(&self.journal, Op::Remove(path.to_owned()))?;
        RealDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        note(&self.journal, Op::SyncDir(dir.to_owned()))?;
        if self.lazy { Ok(()) } else { RealDisk.sync_dir(dir) }
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        RealDisk.free_bytes(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        RealDisk.lock(path)
    }
}

#[derive(Debug)]
struct RecordingFile {
    journal: Shared,
    lazy: bool,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl DiskFile for RecordingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buf, at)
    }

    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<usize> {
        note(&self.journal, Op::Write(self.path.clone()))?;
        self.file.write_at(buf, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        note(&self.journal, Op::Sync(self.path.clone()))?;
        if self.lazy { Ok(()) } else { self.file.sync_data() }
    }
}
