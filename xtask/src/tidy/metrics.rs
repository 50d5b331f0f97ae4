//! Metric names are declared in `metrics.rs` only, and each stands in the reference page.

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::tree::SourceFile;

const REFERENCE: &str = "docs/reference/metrics.md";
const REMEDY_PAGE: &str = "add a row: name, type, labels, meaning";
const REMEDY_PLACE: &str = "declare the name in the crate's `metrics.rs` and use it from there";

/// Checks the declarations against the page, in both directions.
pub(crate) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let page = files.iter().find(|file| file.path == REFERENCE);
    let documented: BTreeSet<&str> =
        page.map(|page| words(&page.text).collect()).unwrap_or_default();
    let crates = crates(files);
    let mut declared = BTreeSet::new();
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| is_product_code(file)) {
        for (line, name) in names(file, &crates) {
            if file.name() != "metrics.rs" {
                let what = format!("metric `{name}` outside `metrics.rs`");
                findings.push(Finding::new(&file.path, line, what, REMEDY_PLACE));
            } else if !documented.contains(name) {
                let what = format!("metric `{name}` does not stand in {REFERENCE}");
                findings.push(Finding::new(&file.path, line, what, REMEDY_PAGE));
            }
            declared.insert(name);
        }
    }
    if let Some(page) = page {
        findings.extend(stale(page, &declared, &crates));
    }
    findings
}

/// Finds names on the page that no crate declares.
fn stale(page: &SourceFile, declared: &BTreeSet<&str>, crates: &BTreeSet<&str>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in page.lines() {
        for name in words(text).filter(|word| is_metric(word, crates)) {
            if !declared.contains(name) {
                let what = format!("metric `{name}` is declared nowhere");
                findings.push(Finding::new(&page.path, line, what, "remove it from the page"));
            }
        }
    }
    findings
}

/// Returns the names of the crates, as they occur in metric names.
fn crates(files: &[SourceFile]) -> BTreeSet<&str> {
    let paths = files.iter().filter_map(|file| file.path.strip_prefix("crates/"));
    paths.filter_map(|path| path.split('/').next()).collect()
}

fn is_product_code(file: &SourceFile) -> bool {
    let is_test = file.name() == "tests.rs" || file.path.contains("/tests/");
    file.path.starts_with("crates/") && file.has_extension("rs") && !is_test
}

/// Returns string literals that are metric names, with their lines.
fn names<'a>(file: &'a SourceFile, crates: &BTreeSet<&str>) -> Vec<(usize, &'a str)> {
    let literals = file.lines().filter(|(_, text)| !text.trim_start().starts_with("//"));
    literals
        .flat_map(|(line, text)| text.split('"').skip(1).step_by(2).map(move |name| (line, name)))
        .filter(|(_, name)| is_metric(name, crates))
        .collect()
}

/// Returns whether `name` is `millstream_<crate>_<what…>`.
fn is_metric(name: &str, crates: &BTreeSet<&str>) -> bool {
    let Some((owner, what)) =
        name.strip_prefix("millstream_").and_then(|rest| rest.split_once('_'))
    else {
        return false;
    };
    let plain = what.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    crates.contains(owner) && plain && !what.is_empty()
}

/// Splits a text into what could be names.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}
