//! Why a journal cannot be opened, and how its files can contradict themselves.

use std::io;
use std::path::PathBuf;

use millstream_model::{Classify, ErrorClass};
use thiserror::Error;

use super::config::ConfigError;
use crate::error::ReaderError;

/// Why a journal could not be opened.
#[derive(Debug, Error)]
pub enum OpenJournalError {
    /// A configuration value lies outside its range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another process holds the lock.
    #[error("journal {} is in use by another process", dir.display())]
    InUse {
        /// The journal's directory.
        dir: PathBuf,
    },
    /// A file operation failed.
    #[error("journal {}", path.display())]
    Storage {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Stored bytes are damaged where no crash can have damaged them.
    #[error(
        "journal {} is corrupt at byte {at}: {reason}; nothing was changed, restore the file \
         from a backup",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        at: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The journal was written in a newer format.
    #[error(
        "journal {} has format version {found}, this build reads up to {supported}; use a newer \
         build",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u8,
        /// The newest version that can be read.
        supported: u8,
    },
}

impl Classify for OpenJournalError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Config(_) | Self::Version { .. } => ErrorClass::Invalid,
            Self::InUse { .. } | Self::Storage { .. } => ErrorClass::Transient,
            Self::Corrupt { .. } => ErrorClass::Corrupt,
        }
    }
}

/// What reading a journal's file ran into.
#[derive(Debug, Error)]
pub(super) enum FileError {
    #[error("{}", path.display())]
    Storage {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} at byte {at}: {reason}", path.display())]
    Corrupt { path: PathBuf, at: u64, reason: &'static str },
    #[error("{} has version {found}", path.display())]
    Version { path: PathBuf, found: u8 },
}

impl From<FileError> for OpenJournalError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Storage { path, source } => Self::Storage { path, source },
            FileError::Corrupt { path, at, reason } => Self::Corrupt { path, at, reason },
            FileError::Version { path, found } => {
                Self::Version { path, found, supported: super::frame::VERSION }
            }
        }
    }
}

impl From<FileError> for ReaderError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Storage { source, .. } => Self::Storage(source),
            FileError::Corrupt { path, at, reason } => Self::Corrupt { path, at, reason },
            FileError::Version { path, .. } => {
                Self::Corrupt { path, at: 0, reason: "the format is newer than this build reads" }
            }
        }
    }
}

impl From<FileError> for io::Error {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Storage { source, .. } => source,
            other => Self::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// Names the file an I/O error belongs to.
pub(super) fn at_path(path: &std::path::Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Storage { path, source }
}
