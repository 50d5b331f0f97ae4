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
    for (dependency, line) in sections.iter().flat_map(dependencies) {
        let Some(other) = dependency.strip_prefix(PREFIX).filter(|other| *other != short) else {
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
        if below >= layer {
            let what = format!("`{short}` ({layer}) depends on `{other}` ({below})");
            findings.push(Finding::new(&file.path, line, what, REMEDY_EDGE));
        }
    }
}

/// Returns the names a section depends on, in all the ways a manifest can say it.
fn dependencies(section: &manifest::Section) -> Vec<(String, usize)> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let name = section.name.rsplit_once("dependencies.");
    if let Some((_, dependency)) = name {
        return vec![(dependency.to_owned(), section.line)];
    }
    let last = section.name.rsplit('.').next().unwrap_or_default();
    if !KINDS.contains(&last) || section.name.starts_with("workspace") {
        return Vec::new();
    }
    section.entries.iter().map(|entry| (entry.key.clone(), entry.line)).collect()
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Product(number) => write!(f, "layer {number}"),
            Self::Dev => f.write_str("dev"),
        }
    }
}
