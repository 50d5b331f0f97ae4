//! One event of about 1 KB a request over many connections: our collector, which answers when the
//! event is on disk, and the usual collector in Go, once answering when the event is in a channel
//! and once when it is on disk.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use super::{Setup, progress};
use crate::events::number_of;
use crate::load::LoadReport;
use crate::numbers::Numbers;
use crate::process::{Server, last_line};
use crate::report::{Latency, Measure, Ratio, Report, Sample};

const OURS: &str = "Millstream, durable";
const GO_ENQUEUE: &str = "Go, answers on enqueue";
const GO_DURABLE: &str = "Go, durable";

const RATIOS: [Ratio; 3] = [
    Ratio { of: OURS, to: GO_ENQUEUE, measure: Measure::PerCpuSecond, aim: Some(3.0) },
    Ratio { of: OURS, to: GO_DURABLE, measure: Measure::PerCpuSecond, aim: None },
    Ratio { of: OURS, to: GO_DURABLE, measure: Measure::Rate, aim: None },
];

const CONNECTIONS: usize = 64;

/// Runs the scenario.
pub(crate) async fn run(setup: &Setup) -> Result<()> {
    let Setup { rounds, seconds, cores, .. } = setup;
    let title = format!(
        "Collector: one ~1 KB event a request, {CONNECTIONS} connections, {rounds} rounds of \
         {seconds} s, cores {cores:?}"
    );
    let mut report = Report::new(title, "requests", 1.0);
    let mut checked = 0;
    for round in 0..*rounds {
        for name in [OURS, GO_ENQUEUE, GO_DURABLE] {
            if name != OURS && !setup.go.is_file() {
                progress(&format!("skipped: {name}: {} is not built", setup.go.display()));
                continue;
            }
            progress(&format!("collector, round {}: {name}", round + 1));
            let sample = contestant(setup, name).await.with_context(|| name.to_owned())?;
            checked += sample.0;
            report.add(name, sample.1);
        }
    }
    report.note(format!("checked: {checked} acknowledged events, each found exactly once"));
    report.print(&RATIOS)
}

/// Runs one contestant and finds every acknowledged event in its output, once.
async fn contestant(setup: &Setup, name: &str) -> Result<(u64, Sample)> {
    let scratch = setup.scratch()?;
    let file = scratch.path().join("events.ndjson");
    let server = Server::start(match name {
        OURS => {
            let mut command = setup.cores.contestant(&Setup::this_program()?);
            command.args(["contestant", "collector", "--dir"]).arg(scratch.path());
            command
        }
        go => {
            let ack = if go == GO_DURABLE { "durable" } else { "enqueue" };
            let mut command = setup.cores.contestant(&setup.go);
            command.args(["-ack", ack, "-file"]).arg(&file);
            command
        }
    })
    .await?;
    let before = server.usage()?;
    let load = load(setup, &server.address).await?;
    let after = server.usage()?;
    server.stop().await?;

    let stored = if name == OURS {
        crate::contestant::collector::stored(scratch.path()).await?
    } else {
        stored_in_file(&file)?
    };
    stored.expect_exactly(load.requests).context("stored events against acknowledged ones")?;
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    let sample = Sample {
        done: load.requests as f64,
        seconds: load.seconds,
        cpu_seconds: after.cpu_seconds - before.cpu_seconds,
        peak_bytes: after.peak_bytes,
        latency: Some(Latency { p50: load.p50, p99: load.p99, p999: Some(load.p999) }),
    };
    Ok((load.requests, sample))
}

async fn load(setup: &Setup, address: &str) -> Result<LoadReport> {
    let mut command: Command = setup.cores.load(&Setup::this_program()?);
    command.args(["load", "--address", address]);
    command.args(["--connections", &CONNECTIONS.to_string()]);
    command.args(["--seconds", &setup.seconds.to_string()]);
    let line = last_line(command).await?;
    let report: LoadReport = serde_json::from_str(&line)?;
    ensure!(report.requests > 0, "no request was answered");
    Ok(report)
}

fn stored_in_file(path: &Path) -> Result<Numbers> {
    let mut numbers = Numbers::default();
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        numbers.add(number_of(&line?)?)?;
    }
    Ok(numbers)
}
