//! Kafka's own `ProducerPerformance`, in transactions, with the same events, partitions and
//! compression as ours.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use millstream_runtime::Context;
use tokio::process::Command;
use tokio::time::Duration;

use super::{Broker, Load, Setup};
use crate::contestant::logs::connect;
use crate::events::event;
use crate::feed::BODIES;
use crate::journal::{ensure_topic, read_all};
use crate::process::Usage;
use crate::report::{Latency, Sample};

/// How long one transaction is: what a processor of ours gathers.
const TRANSACTION_MILLIS: &str = "100";

/// How often it is looked what the producer has used so far.
const POLL: Duration = Duration::from_millis(20);

impl Broker {
    /// Runs the producer once, and counts what it committed.
    pub(super) async fn produce(&mut self, setup: &Setup, load: Load) -> Result<Sample> {
        let (cx, prefix) = (Context::background(), self.prefix());
        let log = connect(&cx, &self.cluster.bootstrap(), &prefix).await?;
        let topic = ensure_topic(&cx, &*log, "produced").await?;
        let scratch = setup.scratch()?;
        let payload = scratch.path().join("payload");
        let events: Vec<Vec<u8>> = (0..BODIES).map(event).collect();
        fs::write(&payload, events.join(&b'\n'))?;

        let mut command = self.kafka.tool("org.apache.kafka.tools.ProducerPerformance");
        command.args(["--bootstrap-server", &self.cluster.bootstrap()]);
        command.args(["--topic", &format!("{prefix}produced"), "--payload-file"]).arg(&payload);
        command.args(["--num-records", &load.events.to_string()]);
        let throughput = load.rate.map_or_else(|| "-1".to_owned(), |rate| format!("{rate:.0}"));
        command.args(["--throughput", &throughput]);
        command.args(["--transactional-id", &format!("{prefix}producer")]);
        command.args(["--transaction-duration-ms", TRANSACTION_MILLIS]);
        command.args(["--command-property", "acks=all", "compression.type=lz4"]);
        let (line, usage) = run(command.into()).await?;

        let mut committed = 0;
        let log: std::sync::Arc<dyn millstream_log::Log> = log;
        let count = |_: millstream_model::record::Record<'_>| {
            committed += 1;
            Ok(())
        };
        read_all(&cx, &log, &topic, count).await?;
        ensure!(committed == load.events, "{committed} records are there, {} sent", load.events);
        sample(&line, load.events, usage).with_context(|| format!("understand {line:?}"))
    }
}

/// Runs it to its end; returns its last line, and what the process used until shortly before.
async fn run(mut command: Command) -> Result<(String, Usage)> {
    command.stdout(std::process::Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().context("start java")?;
    let pid = child.id().context("just started")?.to_string();
    let mut usage = Usage { cpu_seconds: 0.0, peak_bytes: 0 };
    let output = child.wait_with_output();
    tokio::pin!(output);
    let output = loop {
        tokio::select! {
            output = &mut output => break output?,
            () = tokio::time::sleep(POLL) => {
                // It may have ended meanwhile.
                usage = Usage::read(&pid).unwrap_or(usage);
            }
        }
    };
    ensure!(output.status.success(), "the producer ended with {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().rfind(|line| line.contains("99.9th"));
    Ok((line.context("a producer without a summary")?.to_owned(), usage))
}

/// Reads `N records sent, R records/sec (…), A ms avg latency, M ms max latency, P ms 50th, …`.
fn sample(line: &str, events: u64, usage: Usage) -> Result<Sample> {
    let before = |unit: &str| -> Result<f64> {
        let part = line.split(", ").find(|part| part.contains(unit)).context("no such figure")?;
        let number = part.split(' ').next().context("no number")?;
        Ok(number.parse()?)
    };
    let rate = before("records/sec")?;
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    let done = events as f64;
    let latency =
        Latency { p50: before("50th")?, p99: before("ms 99th")?, p999: Some(before("99.9th")?) };
    Ok(Sample {
        done,
        seconds: done / rate,
        cpu_seconds: usage.cpu_seconds,
        peak_bytes: usage.peak_bytes,
        latency: Some(latency),
    })
}
