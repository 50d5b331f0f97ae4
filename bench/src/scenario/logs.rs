//! From the collector to the clean topic, on the journal and on Kafka, flat out and at half of
//! that, with Kafka's own transactional producer beside it, on the same broker.
//!
//! Broker, contestant and generator share all cores: on one machine nothing else would be fair to
//! any of them.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use millstream_runtime::{TaskKind, spawn_blocking};
use millstream_testkit::Availability;
use millstream_testkit::kafka::{Cluster, Config, Kafka, Tuning};
use tokio::process::Command;

use super::{Setup, median, progress, touch_memory};
use crate::events::event;
use crate::feed::REQUEST_EVENTS;
use crate::meter::Measured;
use crate::moments::{Moments, compare};
use crate::process::{Cores, Server, Usage};
use crate::report::{Measure, Ratio, Report, Sample};

mod producer;

const JOURNAL: Names = Names { full: "journal, flat out", half: "journal, half load" };
const KAFKA: Names =
    Names { full: "Kafka with spool, flat out", half: "Kafka with spool, half load" };
const PRODUCER: Names =
    Names { full: "Kafka's producer-perf, flat out", half: "Kafka's producer-perf, half load" };

const RATIOS: [Ratio; 2] = [
    Ratio { of: KAFKA.full, to: PRODUCER.full, measure: Measure::Rate, aim: None },
    Ratio { of: JOURNAL.full, to: KAFKA.full, measure: Measure::Rate, aim: None },
];

/// The most milliseconds from the sender to the clean topic on the journal at half load, for 99 of
/// 100 events.
const AIM: f64 = 10.0;

/// How much of the volume of other scenarios is sent flat out: Kafka takes longer.
const VOLUME_PART: u64 = 4;

/// A contestant's name in the table, by load.
#[derive(Debug)]
struct Names {
    full: &'static str,
    half: &'static str,
}

/// A broker for this scenario, set up for throughput.
#[derive(Debug)]
struct Broker {
    kafka: Kafka,
    cluster: Cluster,
    /// How many prefixes were given out.
    runs: u32,
    /// The CPU time it used in each flat-out run of ours.
    cpu_seconds: Vec<f64>,
}

/// What one run was asked for.
#[derive(Debug, Clone, Copy)]
struct Load {
    events: u64,
    rate: Option<f64>,
}

/// Runs the scenario.
pub(crate) async fn run(setup: &Setup) -> Result<()> {
    let Setup { rounds, seconds, mib, .. } = setup;
    let mib = mib / VOLUME_PART;
    let title = format!(
        "Logs: collector → clean topic, {REQUEST_EVENTS} events of ~1 KB a request, {mib} MiB flat \
         out, {seconds} s at half load, {rounds} rounds, cores shared"
    );
    let bytes = event_bytes();
    let flat = Load { events: whole_requests((mib << 20) / bytes), rate: None };
    let mut broker = Broker::start().await?;
    if let Some(broker) = &mut broker {
        broker.warm_up(setup).await.context("warm the broker up")?;
    }
    let (mut report, mut checked, mut tails) = (Report::new(title, "MB", 1e6), 0, Vec::new());
    for round in 0..*rounds {
        progress(&format!("logs, round {}: the journal", round + 1));
        touch_memory(mib << 20);
        let (full, half) = both(setup, flat, None).await.context(JOURNAL.full)?;
        tails.extend(half.latency.map(|latency| latency.p99));
        checked += add(&mut report, &JOURNAL, full, half, bytes);
        let Some(broker) = &mut broker else { continue };
        progress(&format!("logs, round {}: Kafka", round + 1));
        touch_memory(mib << 20);
        let (full, half) = both(setup, flat, Some(broker)).await.context(KAFKA.full)?;
        checked += add(&mut report, &KAFKA, full, half, bytes);
        progress(&format!("logs, round {}: Kafka's producer-perf", round + 1));
        let full = broker.produce(setup, flat).await.context(PRODUCER.full)?;
        let half = broker.produce(setup, half_of(&full, *seconds)).await.context(PRODUCER.half)?;
        checked += add(&mut report, &PRODUCER, full, half, bytes);
    }
    let p99 = median(&mut tails);
    let verdict = if p99 < AIM { "met" } else { "**not met**" };
    report.note(format!("journal at half load, p99: **{p99:.2} ms**; aim < {AIM} ms: {verdict}"));
    if let Some(mut broker) = broker {
        let cpu = median(&mut broker.cpu_seconds);
        report
            .note(format!("the broker's CPU beside ours, flat out: {cpu:.2} s, not in the table"));
    }
    report.note(format!("checked: {checked} events, each found exactly once"));
    report.note("times: ours from the send to a reader of committed records in the clean topic, flat out with the queue before it; producer-perf's to the broker's acknowledgement, before the commit".to_owned());
    report.print(&RATIOS)
}

/// Adds both samples, counted in events so far, in bytes; returns how many events were checked.
fn add(report: &mut Report, names: &Names, full: Sample, half: Sample, bytes: u64) -> u64 {
    let mut checked = 0.0;
    for (name, sample) in [(names.full, full), (names.half, half)] {
        checked += sample.done;
        #[expect(clippy::cast_precision_loss, reason = "about a thousand")]
        report.add(name, Sample { done: sample.done * bytes as f64, ..sample });
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let checked = checked as u64;
    checked
}

/// Runs ours flat out, and then at half of what that gave.
async fn both(
    setup: &Setup,
    flat: Load,
    mut broker: Option<&mut Broker>,
) -> Result<(Sample, Sample)> {
    let before = broker.as_deref_mut().map(Broker::usage).transpose()?;
    let full = ours(setup, flat, broker.as_deref_mut()).await?;
    if let (Some(broker), Some(before)) = (broker.as_deref_mut(), before) {
        let used = broker.usage()?.cpu_seconds - before.cpu_seconds;
        broker.cpu_seconds.push(used);
    }
    let half = ours(setup, half_of(&full, setup.seconds), broker).await?;
    Ok((full, half))
}

/// Runs ours once, in a process of its own.
async fn ours(setup: &Setup, load: Load, broker: Option<&mut Broker>) -> Result<Sample> {
    let scratch = setup.scratch()?;
    let mut command = Cores::Shared.contestant(&Setup::this_program()?);
    command.args(["contestant", "logs", "--dir"]).arg(scratch.path());
    command.args(["--events", &load.events.to_string()]);
    if let Some(broker) = broker {
        command.args(["--kafka", &broker.cluster.bootstrap(), "--prefix", &broker.prefix()]);
    }
    let node = Server::start(command).await?;
    feed(&node.address, load, &scratch.path().join("sent")).await?;
    let measured = Measured::parse(&node.last_line().await?)?;
    ensure!(measured.checked == load.events, "not every event was looked for");
    let sent = Moments::load(&scratch.path().join("sent"))?;
    let (seconds, latency) = compare(&sent, &Moments::load(&scratch.path().join("seen"))?)?;
    Ok(Sample { seconds, latency: Some(latency), ..measured.sample() })
}

async fn feed(address: &str, load: Load, sent: &Path) -> Result<()> {
    let mut command: Command = Cores::Shared.load(&Setup::this_program()?);
    command.args(["feed", "--address", address, "--events", &load.events.to_string()]);
    command.arg("--sent").arg(sent);
    if let Some(rate) = load.rate {
        command.args(["--rate", &rate.to_string()]);
    }
    let status = command.kill_on_drop(true).status().await.context("start the generator")?;
    ensure!(status.success(), "the generator ended with {status}");
    Ok(())
}

/// Returns half of a rate, for some seconds.
fn half_of(full: &Sample, seconds: u64) -> Load {
    let rate = full.done / full.seconds / 2.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a count"
    )]
    let events = (rate * seconds as f64) as u64;
    Load { events: whole_requests(events), rate: Some(rate) }
}

fn whole_requests(events: u64) -> u64 {
    events.max(1).next_multiple_of(REQUEST_EVENTS)
}

/// The size of an event, on average.
fn event_bytes() -> u64 {
    (0..REQUEST_EVENTS).map(|number| event(number).len() as u64).sum::<u64>() / REQUEST_EVENTS
}

impl Broker {
    /// Brings and starts Kafka; `None`, and says why, where it cannot be had.
    async fn start() -> Result<Option<Self>> {
        progress("logs: starts Kafka");
        let start = || -> Result<Option<Self>> {
            let kafka = match Kafka::install() {
                Availability::Available(kafka) => kafka,
                Availability::Missing(reason) => {
                    progress(&format!("skipped: the log on Kafka: {reason}"));
                    return Ok(None);
                }
            };
            let config = Config {
                tuning: Tuning::Throughput,
                // A record of one MiB with all that is around it, as the product asks for.
                message_bytes_max: 2 << 20,
                ..Config::default()
            };
            let cluster = kafka.start(&config)?;
            Ok(Some(Self { kafka, cluster, runs: 0, cpu_seconds: Vec::new() }))
        };
        spawn_blocking(TaskKind("kafka"), start).join().await?
    }

    /// Lets the JVM compile what will be measured.
    async fn warm_up(&mut self, setup: &Setup) -> Result<()> {
        progress("logs: warms the broker up");
        let load = Load { events: whole_requests(20_000), rate: None };
        ours(setup, load, Some(self)).await?;
        self.produce(setup, load).await?;
        Ok(())
    }

    /// Returns a prefix for names that nobody used yet.
    fn prefix(&mut self) -> String {
        self.runs += 1;
        format!("run{}-", self.runs)
    }

    fn usage(&mut self) -> Result<Usage> {
        let pid = self.cluster.broker(0).pid().context("the broker has ended")?;
        Usage::read(&pid.to_string())
    }
}
