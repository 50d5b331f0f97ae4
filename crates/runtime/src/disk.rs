//! The disk, behind a seam: every file operation of the data path goes through [`Disk`].
//!
//! What is durable, and only that, survives a power cut: bytes after [`DiskFile::sync_data`],
//! and names after [`Disk::sync_dir`] of the directory that holds them. A failed `sync_data` is
//! final: the kernel reports the error once and marks the pages clean, so a second call may
//! succeed without the bytes being on disk. Seal the file at the last good end instead.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "test-support")]
pub mod fault;
mod real;

pub use real::RealDisk;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    ReadWrite,
    /// For reading and writing; it must not exist.
    CreateNew,
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The name within the directory.
    pub name: String,
    /// The size in bytes; zero for a directory.
    pub bytes: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// A file system.
///
/// It has more methods than other contracts because it mirrors one that exists; each is one
/// system call. All block.
pub trait Disk: Debug + Send + Sync {
    /// Creates `dir` and its parents where they are missing; its name is durable afterwards, also
    /// if it was there.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;
    /// Lists a directory in order of names.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    /// Renames a file, replacing `to`; atomic, durable after `sync_dir`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; durable after `sync_dir`.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the directory's entries durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Returns the bytes that an ordinary user can still write below `dir`.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
    /// Locks `path` for one process until the lock is dropped; `WouldBlock` when it is taken.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;
}

/// An open file.
pub trait DiskFile: Debug + Send + Sync {
    /// Returns the size in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Returns whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reads some bytes at `at`; zero at the end.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes some of `buf` at `at`.
    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<usize>;
    /// Writes some of `bufs`, one behind the other, at `at`; the first of them, unless the file
    /// system takes several in one call.
    fn write_vectored_at(&self, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        let first = bufs.iter().find(|buf| !buf.is_empty());
        first.map_or(Ok(0), |first| self.write_at(first, at))
    }
    /// Sets the size.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Allocates blocks up to `len` and sets the size to it: later writes below do not run out
    /// of space.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Makes the bytes and the size durable. Never call it again after an error.
    fn sync_data(&self) -> io::Result<()>;

    /// Reads exactly `buf.len()` bytes at `at`; `UnexpectedEof` when the file ends before.
    fn read_exact_at(&self, mut buf: &mut [u8], mut at: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    buf = &mut buf[count..];
                    at += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of `buf` at `at`; after an error any part of it may have been written.
    fn write_all_at(&self, mut buf: &[u8], mut at: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.write_at(buf, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    buf = &buf[count..];
                    at += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of `bufs`, one behind the other, at `at`; after an error any part of them may
    /// have been written.
    fn write_all_vectored_at(&self, mut bufs: &mut [IoSlice<'_>], mut at: u64) -> io::Result<()> {
        // Leading buffers that are empty: a write of nothing would look like a full disk.
        IoSlice::advance_slices(&mut bufs, 0);
        while !bufs.is_empty() {
            match self.write_vectored_at(bufs, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    IoSlice::advance_slices(&mut bufs, count);
                    at += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Holds a lock; dropping releases it, and so does the end of the process.
pub trait DiskLock: Debug + Send + Sync {}
