//! All checks over the tree. Each is a plain function from texts to findings.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::finding::Finding;
use crate::tree::{self, SourceFile};

mod exceptions;
mod formats;
mod layers;
mod limits;
mod links;
mod manifest;
mod metrics;
mod names;
mod rust_source;
mod text;

pub(crate) use metrics::REFERENCE as METRICS_PAGE;

#[cfg(test)]
mod tests;

/// Reads the tree below `root` and runs every check; findings come in order of paths.
pub(crate) fn check(root: &Path) -> Result<Vec<Finding>> {
    let files = tree::read(root)?;
    let directories = formats::directories_of_fixtures(root)?;
    let mut findings = check_files(&files, &directories);
    findings
        .extend(links::check(&files, |path| root.join(path).try_exists().is_ok_and(|found| found)));
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    Ok(findings)
}

/// Returns the text of the page of metrics.
pub(crate) fn metrics_page(root: &Path) -> Result<String> {
    Ok(metrics::page(&tree::read(root)?))
}

/// Runs every check over these files.
fn check_files(files: &[SourceFile], fixture_dirs: &BTreeSet<String>) -> Vec<Finding> {
    let (exceptions, mut findings) = exceptions::read(files);
    findings.extend(layers::check(files));
    findings.extend(limits::check(files, &exceptions));
    findings.extend(names::check(files));
    findings.extend(rust_source::check(files));
    findings.extend(text::check(files, &exceptions));
    findings.extend(formats::check(files, fixture_dirs));
    findings.extend(metrics::check(files));
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    findings
}
