//! Bounded waits for other processes. Their time is the machine's, whatever a test does to ours.

use std::fs;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::Duration;
#[expect(clippy::disallowed_types, reason = "other processes do not follow paused time")]
use std::time::Instant;

use anyhow::{Context as _, Result};

/// How often is asked.
const ASK_INTERVAL: Duration = Duration::from_millis(20);

/// Asks until there is an answer; returns `None` when there was none within `limit`.
pub(crate) fn ask_until<T>(
    limit: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    #[expect(clippy::disallowed_types, reason = "other processes do not follow paused time")]
    let started = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(Some(answer));
        }
        if started.elapsed() >= limit {
            return Ok(None);
        }
        pause();
    }
}

/// Waits for a child's end; returns `None` when it still runs after `limit`.
pub(crate) fn wait_for_end(child: &mut Child, limit: Duration) -> Result<Option<ExitStatus>> {
    ask_until(limit, || child.try_wait().context("ask a process for its end"))
}

/// Returns the last `lines` lines of a log, as far as it can be read.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let text = match fs::read(log) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("(no log at {}: {error})", log.display()),
    };
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[expect(clippy::disallowed_methods, reason = "another process is waited for, on a test's thread")]
fn pause() {
    thread::sleep(ASK_INTERVAL);
}
