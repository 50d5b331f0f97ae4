//! Room set aside, so that positions can be committed when the disk is full.
//!
//! A file is allocated and never written. When a commit of positions finds the disk full the
//! file is removed and the commit tried again; once retention has made room the file returns.

use std::io;
use std::path::PathBuf;

use millstream_runtime::disk::OpenMode;
use tracing::{info, warn};

use super::removal::{remove_if_there, remove_or_warn};
use super::writer::JournalThread;

const FILE_NAME: &str = "reserve";

/// Room set aside on disk.
#[derive(Debug, Default)]
pub(super) struct Reserve {
    bytes: u64,
    /// The file system cannot allocate: there is no reserve, and trying again is no use.
    is_unsupported: bool,
}

impl Reserve {
    /// Returns how many bytes are set aside.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl JournalThread {
    fn reserve_path(&self) -> PathBuf {
        self.shared.dir.join(FILE_NAME)
    }

    /// Gives the reserve back to the disk, for commits that must not fail.
    pub(super) fn release_reserve(&mut self) {
        if self.reserve.bytes == 0 {
            return;
        }
        match self.shared.disk.remove(&self.reserve_path()) {
            Ok(()) => info!(bytes = self.reserve.bytes, "disk is full, the reserve is used"),
            Err(error) => warn!(%error, "reserve cannot be removed"),
        }
        self.reserve.bytes = 0;
        self.free_space.forget();
    }

    /// Sets the reserve aside if it is not, and if that leaves room for others.
    pub(super) fn restore_reserve(&mut self) {
        let config = &self.shared.config;
        let wanted = config.reserve_bytes.bytes();
        if self.reserve.bytes == wanted || self.reserve.is_unsupported {
            return;
        }
        let free = self.shared.disk.free_bytes(&self.shared.dir).unwrap_or(0);
        let path = self.reserve_path();
        let disk = &self.shared.disk;
        let found = disk.open(&path, OpenMode::Read).and_then(|file| file.len()).unwrap_or(0);
        if found == wanted {
            self.reserve.bytes = wanted;
            return;
        }
        if free < wanted + config.disk_free_min.bytes() {
            return;
        }
        let allocated = remove_if_there(&**disk, &path)
            .and_then(|()| disk.open(&path, OpenMode::CreateNew))
            .and_then(|file| file.allocate(wanted));
        match allocated {
            Ok(()) => self.reserve.bytes = wanted,
            Err(error) => {
                warn!(%error, "no room is set aside for positions on a full disk");
                self.reserve.is_unsupported = error.kind() == io::ErrorKind::Unsupported;
                remove_or_warn(&**disk, &path);
            }
        }
    }
}
