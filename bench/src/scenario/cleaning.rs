//! The five standard rules against the JSON library's bare validation of the same bytes, and
//! against the same rules written plainly with that library's lazy access.

use anyhow::{Context, Result};

use super::{Setup, median, progress};
use crate::meter::Measured;
use crate::process::last_line;
use crate::report::{Measure, Ratio, Report};

const OURS: &str = "Millstream, five rules";
const VALIDATE: &str = "sonic-rs, validation only";

const LAZY: &str = "sonic-rs, five rules by lazy access";

const RATIOS: [Ratio; 2] = [
    Ratio { of: OURS, to: LAZY, measure: Measure::PerCpuSecond, aim: Some(1.0) },
    Ratio { of: OURS, to: VALIDATE, measure: Measure::PerCpuSecond, aim: None },
];

/// The least megabytes per CPU-second.
const AIM: f64 = 1300.0;

/// Runs the scenario.
pub(crate) async fn run(setup: &Setup) -> Result<()> {
    let Setup { rounds, seconds, .. } = setup;
    let title = format!(
        "Cleaning: ~1 KB JSON events in memory, {rounds} rounds of {seconds} s, one thread"
    );
    let mut report = Report::new(title, "MB", 1e6);
    let (mut checked, mut mb_per_second) = (0, Vec::new());
    for round in 0..*rounds {
        for name in [VALIDATE, OURS, LAZY] {
            progress(&format!("cleaning, round {}: {name}", round + 1));
            let measured = contestant(setup, name).await.with_context(|| name.to_owned())?;
            if name != VALIDATE {
                checked += measured.checked;
            }
            if name == OURS {
                mb_per_second.push(measured.done / 1e6 / measured.cpu_seconds);
            }
            report.add(name, measured.sample());
        }
    }
    report.note(format!("checked: {checked} cleaned events against another implementation"));
    let median = median(&mut mb_per_second);
    let verdict = if median >= AIM { "met" } else { "**not met**" };
    report.note(format!("MB per CPU-second: **{median:.0}**; aim ≥ {AIM}: {verdict}"));
    report.print(&RATIOS)
}

async fn contestant(setup: &Setup, name: &str) -> Result<Measured> {
    let mut command = tokio::process::Command::new(Setup::this_program()?);
    command.arg("contestant").arg(match name {
        OURS => "clean",
        LAZY => "lazy",
        _ => "validate",
    });
    command.args(["--seconds", &setup.seconds.to_string()]);
    Measured::parse(&last_line(command).await?)
}
