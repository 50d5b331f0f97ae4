//! The data directory: where everything of one node lies.
//!
//! ```text
//! <data>/journal/                the log, and its lock
//! <data>/lake/catalog.db         the tables' catalog
//! <data>/lake/warehouse/         the tables' files
//! <data>/state/<task>/           snapshots of what steps remember
//! <data>/node.json               while a node runs
//! ```

use std::io;
use std::path::{Path, PathBuf};

use millstream_model::TaskId;

use crate::exit::{Code, Failure};

/// The data directory of a node.
#[derive(Debug, Clone)]
pub(crate) struct DataDir(PathBuf);

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

    /// Returns the directory of the log.
    pub(crate) fn journal(&self) -> PathBuf {
        self.0.join("journal")
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
