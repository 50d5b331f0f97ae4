//! Relative links in documents lead to files that exist.

use std::path::Path;

use crate::finding::Finding;
use crate::tree::SourceFile;

/// Checks the links of every document against the tree below `root`.
pub(crate) fn check(files: &[SourceFile], exists: impl Fn(&Path) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.has_extension("md")) {
        let dir = Path::new(&file.path).parent().unwrap_or(Path::new(""));
        for (line, text) in file.lines() {
            for target in targets(text).filter(|target| !exists(&dir.join(target))) {
                let what = format!("the link to `{target}` leads nowhere");
                findings.push(Finding::new(
                    &file.path,
                    line,
                    what,
                    "correct the path, or write the page",
                ));
            }
        }
    }
    findings
}

/// Returns the paths that the links of a line lead to, without addresses and anchors.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let links = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let paths = links.filter(|link| !link.contains("://") && !link.starts_with('#'));
    paths.filter_map(|link| link.split('#').next()).filter(|path| !path.is_empty())
}
