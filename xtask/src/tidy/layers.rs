//! Crates depend on lower layers only; the table in `ARCHITECTURE.md` is the one source.

use std::collections::BTreeMap;

use crate::finding::Finding;
use crate::tidy::manifest;
use crate::tree::SourceFile;

const TABLE: &str = "ARCHITECTURE.md";
const PREFIX: &str = "millstream-";
const REMEDY_EDGE: &str = "depend on a lower layer, move the code, or open a decision record";

/// A crate's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    /// Part of the product; higher numbers use lower ones.
    Product(u8),
    /// Support of tests: every crate may use it as a dev-dependency, and tools in any way.
    Test,
    /// Tools: they may use everything, nothing uses them.
    Dev,
}

/// Checks every edge between our crates against the table.
pub(crate) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let Some(table) = files.iter().find(|file| file.path == TABLE) else {
        let remedy = "write the table: | layer | crate | … |";
        return vec![Finding::new(TABLE, 1, "the table of layers is missing", remedy)];
    };
    let layers = read_table(table);
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.name() == "Cargo.toml" && file.path != "Cargo.toml")
    {
        check_manifest(file, &layers, &mut findings);
    }
    findings
}

/// Reads rows of the form ``| 2 | `log` | … |``; a cell may name several crates.
fn read_table(table: &SourceFile) -> BTreeMap<String, Layer> {
    let mut layers = BTreeMap::new();
    for (_, line) in table.lines() {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let (Some(number), Some(names)) = (cells.next(), cells.next()) else { continue };
        let layer = match (number, number.parse()) {
            ("dev", _) => Layer::Dev,
            ("test", _) => Layer::Test,
            (_, Ok(number)) => Layer::Product(number),
            _ => continue,
        };
        for name in names.split(',').map(|name| name.trim().trim_matches('`')) {
            layers.insert(name.to_owned(), layer);
        }
    }
    layers
}

fn check_manifest(
    file: &SourceFile,
    layers: &BTreeMap<String, Layer>,
    findings: &mut Vec<Finding>,
) {
    let sections = manifest::parse(&file.text);
    let package = sections.iter().find(|section| section.name == "package");
    let Some(name) = package.and_then(|section| section.get("name")) else { return };
    let short = name.strip_prefix(PREFIX).unwrap_or(name);
    let Some(&layer) = layers.get(short) else {
        let what = format!("crate `{short}` stands in no row of the table in {TABLE}");
        findings.push(Finding::new(&file.path, 1, what, "add it to the layer it belongs to"));
        return;
    };
    for Dependency { name, line, for_tests } in sections.iter().flat_map(dependencies) {
        let Some(other) = name.strip_prefix(PREFIX).filter(|other| *other != short) else {
            continue;
        };
        let Some(&below) = layers.get(other) else {
            let what = format!("`{other}` stands in no row of the table in {TABLE}");
            findings.push(Finding::new(
                &file.path,
                line,
                what,
                "add it to the layer it belongs to",
            ));
            continue;
        };
        // Tests of one crate may run it on a sibling: the product does not see that edge.
        let is_allowed_in_tests = below == Layer::Test || below == layer;
        if below >= layer && !(for_tests && is_allowed_in_tests) {
            let what = format!("`{short}` ({layer}) depends on `{other}` ({below})");
            findings.push(Finding::new(&file.path, line, what, REMEDY_EDGE));
        }
    }
}

/// One thing that a crate depends on.
struct Dependency {
    name: String,
    line: usize,
    /// Whether only tests see it.
    for_tests: bool,
}

/// Returns what a section depends on, in all the ways a manifest can say it.
fn dependencies(section: &manifest::Section) -> Vec<Dependency> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let for_tests = section.name.split('.').any(|part| part == "dev-dependencies");
    if let Some((_, name)) = section.name.rsplit_once("dependencies.") {
        return vec![Dependency { name: name.to_owned(), line: section.line, for_tests }];
    }
    let last = section.name.rsplit('.').next().unwrap_or_default();
    if !KINDS.contains(&last) || section.name.starts_with("workspace") {
        return Vec::new();
    }
    let entries = section.entries.iter();
    entries
        .map(|entry| Dependency { name: entry.key.clone(), line: entry.line, for_tests })
        .collect()
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Product(number) => write!(f, "layer {number}"),
            Self::Test => f.write_str("test"),
            Self::Dev => f.write_str("dev"),
        }
    }
}
