//! A file that takes all the room there is.

use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

/// How much is written at once while there is room for it, then how much to the last byte.
const PIECES: [usize; 2] = [1 << 20, 4096];

/// A file on a small disk that grows until the disk is full.
#[derive(Debug)]
pub(super) struct Ballast(PathBuf);

impl Ballast {
    /// Names a file on `disk`.
    pub(super) fn new(disk: &Path) -> Self {
        Self(disk.join("ballast"))
    }

    /// Fills the disk to its last page.
    pub(super) fn fill(&self) {
        let mut file = File::create(&self.0).unwrap();
        for piece in PIECES.map(|bytes| vec![7; bytes]) {
            let error = loop {
                if let Err(error) = file.write_all(&piece) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        }
    }

    /// Gives the room back.
    pub(super) fn remove(&self) {
        if let Err(error) = std::fs::remove_file(&self.0) {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        }
    }
}
