//! `node.json`: how other commands find the node that runs on a data directory.
//!
//! Written when the node is ready and removed when it ends. After a crash a stale one stays
//! behind; whoever reads it therefore asks the node, and goes on without one when nobody answers.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process;

use serde::{Deserialize, Serialize};

/// What a running node says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeInfo {
    /// Its process.
    pub(crate) pid: u32,
    /// Where it answers health, metrics and status.
    pub(crate) admin: SocketAddr,
    /// Where it takes events, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) collector: Option<SocketAddr>,
}

impl NodeInfo {
    /// Describes this process.
    pub(crate) fn of_this_process(admin: SocketAddr, collector: Option<SocketAddr>) -> Self {
        Self { pid: process::id(), admin, collector }
    }

    /// Reads the file; `None` when there is none, or when it was cut short by a crash.
    pub(crate) fn read(data: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(path(data)) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the file in one step, so that nobody reads half of it.
    pub(crate) fn write(&self, data: &Path) -> io::Result<()> {
        let target = path(data);
        let draft = target.with_extension("json.draft");
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        std::fs::write(&draft, text)?;
        std::fs::rename(&draft, &target)
    }

    /// Removes the file; it is no error when it is gone.
    pub(crate) fn remove(data: &Path) -> io::Result<()> {
        match std::fs::remove_file(path(data)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn path(data: &Path) -> PathBuf {
    data.join("node.json")
}
