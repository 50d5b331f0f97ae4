//! Metric names are declared in `metrics.rs` only, and the reference page is made from there.
//!
//! A declaration is a constant with the name, and a `describe_…!` call in the same file that gives
//! it a type and a help text:
//!
//! ```text
//! const CONNECTIONS: &str = "millstream_collector_connections";
//! describe_gauge!(CONNECTIONS, Unit::Count, "Open connections.");
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::finding::Finding;
use crate::tree::SourceFile;

/// The page that `cargo run -p xtask -- docs` writes.
pub(crate) const REFERENCE: &str = "docs/reference/metrics.md";

const REMEDY_PAGE: &str = "run `cargo run -p xtask -- docs` and commit the page";
const REMEDY_PLACE: &str = "declare the name in the crate's `metrics.rs` and use it from there";
const REMEDY_HELP: &str =
    "describe it in the same file: `describe_counter!(NAME, Unit::…, \"what is counted\")`";

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

/// Checks that names stand in the right place, each with a help text, and that the page is fresh.
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
        let what = format!("metric `{}` without a help text", metric.name);
        findings.push(Finding::new(metric.path, metric.line, what, REMEDY_HELP));
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
        let identifier = lines[constant].split("const ").nth(1);
        let identifier = identifier.and_then(|rest| rest.split(':').next()).unwrap_or_default();
        let description = describe(&file.text, identifier.trim());
        let (kind, meaning) = description.unwrap_or_else(|| ("–", String::new()));
        metrics.push(Metric { name, kind, meaning, path: &file.path, line });
    }
    metrics
}

/// Returns the type and the help text that the `describe_…!` call of this constant gives it.
fn describe(text: &str, identifier: &str) -> Option<(&'static str, String)> {
    ["counter", "gauge", "histogram"].into_iter().find_map(|kind| {
        let opening = format!("describe_{kind}!(");
        let mut calls = text.split(&opening).skip(1);
        let call = calls
            .find(|call| call.split(',').next().is_some_and(|first| first.trim() == identifier))?;
        let help = call.split(");").next()?.split('"').nth(1)?;
        // A long text goes on after a backslash at the end of the line.
        let words = help.split(|c: char| c.is_whitespace() || c == '\\');
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        Some((kind, words.join(" ").trim_end_matches('.').to_owned()))
    })
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
