//! `xtask/tidy.toml`: what may break a limit, and why.

use std::collections::BTreeMap;

use crate::finding::Finding;
use crate::tidy::manifest;
use crate::tree::SourceFile;

/// Where the exceptions stand.
pub(crate) const PATH: &str = "xtask/tidy.toml";

/// The exceptions, by path.
#[derive(Debug, Default)]
pub(crate) struct Exceptions {
    /// Files that may be longer than the limit.
    pub(crate) lines: BTreeMap<String, Exception>,
    /// Files that may name a place on a machine.
    pub(crate) machine_path: BTreeMap<String, Exception>,
}

/// One exception.
#[derive(Debug)]
pub(crate) struct Exception {
    /// Where it stands in the file of exceptions.
    pub(crate) line: usize,
    /// The limit that holds instead; zero where the exception has none.
    pub(crate) lines_max: usize,
}

/// Reads the exceptions; an entry without path or reason is a finding.
pub(crate) fn read(files: &[SourceFile]) -> (Exceptions, Vec<Finding>) {
    let mut exceptions = Exceptions::default();
    let mut findings = Vec::new();
    let text = files.iter().find(|file| file.path == PATH).map_or("", |file| &file.text);
    for section in manifest::parse(text).iter().filter(|section| !section.name.is_empty()) {
        let table = match section.name.as_str() {
            "lines" => &mut exceptions.lines,
            "machine_path" => &mut exceptions.machine_path,
            other => {
                let what = format!("`{other}` is no kind of exception");
                findings.push(Finding::new(
                    PATH,
                    section.line,
                    what,
                    "use `lines` or `machine_path`",
                ));
                continue;
            }
        };
        let path = section.get("path").unwrap_or_default();
        let reason = section.get("reason").unwrap_or_default();
        if path.is_empty() || reason.len() < 20 {
            let what = "exception without `path` or without a `reason` in a sentence";
            findings.push(Finding::new(PATH, section.line, what, "say which file, and why"));
            continue;
        }
        let lines_max = section.get("lines_max").and_then(|text| text.parse().ok()).unwrap_or(0);
        table.insert(path.to_owned(), Exception { line: section.line, lines_max });
    }
    (exceptions, findings)
}
