//! The Java of this machine.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A Java that starts.
#[derive(Debug, Clone)]
pub(crate) struct Java {
    program: PathBuf,
    version: String,
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
        // As in `openjdk 17.0.15 2025-04-15`.
        let version = text.split_whitespace().nth(1).unwrap_or_default().to_owned();
        let major = version.split('.').next().and_then(|major| major.parse().ok());
        if major.is_none_or(|major: u32| major < version_min) {
            bail!("Java {version_min} is needed, here is: {}", text.trim());
        }
        Ok(Self { program, version })
    }

    /// Returns its full version.
    pub(crate) fn version(&self) -> &str {
        &self.version
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
