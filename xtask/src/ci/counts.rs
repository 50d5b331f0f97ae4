//! What passed, failed and was skipped, summed over the steps and cargo's own result lines.

use std::fmt;

/// How a line begins with which a test says that it cannot run here, and returns.
const SKIPPED: &str = "SKIPPED:";

/// The sums.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Steps and tests that passed.
    pub(crate) passed: u64,
    /// Steps and tests that failed.
    pub(crate) failed: u64,
    /// The part of `failed` that cargo's result lines named.
    pub(crate) failed_tests: u64,
    /// Tests that cargo reports as ignored.
    pub(crate) ignored: u64,
    /// Tests that returned early because they cannot run here.
    returned_early: u64,
    /// Why each of the others was skipped.
    pub(crate) skips: Vec<String>,
}

impl Counts {
    /// Adds one step.
    pub(crate) fn step(&mut self, succeeded: bool) {
        *if succeeded { &mut self.passed } else { &mut self.failed } += 1;
    }

    /// Adds something that could not run.
    pub(crate) fn skip(&mut self, reason: &str) {
        self.skips.push(reason.to_owned());
    }

    /// Adds a line of the tests' output, if it is a result line or says that a test was skipped.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(reason) = line.strip_prefix(SKIPPED) {
            // The test returned early, so the harness counts it among the passed.
            self.skip(reason.trim());
            self.returned_early += 1;
        }
        let Some(result) = line.trim().strip_prefix("test result:") else { return };
        self.passed += count_of(result, "passed");
        let failed = count_of(result, "failed");
        self.failed += failed;
        self.failed_tests += failed;
        self.ignored += count_of(result, "ignored");
    }
}

/// Returns the number before `what` in `ok. 12 passed; 0 failed; 1 ignored; …`.
fn count_of(result: &str, what: &str) -> u64 {
    let words: Vec<&str> = result.split([' ', ';']).filter(|word| !word.is_empty()).collect();
    let pair = words.windows(2).find(|pair| pair[1] == what);
    pair.and_then(|pair| pair[0].parse().ok()).unwrap_or(0)
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let skipped = self.skips.len() as u64 + self.ignored;
        let passed = self.passed.saturating_sub(self.returned_early);
        write!(f, "{passed} passed, {} failed, {skipped} skipped", self.failed)
    }
}

#[cfg(test)]
mod tests;
