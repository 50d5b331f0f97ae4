//! A module is named for what it does, and lies in `foo.rs` with its parts in `foo/`.

use crate::finding::Finding;
use crate::tree::SourceFile;

/// Names that say nothing about what is inside.
const BANNED: [&str; 9] =
    ["util", "utils", "common", "helper", "helpers", "misc", "core", "manager", "prelude"];

const REMEDY_NAME: &str = "name it for what it does: `retry`, `segment`, `partitioner`";

/// Checks the names of files, directories and inline modules.
pub(crate) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.has_extension("rs")) {
        if file.name() == "mod.rs" {
            let what = "a module lies in `foo.rs`, not in `foo/mod.rs`";
            findings.push(Finding::new(&file.path, 1, what, "move it up and rename it"));
        }
        let path = file.path.trim_end_matches(".rs");
        if let Some(name) = path.split('/').find(|part| BANNED.contains(part)) {
            let what = format!("`{name}` says nothing about what is inside");
            findings.push(Finding::new(&file.path, 1, what, REMEDY_NAME));
        }
        for (line, text) in file.lines() {
            let name = inline_module(text).filter(|name| BANNED.contains(name));
            if let Some(name) = name {
                let what = format!("module `{name}` says nothing about what is inside");
                findings.push(Finding::new(&file.path, line, what, REMEDY_NAME));
            }
        }
    }
    findings
}

/// Returns the name when `line` opens a module in place.
fn inline_module(line: &str) -> Option<&str> {
    let rest = line.trim_start();
    let rest =
        rest.strip_prefix("pub(crate) ").or_else(|| rest.strip_prefix("pub ")).unwrap_or(rest);
    rest.strip_prefix("mod ")?.strip_suffix(" {")
}
