//! The files of the workspace that the checks read.
//!
//! The tree is walked, not asked of git, so that the checks also run on an unpacked archive.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Directories that hold nothing we wrote.
const SKIPPED: [&str; 6] = ["target", ".git", "data", "node_modules", "test-data", "snapshots"];

/// One text file.
#[derive(Debug, Clone)]
pub(crate) struct SourceFile {
    /// The path relative to the root, with `/` between its parts.
    pub(crate) path: String,
    /// The text.
    pub(crate) text: String,
}

impl SourceFile {
    /// Builds a file from its parts, for tests of the checks.
    #[cfg(test)]
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// Returns whether the name ends in `.extension`.
    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    /// Returns the name without its directory.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Iterates over the lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }
}

/// Reads every text file below `root`, in order of paths.
pub(crate) fn read(root: &Path) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    walk(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn walk(dir: &Path, prefix: &str, files: &mut Vec<SourceFile>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", dir.display()))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().with_context(|| format!("inspect {path}"))?;
        if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
            walk(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() && is_text(&name) {
            let bytes = fs::read(entry.path()).with_context(|| format!("read {path}"))?;
            // What is not UTF-8 is no text of ours (a corpus entry, a picture).
            if let Ok(text) = String::from_utf8(bytes) {
                files.push(SourceFile { path, text });
            }
        }
    }
    Ok(())
}

/// Returns whether a file of that name is text that we write by hand.
fn is_text(name: &str) -> bool {
    const EXTENSIONS: [&str; 9] = ["rs", "md", "toml", "sh", "go", "py", "yaml", "yml", "mod"];
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    name == "Makefile"
        || name == "run"
        || extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
}
