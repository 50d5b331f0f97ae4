//! The scenarios: each runs its contestants in turn, round by round, and prints one table.

use std::path::PathBuf;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::process::Cores;

pub(crate) mod cleaning;
pub(crate) mod collector;
pub(crate) mod engine;
pub(crate) mod journal;
pub(crate) mod latency;
pub(crate) mod logs;

/// What all scenarios understand.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Setup {
    /// A directory on the disk that is measured; not in memory.
    #[arg(long, default_value = "target/bench")]
    pub(crate) dir: PathBuf,
    /// How often each contestant runs.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// How long a timed contestant runs in each round.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// How much a contestant with a volume writes in each round, in MiB.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(16..=65_536))]
    pub(crate) mib: u64,
    /// Whether contestant and load generator have a core each.
    #[arg(long, value_enum, default_value_t = Cores::Split)]
    pub(crate) cores: Cores,
    /// The Go collector.
    #[arg(long, default_value = "bench/go/bin/collector")]
    pub(crate) go: PathBuf,
    /// The whole binary, for the latency scenario.
    #[arg(long, default_value = "target/debug/millstream")]
    pub(crate) millstream: PathBuf,
}

impl Setup {
    /// Makes an empty directory for one contestant in one round; it is removed when dropped.
    pub(crate) fn scratch(&self) -> Result<TempDir> {
        std::fs::create_dir_all(&self.dir)
            .with_context(|| format!("create {}", self.dir.display()))?;
        Ok(TempDir::new_in(&self.dir)?)
    }

    /// Returns the program of the contestants: this one.
    pub(crate) fn this_program() -> Result<PathBuf> {
        std::env::current_exe().context("find this program")
    }
}

/// Returns `names` for one round: each round begins with the next of them, so that what a place in
/// the order costs meets all.
fn rotated(names: &[&'static str], round: u32) -> Vec<&'static str> {
    let first = usize::try_from(round).unwrap_or(0) % names.len();
    names.iter().cycle().skip(first).take(names.len()).copied().collect()
}

/// The most memory that is touched before a contestant runs.
const TOUCHED_BYTES_MAX: u64 = 4 << 30;

/// Touches as much memory as a contestant with this volume takes, and gives it back.
///
/// A virtual machine may have given free pages to its host; whoever touches one first then pays
/// for bringing it back. So nobody who is measured is the first.
fn touch_memory(volume_bytes: u64) {
    let bytes = (2 * volume_bytes).min(TOUCHED_BYTES_MAX);
    // Not zero: pages of zeros would not be touched.
    drop(std::hint::black_box(vec![1_u8; usize::try_from(bytes).unwrap_or(0)]));
}

/// Returns the median of some figures, the upper one of two.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Says what goes on, apart from the tables.
pub(crate) fn progress(text: &str) {
    use std::io::Write;
    // A closed terminal is no reason to stop measuring.
    let _closed = writeln!(std::io::stderr(), "{text}");
}
