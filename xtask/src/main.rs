//! The checks that no other tool does: `cargo run -p xtask -- tidy`, and the whole gate: `-- ci`.
//!
//! `tidy` reads the tree and prints one finding a line, each with a remedy. `ci` runs rustfmt,
//! `tidy`, clippy, cargo-deny, the tests and the quickstart, goes on after a failure so that one run shows
//! everything, and sums up what passed, failed and was skipped.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

mod ci;
mod finding;
mod tidy;
mod tree;

const HELP: &str = "\
Usage: cargo run -p xtask -- <command>

  tidy   checks what rustfmt and clippy do not: layers, file sizes, names, docs
  docs   writes the reference pages that are made from the source
  ci     rustfmt, tidy, clippy, cargo-deny, shellcheck, tests, the quickstart; sums up at the end
";

fn main() -> Result<ExitCode> {
    let command = std::env::args().nth(1);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask lies one level below the workspace's root")?;
    match command.as_deref() {
        Some("tidy") => Ok(exit_code(run_tidy(root)?)),
        Some("docs") => write_docs(root),
        Some("ci") => ci::run(root),
        _ => {
            io::stderr().write_all(HELP.as_bytes())?;
            Ok(ExitCode::from(64))
        }
    }
}

/// Writes the reference pages that are made from the source.
fn write_docs(root: &Path) -> Result<ExitCode> {
    let page = tidy::metrics_page(root)?;
    let path = root.join(tidy::METRICS_PAGE);
    let dir = path.parent().context("the page lies in a directory")?;
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    fs::write(&path, page).with_context(|| format!("write {}", path.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn exit_code(succeeded: bool) -> ExitCode {
    if succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints every finding; returns whether there was none.
fn run_tidy(root: &Path) -> Result<bool> {
    let findings = tidy::check(root)?;
    let mut out = io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    writeln!(out, "tidy: {} findings", findings.len())?;
    Ok(findings.is_empty())
}
