//! Reads the results with other people's programs: PyIceberg and DuckDB.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::requirement::lacks;

/// The message ids that each reader found.
#[derive(Debug, Deserialize)]
pub(crate) struct Rows {
    pub(crate) pyiceberg: Vec<String>,
    pub(crate) duckdb: Vec<String>,
    /// Rows whose (source, partition, offset) another row has too.
    pub(crate) positions_repeated: u64,
}

/// A Python that has both readers.
#[derive(Debug)]
pub(crate) struct Readers {
    python: PathBuf,
}

impl Readers {
    /// Brings them into the cache if they are not there; `None`, after saying so, when they cannot
    /// be had, which `MILLSTREAM_READERS_REQUIRED` makes a failure.
    pub(crate) fn install() -> Option<Self> {
        if let Some(python) = std::env::var_os("MILLSTREAM_PYTHON") {
            return Some(Self { python: PathBuf::from(python) });
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/python.sh");
        let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
        if !output.status.success() {
            lacks("a Python with PyIceberg and DuckDB", "MILLSTREAM_READERS_REQUIRED");
            return None;
        }
        let python = String::from_utf8(output.stdout).unwrap();
        Some(Self { python: PathBuf::from(python.trim()) })
    }

    /// Returns the Python.
    pub(crate) fn python(&self) -> &Path {
        &self.python
    }

    /// Reads every row of `table`.
    pub(crate) fn read(&self, lake: &Path, table: &str) -> Rows {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/read_table.py");
        let mut command = Command::new(&self.python);
        command.arg(script).arg(lake).arg(table).stderr(Stdio::inherit());
        let output = command.output().unwrap();
        assert!(output.status.success(), "the readers could not read the table");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}
