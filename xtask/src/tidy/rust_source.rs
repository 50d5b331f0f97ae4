//! What every Rust file keeps to: its `//!` page, `lib.rs` without logic, `cfg(feature)` only on
//! modules, no result thrown away without a word, no commented-out code.

use crate::finding::Finding;
use crate::tree::SourceFile;

const REMEDY_PAGE: &str =
    "begin with `//!`: what the file is responsible for, and the idea that makes it work";
const REMEDY_LIB: &str = "move it to a module; `lib.rs` holds its page, `mod` and `use` lines";
const REMEDY_FEATURE: &str = "put the code into a module and the cfg on its `mod` line";
const REMEDY_LOSS: &str = "handle it, or say in a comment above why losing it is safe";
const REMEDY_DEAD: &str = "delete it; git remembers";

/// Checks every Rust file.
pub(crate) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.has_extension("rs")) {
        // The tests of a module are described by the module they test.
        if !file.text.starts_with("//!") && file.name() != "tests.rs" {
            findings.push(Finding::new(&file.path, 1, "the file has no `//!` page", REMEDY_PAGE));
        }
        if file.name() == "lib.rs" {
            findings.extend(logic_in_lib(file));
        }
        findings.extend(features(file));
        findings.extend(commented_out(file));
        if !(file.name() == "tests.rs" || file.path.contains("/tests/")) {
            findings.extend(silent_losses(file));
        }
    }
    findings
}

/// Finds the first line of a `lib.rs` that is neither page, attribute, `mod` nor `use`.
fn logic_in_lib(file: &SourceFile) -> Option<Finding> {
    // What ends the item that a line began, when it goes on over several lines.
    let mut until: Option<char> = None;
    for (line, raw) in file.lines() {
        let text = raw.trim();
        if let Some(end) = until {
            if text.ends_with(end) {
                until = None;
            }
            continue;
        }
        let item = text.strip_prefix("pub(crate) ").or_else(|| text.strip_prefix("pub "));
        let item = item.unwrap_or(text);
        if text.is_empty() || text.starts_with("//") {
            continue;
        } else if text.starts_with('#') {
            until = (!text.ends_with(']')).then_some(']');
        } else if item.starts_with("use ") || (item.starts_with("mod ") && !item.ends_with('{')) {
            until = (!item.ends_with(';')).then_some(';');
        } else {
            let what = format!("`lib.rs` holds more than `mod` and `use`: `{text}`");
            return Some(Finding::new(&file.path, line, what, REMEDY_LIB));
        }
    }
    None
}

/// Finds `cfg(feature)` that stands on anything but a module.
fn features(file: &SourceFile) -> Vec<Finding> {
    let needle = concat!("feat", "ure = \"");
    let mut findings = Vec::new();
    let mut pending: Option<usize> = None;
    for (line, raw) in file.lines() {
        let text = raw.trim();
        let is_attribute = text.starts_with("#[") || text.starts_with("#![");
        if let Some(at) = pending
            && !is_attribute
            && !text.starts_with("//")
        {
            pending = None;
            if !text.split_whitespace().any(|word| word == "mod") {
                let what = "`cfg(feature)` on something else than a module";
                findings.push(Finding::new(&file.path, at, what, REMEDY_FEATURE));
            }
        }
        if is_attribute && text.contains("cfg") && text.contains(needle) {
            pending = Some(line);
        } else if text.contains(concat!("cfg!(", "feat", "ure")) {
            let what = "no feature changes what a function does";
            findings.push(Finding::new(&file.path, line, what, REMEDY_FEATURE));
        }
    }
    findings
}

/// Finds results that are thrown away without a word on why that is safe.
fn silent_losses(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut before = "";
    for (line, raw) in file.lines() {
        let text = raw.trim();
        let is_explained = before.starts_with("//") || text.contains("//");
        if text.starts_with("let _ =") && !is_explained {
            let what = "a result is thrown away without a word";
            findings.push(Finding::new(&file.path, line, what, REMEDY_LOSS));
        }
        before = text;
    }
    findings
}

/// Finds comments that read like code.
fn commented_out(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, raw) in file.lines() {
        let Some(comment) = raw.trim().strip_prefix("//") else { continue };
        // Documentation may show code.
        if comment.starts_with('/') || comment.starts_with('!') {
            continue;
        }
        if reads_like_code(comment.trim()) {
            let what = format!("commented-out code: `{}`", comment.trim());
            findings.push(Finding::new(&file.path, line, what, REMEDY_DEAD));
        }
    }
    findings
}

fn reads_like_code(comment: &str) -> bool {
    const BEGINNINGS: [&str; 9] =
        ["let ", "fn ", "pub ", "use ", "impl ", "struct ", "return ", "if ", "for "];
    let begins = BEGINNINGS.iter().any(|beginning| comment.starts_with(beginning));
    let ends_like_statement = comment.ends_with(");") || comment.ends_with("?;");
    comment.starts_with("#[")
        || ends_like_statement
        || (begins && (comment.ends_with(';') || comment.ends_with('{')))
}
