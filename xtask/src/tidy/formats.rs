//! Every page on a stored format has a fixture beside it, or says that none is stored.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::finding::Finding;
use crate::tree::SourceFile;

/// What a page without a fixture says.
const NONE_STORED: &str = "no fixture is stored";

/// The directory of all fixtures, in the root and in each crate.
const FIXTURES: &str = "test-data";

/// Returns every directory below a `test-data` directory that holds at least one file.
pub(crate) fn directories_of_fixtures(root: &Path) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut places = vec![String::new()];
    let crates = fs::read_dir(root.join("crates")).context("list crates")?;
    for entry in crates {
        let name = entry.context("list crates")?.file_name();
        places.push(format!("crates/{}/", name.to_string_lossy()));
    }
    for place in places {
        let path = format!("{place}{FIXTURES}");
        if root.join(&path).is_dir() {
            walk(root, &path, &mut found)?;
        }
    }
    Ok(found)
}

fn walk(root: &Path, path: &str, found: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(root.join(path)).with_context(|| format!("list {path}"))? {
        let entry = entry.with_context(|| format!("list {path}"))?;
        if entry.file_type().with_context(|| format!("inspect {path}"))?.is_dir() {
            walk(root, &format!("{path}/{}", entry.file_name().to_string_lossy()), found)?;
        } else {
            // A directory counts for those above it too: a page may name any of them.
            let parts: Vec<&str> = path.split('/').collect();
            found.extend((1..=parts.len()).map(|count| parts[..count].join("/")));
        }
    }
    Ok(())
}

/// Checks every page below `docs/formats`.
pub(crate) fn check(files: &[SourceFile], fixture_dirs: &BTreeSet<String>) -> Vec<Finding> {
    let pages = files.iter().filter(|file| {
        file.path.starts_with("docs/formats/")
            && file.has_extension("md")
            && file.name() != "README.md"
    });
    pages.filter_map(|page| check_page(page, fixture_dirs)).collect()
}

fn check_page(page: &SourceFile, fixture_dirs: &BTreeSet<String>) -> Option<Finding> {
    // Lines are joined, so that the sentence may be wrapped.
    let prose = page.text.split_whitespace().collect::<Vec<_>>().join(" ");
    if prose.to_lowercase().contains(NONE_STORED) {
        return None;
    }
    let mut named = page.text.split('`').skip(1).step_by(2).filter(|code| code.contains(FIXTURES));
    if named.any(|path| fixture_dirs.contains(path.trim_end_matches('/'))) {
        return None;
    }
    let what = "the page names no directory of fixtures that exists";
    let remedy = "commit a fixture and name its directory (`crates/log/test-data/…`), or say \
                  \"No fixture is stored\" and why";
    Some(Finding::new(&page.path, 1, what, remedy))
}
