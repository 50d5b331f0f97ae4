//! Measures what a contestant does in its own process, and hands it to the runner as one line.

use std::io::Write;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::process::Usage;
use crate::report::Sample;

/// Counts from here on; what was prepared before is not part of it.
#[derive(Debug)]
pub(crate) struct Meter {
    begun: Instant,
    usage: Usage,
}

/// What was measured, as the contestant prints it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// How much was done.
    pub(crate) done: f64,
    /// The time it took.
    pub(crate) seconds: f64,
    /// The CPU time it took, of all threads.
    pub(crate) cpu_seconds: f64,
    /// The largest resident set since the count began.
    pub(crate) peak_bytes: u64,
    /// How many units of the output were compared with what they must be.
    pub(crate) checked: u64,
}

impl Meter {
    /// Starts to count; the peak of memory too begins anew.
    pub(crate) fn start() -> Result<Self> {
        // proc(5): 5 resets the process's high water mark of its resident set.
        std::fs::write("/proc/self/clear_refs", "5").context("reset the peak of memory")?;
        Ok(Self { usage: Usage::read("self")?, begun: Instant::now() })
    }

    /// Returns how long it has counted, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// Ends the count.
    pub(crate) fn finish(&self, done: u64) -> Result<Measured> {
        let seconds = self.seconds();
        let usage = Usage::read("self")?;
        #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
        let done = done as f64;
        Ok(Measured {
            done,
            seconds,
            cpu_seconds: usage.cpu_seconds - self.usage.cpu_seconds,
            peak_bytes: usage.peak_bytes,
            checked: 0,
        })
    }
}

impl Measured {
    /// Prints the line that the runner reads.
    pub(crate) fn print(&self) -> Result<()> {
        writeln!(std::io::stdout(), "{}", serde_json::to_string(self)?)?;
        Ok(())
    }

    /// Reads that line.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        serde_json::from_str(line).with_context(|| format!("no measurement: {line}"))
    }

    /// Returns it as a round's sample.
    pub(crate) fn sample(&self) -> Sample {
        let Self { done, seconds, cpu_seconds, peak_bytes, .. } = *self;
        Sample { done, seconds, cpu_seconds, peak_bytes, latency: None }
    }
}
