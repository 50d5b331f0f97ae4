//! A file tells one story in at most 500 lines. (Functions are clippy's: `too_many_lines`.)

use crate::finding::Finding;
use crate::tidy::exceptions::{self, Exceptions};
use crate::tree::SourceFile;

/// The most lines of a file of code.
const LINES_MAX: usize = 500;

/// Checks the length of every file of code, and that every exception is still needed.
pub(crate) fn check(files: &[SourceFile], exceptions: &Exceptions) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| is_code(file)) {
        let lines = file.text.lines().count();
        let exception = exceptions.lines.get(&file.path);
        let max = exception.map_or(LINES_MAX, |exception| exception.lines_max);
        if lines > max {
            let what = format!("{lines} lines, the limit is {max}");
            findings.push(Finding::new(&file.path, max + 1, what, "split it by what its parts do"));
        }
    }
    for (path, exception) in &exceptions.lines {
        let file = files.iter().find(|file| file.path == *path);
        if file.is_none_or(|file| file.text.lines().count() <= LINES_MAX) {
            let what = format!("`{path}` no longer needs its exception");
            findings.push(Finding::new(exceptions::PATH, exception.line, what, "remove the entry"));
        }
    }
    findings
}

fn is_code(file: &SourceFile) -> bool {
    ["rs", "go", "py", "sh"].iter().any(|extension| file.has_extension(extension))
}
