//! The engine as a whole: fetch from the journal, clean, append in transactions, durable.

use anyhow::{Context, Result};

use super::{Setup, median, progress, rotated, touch_memory};
use crate::meter::Measured;
use crate::process::last_line;
use crate::report::{Measure, Ratio, Report};

const OURS: &str = "engine: fetch, clean, transact";
const DISK: &str = "disk, 8 MiB + fdatasync";

const RATIOS: [Ratio; 1] = [Ratio { of: OURS, to: DISK, measure: Measure::Rate, aim: None }];

/// The most CPU-seconds a GB: 50 GB a minute on two cores.
const AIM: f64 = 2.4;

/// Runs the scenario.
pub(crate) async fn run(setup: &Setup) -> Result<()> {
    let Setup { rounds, mib, .. } = setup;
    let title = format!("Engine: {mib} MiB of ~1 KB events from the journal, {rounds} rounds");
    let mut report = Report::new(title, "MB", 1e6);
    let (mut checked, mut seconds_per_gb) = (0, Vec::new());
    for round in 0..*rounds {
        for name in rotated(&[DISK, OURS], round) {
            touch_memory(mib << 20);
            progress(&format!("engine, round {}: {name}", round + 1));
            let measured = contestant(setup, name).await.with_context(|| name.to_owned())?;
            if name == OURS {
                checked += measured.checked;
                seconds_per_gb.push(measured.cpu_seconds / (measured.done / 1e9));
            }
            report.add(name, measured.sample());
        }
    }
    report.note(format!("checked: {checked} events, each clean or a dead letter exactly once"));
    let median = median(&mut seconds_per_gb);
    let verdict = if median <= AIM { "met" } else { "**not met**" };
    report.note(format!("CPU-seconds a GB: **{median:.2}**; aim ≤ {AIM}: {verdict}"));
    report.print(&RATIOS)
}

async fn contestant(setup: &Setup, name: &str) -> Result<Measured> {
    let scratch = setup.scratch()?;
    let mut command = tokio::process::Command::new(Setup::this_program()?);
    command.arg("contestant").arg(if name == OURS { "engine" } else { "disk" });
    command.arg("--dir").arg(scratch.path());
    command.args(["--bytes", &(setup.mib << 20).to_string()]);
    if name == DISK {
        command.args(["--block", &(8_u64 << 20).to_string()]);
    }
    Measured::parse(&last_line(command).await?)
}
