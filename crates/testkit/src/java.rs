//! The Java of this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A Java that starts.
#[derive(Debug, Clone)]
pub(crate) struct Java {
    program: PathBuf,
}

impl Java {
    /// Looks below `JAVA_HOME`, then in the path.
    pub(crate) fn find(version_min: u32) -> Result<Self> {
        let program = match std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty()) {
            Some(home) => Path::new(&home).join("bin/java"),
            None => PathBuf::from("java"),
        };
        let output = Command::new(&program)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("start {} (no Java here?)", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        match major_version(&text) {
            Some(version) if version >= version_min => Ok(Self { program }),
            _ => bail!("Java {version_min} is needed, here is: {}", text.trim()),
        }
    }

    /// Returns the program.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Returns the tool that makes keys and certificates; every Java has it.
    pub(crate) fn keytool(&self) -> PathBuf {
        self.program.with_file_name("keytool")
    }
}

/// Returns the class path of these jars, in an order that does not change.
pub(crate) fn class_path<'a>(
    directory: &Path,
    file_names: impl Iterator<Item = &'a str>,
) -> Result<OsString> {
    std::env::join_paths(file_names.map(|name| directory.join(name))).context("join the class path")
}

/// Reads `openjdk 17.0.15 2025-04-15`.
fn major_version(text: &str) -> Option<u32> {
    text.split_whitespace().nth(1)?.split('.').next()?.parse().ok()
}
