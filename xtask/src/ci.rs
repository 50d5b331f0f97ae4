//! The whole gate: rustfmt, tidy, clippy, cargo-deny, shellcheck, tests, the quickstart.
//!
//! A step that fails does not stop the others: one run shows everything. The tests' own lines
//! pass through unchanged; their counts are summed from them.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};

mod counts;

use counts::Counts;

use crate::{exit_code, run_tidy};

/// Runs every step; succeeds when all did.
pub(crate) fn run(root: &Path) -> Result<ExitCode> {
    let mut counts = Counts::default();
    counts.step(cargo(root, &["fmt", "--all", "--check"])?);
    announce("tidy")?;
    counts.step(run_tidy(root)?);
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    counts.step(cargo(root, &clippy)?);
    deny(root, &mut counts)?;
    shellcheck(root, &mut counts)?;
    test(root, &mut counts)?;
    counts.step(succeeds(root, "scripts/quickstart.sh", &[])?);
    let mut out = io::stdout().lock();
    for reason in &counts.skips {
        writeln!(out, "skipped: {reason}")?;
    }
    writeln!(out, "{counts}")?;
    Ok(exit_code(counts.failed == 0))
}

/// Runs cargo with these arguments and returns whether it succeeded.
fn cargo(root: &Path, arguments: &[&str]) -> Result<bool> {
    succeeds(root, "cargo", arguments)
}

/// Runs a program, lets its output through and returns whether it succeeded.
fn succeeds(root: &Path, program: &str, arguments: &[&str]) -> Result<bool> {
    let line = format!("{program} {}", arguments.join(" "));
    announce(&line)?;
    // Relative to the root, not to where the gate was called.
    let script = root.join(program);
    let program = if script.is_file() { script } else { program.into() };
    let status = Command::new(program).args(arguments).current_dir(root).status();
    Ok(status.with_context(|| format!("start {line}"))?.success())
}

/// Returns whether a tool is installed.
fn is_installed(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

/// Checks bans, licences and sources, where cargo-deny is installed. Advisories need the network
/// and change without a change of ours: they are not part of this gate.
fn deny(root: &Path, counts: &mut Counts) -> Result<()> {
    if !is_installed("cargo", &["deny", "--version"]) {
        counts.skip(
            "licences, bans and sources: cargo-deny is not installed (scripts/deny.sh builds it)",
        );
        return Ok(());
    }
    let arguments = ["deny", "--offline", "--locked", "check", "bans", "licenses", "sources"];
    counts.step(cargo(root, &arguments)?);
    Ok(())
}

/// Checks the scripts, where shellcheck is installed.
fn shellcheck(root: &Path, counts: &mut Counts) -> Result<()> {
    if !is_installed("shellcheck", &["--version"]) {
        counts.skip("shellcheck over scripts/: it is not installed");
        return Ok(());
    }
    let mut arguments = vec!["--external-sources".to_owned(), ".ci/run".to_owned()];
    for entry in fs::read_dir(root.join("scripts")).context("list scripts")? {
        let name = entry.context("list scripts")?.file_name();
        arguments.push(format!("scripts/{}", name.to_string_lossy()));
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    counts.step(succeeds(root, "shellcheck", &arguments)?);
    Ok(())
}

/// Runs every test and doc test, and adds up what cargo reports.
fn test(root: &Path, counts: &mut Counts) -> Result<()> {
    // What passing tests print is shown: their seeds, their counts, and why one was skipped.
    let arguments = ["test", "--workspace", "--locked", "--no-fail-fast", "--", "--show-output"];
    announce(&format!("cargo {}", arguments.join(" ")))?;
    let mut child = Command::new("cargo")
        .args(arguments)
        .current_dir(root)
        .stdout(Stdio::piped())
        .spawn()
        .context("start cargo test")?;
    let stdout = child.stdout.take().context("cargo test was started with a pipe")?;
    for line in BufReader::new(stdout).lines() {
        let line = line.context("read the output of cargo test")?;
        counts.line(&line);
        writeln!(io::stdout(), "{line}")?;
    }
    let succeeded = child.wait().context("wait for cargo test")?.success();
    // Failed tests are counted by their lines; a failure without one is a build that broke.
    if !succeeded && counts.failed_tests == 0 {
        counts.step(false);
    }
    Ok(())
}

fn announce(step: &str) -> Result<()> {
    writeln!(io::stdout(), "── {step}").context("write to the terminal")
}
