//! Durable appends to the journal against the disk's own sequential writes with `fdatasync`.
//!
//! The disk is asked in two sizes, because a journal that groups what waits has no size of its
//! own; the ratio that counts is the one to the faster of the two.

use anyhow::{Context, Result};

use super::{Setup, progress, rotated, touch_memory};
use crate::meter::Measured;
use crate::process::last_line;
use crate::report::{Measure, Ratio, Report};

const OURS: &str = "journal, durable appends";
const DISK_1: &str = "disk, 1 MiB + fdatasync";
const DISK_8: &str = "disk, 8 MiB + fdatasync";

const RATIOS: [Ratio; 2] = [
    Ratio { of: OURS, to: DISK_1, measure: Measure::Rate, aim: Some(0.8) },
    Ratio { of: OURS, to: DISK_8, measure: Measure::Rate, aim: Some(0.8) },
];

/// Runs the scenario.
pub(crate) async fn run(setup: &Setup) -> Result<()> {
    let Setup { rounds, mib, .. } = setup;
    let title = format!("Journal: 1 KB records, {mib} MiB a round, {rounds} rounds");
    let mut report = Report::new(title, "MB", 1e6);
    let mut checked = 0;
    for round in 0..*rounds {
        for name in rotated(&[DISK_1, OURS, DISK_8], round) {
            touch_memory(mib << 20);
            progress(&format!("journal, round {}: {name}", round + 1));
            let measured = contestant(setup, name).await.with_context(|| name.to_owned())?;
            if name == OURS {
                checked += measured.checked;
            }
            report.add(name, measured.sample());
        }
    }
    report
        .note(format!("checked: {checked} records read back from the journal, each exactly once"));
    report.print(&RATIOS)
}

async fn contestant(setup: &Setup, name: &str) -> Result<Measured> {
    let scratch = setup.scratch()?;
    let bytes = (setup.mib << 20).to_string();
    let mut command = tokio::process::Command::new(Setup::this_program()?);
    command.arg("contestant").arg(if name == OURS { "journal" } else { "disk" });
    command.arg("--dir").arg(scratch.path()).args(["--bytes", &bytes]);
    match name {
        DISK_1 => command.args(["--block", &(1_u64 << 20).to_string()]),
        DISK_8 => command.args(["--block", &(8_u64 << 20).to_string()]),
        _ => &mut command,
    };
    Measured::parse(&last_line(command).await?)
}
