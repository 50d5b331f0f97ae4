//! The data directory: where everything of one node lies.
//!
//! ```text
//! <data>/journal/                the log, and its lock
//! <data>/lake/catalog.db         the tables' catalog
//! <data>/lake/warehouse/         the tables' files
//! <data>/state/<task>/           snapshots of what steps remember
//! <data>/node.json               while a node runs
//! <data>/node.lock                where a node on Kafka has no journal
//! ```

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use millstream_model::TaskId;

use crate::exit::{Code, Failure};

/// The data directory of a node.
#[derive(Debug, Clone)]
pub(crate) struct DataDir(PathBuf);

/// Keeps a data directory to one process; dropped, or when the process ends, it is free again.
#[derive(Debug)]
pub(crate) struct DirLock(#[expect(dead_code, reason = "held open for its lock")] File);

impl DataDir {
    /// Names a directory, which need not exist.
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Creates the directory and returns its absolute path, which goes into the tables.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let created = std::fs::create_dir_all(path).and_then(|()| path.canonicalize());
        created.map(Self).map_err(|error| {
            let what = format!("create data directory {}", path.display());
            let denied = error.kind() == io::ErrorKind::PermissionDenied;
            let code = if denied { Code::NoPermission } else { Code::CannotCreate };
            Failure::new(code, anyhow::Error::new(error).context(what))
                .with_hint("name another one with --data DIR")
        })
    }

    /// Returns the directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the directory this process's own while the result lives, where no journal does.
    pub(crate) fn lock(&self) -> Result<DirLock, Failure> {
        let path = self.0.join("node.lock");
        let opened = File::options().create(true).truncate(false).write(true).open(&path);
        let file =
            opened.map_err(|error| Failure::io(error, format!("open {}", path.display())))?;
        match file.try_lock() {
            Ok(()) => Ok(DirLock(file)),
            Err(TryLockError::WouldBlock) => {
                let message = format!("another node runs on data directory {}", self.0.display());
                Err(Failure::message(Code::TryAgain, message).with_hint(
                    "stop it first, or give this one a directory of its own with --data DIR",
                ))
            }
            Err(TryLockError::Error(error)) => {
                Err(Failure::io(error, format!("lock {}", path.display())))
            }
        }
    }

    /// Returns the directory of the log.
    pub(crate) fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    /// Tells whether there is a log in the directory.
    pub(crate) fn has_journal(&self) -> Result<bool, Failure> {
        let path = self.journal();
        let found = path.try_exists();
        found.map_err(|error| Failure::io(error, format!("look for {}", path.display())))
    }

    /// Returns the directory of a task's snapshots of state.
    pub(crate) fn state(&self, task: &TaskId) -> PathBuf {
        self.0.join("state").join(task.as_str())
    }

    /// Returns the directory of the tables.
    pub(crate) fn lake(&self) -> PathBuf {
        self.0.join("lake")
    }
}

/// Creates the directory that the configuration names for the tables, and returns its absolute
/// path, which goes into them.
pub(crate) fn create_lake(path: &Path) -> Result<PathBuf, Failure> {
    let created = std::fs::create_dir_all(path).and_then(|()| path.canonicalize());
    created.map_err(|error| {
        Failure::io(error, format!("create the tables' directory {}", path.display()))
            .with_hint("name another one as `lake.path` in the configuration")
    })
}
