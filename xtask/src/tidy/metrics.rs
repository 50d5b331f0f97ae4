//! Metric names are declared in `metrics.rs` only, and the reference page is made from there.
//!
//! A declaration is a constant with its name and, above it, what it means:
//!
//! ```text
//! /// Open connections.
//! pub const CONNECTIONS: &str = "millstream_collector_connections";
//! ```
//!
//! The type comes from the `describe_…!` call for that constant in the same file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::finding::Finding;
use crate::tree::SourceFile;

/// The page that `cargo run -p xtask -- docs` writes.
pub(crate) const REFERENCE: &str = "docs/reference/metrics.md";

const REMEDY_PAGE: &str = "run `cargo run -p xtask -- docs` and commit the page";
const REMEDY_PLACE: &str = "declare the name in the crate's `metrics.rs` and use it from there";
const REMEDY_DOC: &str = "say above the constant what is counted, in a sentence";

const HEAD: &str = "\
# Metrics

Served at `/metrics` of the admin address in Prometheus' text format. Made from each crate's
`metrics.rs` by `cargo run -p xtask -- docs`; do not edit.
";

/// A declared metric.
#[derive(Debug)]
struct Metric<'a> {
    name: &'a str,
    kind: &'static str,
    meaning: String,
    path: &'a str,
    line: usize,
}

/// Checks that names stand in the right place, each with its meaning, and that the page is fresh.
pub(crate) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let crates = crates(files);
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| is_product_code(file) && file.name() != "metrics.rs") {
        for (line, name) in names(file, &crates) {
            let what = format!("metric `{name}` outside `metrics.rs`");
            findings.push(Finding::new(&file.path, line, what, REMEDY_PLACE));
        }
    }
    let declared = declared(files, &crates);
    for metric in declared.iter().filter(|metric| metric.meaning.is_empty()) {
        let what = format!("metric `{}` without its meaning", metric.name);
        findings.push(Finding::new(metric.path, metric.line, what, REMEDY_DOC));
    }
    let page = files.iter().find(|file| file.path == REFERENCE).map_or("", |page| &page.text);
    let fresh = render(&declared);
    if !declared.is_empty() && page != fresh {
        let line = (1..).zip(page.lines().zip(fresh.lines())).find(|(_, (old, new))| old != new);
        let line = line.map_or(1, |(line, _)| line);
        findings.push(Finding::new(REFERENCE, line, "the page is out of date", REMEDY_PAGE));
    }
    findings
}

/// Returns the text of the page.
pub(crate) fn page(files: &[SourceFile]) -> String {
    render(&declared(files, &crates(files)))
}

fn render(declared: &[Metric<'_>]) -> String {
    let mut by_crate: BTreeMap<&str, Vec<&Metric<'_>>> = BTreeMap::new();
    for metric in declared {
        let owner = metric.path.split('/').nth(1).unwrap_or_default();
        by_crate.entry(owner).or_default().push(metric);
    }
    let mut text = HEAD.to_owned();
    for (owner, metrics) in by_crate {
        let _infallible =
            write!(text, "\n## {owner}\n\n| Name | Type | Meaning |\n|---|---|---|\n");
        for Metric { name, kind, meaning, .. } in metrics {
            let _infallible = writeln!(text, "| `{name}` | {kind} | {meaning} |");
        }
    }
    text
}

/// Returns every declaration, in order of files and lines.
fn declared<'a>(files: &'a [SourceFile], crates: &BTreeSet<&str>) -> Vec<Metric<'a>> {
    let sources = files.iter().filter(|file| is_product_code(file) && file.name() == "metrics.rs");
    sources.flat_map(|file| declared_in(file, crates)).collect()
}

fn declared_in<'a>(file: &'a SourceFile, crates: &BTreeSet<&str>) -> Vec<Metric<'a>> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut metrics = Vec::new();
    for (line, name) in names(file, crates) {
        // rustfmt may put the name of a long declaration on a line of its own.
        let constant = (0..line).rev().find(|index| lines[*index].contains("const "));
        let Some(constant) = constant.filter(|index| line - index <= 2) else { continue };
        let docs = lines[..constant].iter().rev().take_while(|line| line.trim().starts_with("///"));
        let mut sentences: Vec<&str> =
            docs.map(|line| line.trim().trim_start_matches('/').trim()).collect();
        sentences.reverse();
        let identifier =
            lines[constant].split("const ").nth(1).and_then(|rest| rest.split(':').next());
        let kind = kind(&file.text, identifier.unwrap_or_default().trim());
        let meaning = sentences.join(" ");
        metrics.push(Metric { name, kind, meaning, path: &file.path, line });
    }
    metrics
}

/// Returns the type that the `describe_…!` call of this constant gives it.
fn kind(text: &str, identifier: &str) -> &'static str {
    let is_of = |kind: &str| {
        let call = format!("describe_{kind}!(");
        let calls = text.split(&call).skip(1);
        let mut first = calls.filter_map(|call| call.split(',').next());
        first.any(|argument| argument.trim() == identifier)
    };
    ["counter", "gauge", "histogram"].into_iter().find(|kind| is_of(kind)).unwrap_or("–")
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
