//! What every text keeps to: unfinished work names its issue, and nothing names a place on one machine.

use crate::finding::Finding;
use crate::tidy::exceptions::{self, Exceptions};
use crate::tree::SourceFile;

/// Marks of unfinished work. Built in two halves: this file is checked too.
const MARKS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];

/// Directories that exist on somebody's machine only.
const PLACES: [&str; 5] = [
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
    concat!("/tm", "p/"),
];

const REMEDY_MARK: &str = concat!("open an issue and write `TO", "DO(#123): …`, or do it now");
const REMEDY_PLACE: &str = "use a relative path, a temporary directory or a variable";

/// Checks every text.
pub(crate) fn check(files: &[SourceFile], exceptions: &Exceptions) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        // Prose may speak of unfinished work: in documents only places are looked for.
        if !file.has_extension("md") {
            findings.extend(marks(file));
        }
        if !exceptions.machine_path.contains_key(&file.path) {
            findings.extend(places(file));
        }
    }
    for (path, exception) in &exceptions.machine_path {
        let file = files.iter().find(|file| file.path == *path);
        if file.is_none_or(|file| places(file).is_empty()) {
            let what = format!("`{path}` no longer needs its exception");
            findings.push(Finding::new(exceptions::PATH, exception.line, what, "remove the entry"));
        }
    }
    findings
}

fn marks(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in file.lines() {
        let Some((mark, rest)) = MARKS.iter().find_map(|mark| find_word(text, mark)) else {
            continue;
        };
        if !(mark == MARKS[0] && has_issue(rest)) {
            let what = format!("`{mark}` without an issue");
            findings.push(Finding::new(&file.path, line, what, REMEDY_MARK));
        }
    }
    findings
}

/// Returns the mark and what follows it, when it stands as a word of its own.
fn find_word<'a>(text: &'a str, mark: &'static str) -> Option<(&'static str, &'a str)> {
    let (before, after) = text.split_once(mark)?;
    let joined = |c: char| c.is_alphanumeric() || c == '_';
    let alone = !before.ends_with(joined) && !after.starts_with(joined);
    alone.then_some((mark, after))
}

/// Returns whether `rest` begins with `(#123)`.
fn has_issue(rest: &str) -> bool {
    let number = rest.strip_prefix("(#").and_then(|rest| rest.split_once(')'));
    number.is_some_and(|(digits, _)| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

fn places(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in file.lines() {
        if let Some(place) = PLACES.iter().find(|place| names_place(text, place)) {
            let what = format!("`{place}…` exists on one machine only");
            findings.push(Finding::new(&file.path, line, what, REMEDY_PLACE));
        }
    }
    findings
}

/// Returns whether the place begins a path in `text`: nothing that belongs to a longer path or
/// to an address stands before it.
fn names_place(text: &str, place: &str) -> bool {
    let part_of_longer = |c: char| c.is_alphanumeric() || ".-_}~>*".contains(c);
    text.match_indices(place).any(|(at, _)| !text[..at].ends_with(part_of_longer))
}
