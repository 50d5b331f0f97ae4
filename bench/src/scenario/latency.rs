//! From the collector's answer to the row: the whole binary runs as a process, single events are
//! posted at moments spread over the commit interval, and the node is asked until the sink has
//! registered that it stored each.
//!
//! That is an upper bound: the sink registers after the table's commit. The binary is the one of
//! the dev profile, because a release build of the whole product is not part of a benchmark.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use super::{Setup, progress};
use crate::events;
use crate::http::{Connection, get, write_post};
use crate::process::{Running, last_line};
use crate::report::{Latency, Report, Sample};

/// How many events are timed in each round.
const EVENTS: u64 = 30;

/// Moments are spread over this time: the default commit interval of a table.
const SPREAD: Duration = Duration::from_secs(1);

const POLL: Duration = Duration::from_millis(2);
const START_TIME_MAX: Duration = Duration::from_secs(60);
const STORE_TIME_MAX: Duration = Duration::from_secs(60);

/// Runs the scenario.
pub(crate) async fn run(setup: &Setup) -> Result<()> {
    if !setup.millstream.is_file() {
        progress(&format!("skipped: latency: {} is not built", setup.millstream.display()));
        return Ok(());
    }
    let title = format!(
        "Latency: collector → table, single events, commit interval 1 s, {} rounds of {EVENTS}",
        setup.rounds
    );
    let mut report = Report::new(title, "events", 1.0);
    for round in 0..setup.rounds {
        progress(&format!("latency, round {}", round + 1));
        report.add("Millstream, dev profile", one_round(setup).await?);
    }
    report
        .note(format!("checked: {} rows by a query, each once", u64::from(setup.rounds) * EVENTS));
    report.note("one event at a time: the rate says nothing".to_owned());
    report.print(&[])
}

async fn one_round(setup: &Setup) -> Result<Sample> {
    let scratch = setup.scratch()?;
    let data = scratch.path().join("data");
    let mut command = Command::new(&setup.millstream);
    command.arg("run").arg("--data").arg(&data);
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log", "warn"]);
    let node = Running::start(command)?;
    let (collector, admin) =
        timeout(START_TIME_MAX, addresses(&data, node.id()?)).await.context("never ready")??;

    let mut track = Connection::open(&collector).await?;
    let mut status = Connection::open(&admin).await?;
    let mut request = Vec::new();
    let mut millis = Vec::new();
    let before = node.usage()?;
    let begun = Instant::now();
    // One in fifty of our events is made to be rejected; these thirty are not.
    for number in 0..EVENTS {
        // A fixed sequence that meets every tenth of the interval.
        sleep(SPREAD.mul_f64(f64::from(u32::try_from(number * 7 % 10)?) / 10.0)).await;
        write_post(&mut request, &events::event(number));
        track.ask(&request).await.context("post an event")?;
        let answered = Instant::now();
        let stored = wait_until_stored(&mut status, number + 1);
        timeout(STORE_TIME_MAX, stored).await.context("an event is not stored")??;
        millis.push(answered.elapsed().as_secs_f64() * 1000.0);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let after = node.usage()?;
    node.stop().await?;
    check(setup, &data).await?;

    millis.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "thirty fits")]
    let done = EVENTS as f64;
    let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
    let latency = Some(Latency::of_sorted(&millis));
    Ok(Sample { done, seconds, cpu_seconds, peak_bytes: after.peak_bytes, latency })
}

/// Waits until the node has said where it runs.
async fn addresses(data: &Path, pid: u32) -> Result<(String, String)> {
    loop {
        if let Ok(text) = std::fs::read_to_string(data.join("node.json"))
            && let Ok(node) = serde_json::from_str::<Value>(&text)
            && node["pid"].as_u64() == Some(u64::from(pid))
        {
            let value = |key: &str| node[key].as_str().map(ToOwned::to_owned);
            let collector = value("collector").context("no collector in node.json")?;
            return Ok((collector, value("admin").context("no admin in node.json")?));
        }
        sleep(POLL).await;
    }
}

/// Asks the node until its sinks have stored `count` records.
async fn wait_until_stored(status: &mut Connection, count: u64) -> Result<()> {
    let request = get("/api/v1/status");
    loop {
        let answer: Value = serde_json::from_slice(status.ask(&request).await?)?;
        let tasks = answer["tasks"].as_array().context("a status without tasks")?;
        let is_sink = |task: &&Value| task["task"].as_str().is_some_and(|id| id.ends_with(".sink"));
        let inputs = tasks.iter().filter(is_sink).filter_map(|task| task["inputs"].as_array());
        let stored: u64 = inputs.flatten().filter_map(|input| input["next"].as_u64()).sum();
        if stored >= count {
            return Ok(());
        }
        sleep(POLL).await;
    }
}

/// Counts the rows with a query, after the node has ended.
async fn check(setup: &Setup, data: &Path) -> Result<()> {
    let mut command = Command::new(&setup.millstream);
    command.arg("query").arg("--data").arg(data).args(["--format", "json"]);
    command.arg("SELECT count(*) AS rows, count(DISTINCT message_id) AS ids FROM events");
    let line = last_line(command).await?;
    let numbers = line.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let found: Vec<u64> = numbers.filter_map(|digits| digits.parse().ok()).collect();
    ensure!(found == [EVENTS, EVENTS], "the table has {line}, {EVENTS} events were stored");
    Ok(())
}
