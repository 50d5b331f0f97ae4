//! `run`: a node from its first byte to its last.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use millstream_runtime::{Clock, Context};
use tracing::{info, warn};

use crate::cli::{Format, Global, RunArgs};
use crate::command::validate;
use crate::data_dir::{self, DataDir};
use crate::exit::{Code, Failure};
use crate::node::{Drained, Keeping, Node};
use crate::output::{say, utc};
use crate::roles::Roles;
use crate::signal::Signals;

/// What a drain may take beyond the roles' own limits, for closing the log.
const CLOSE_TIME: Duration = Duration::from_secs(5);

/// The upper bounds of the buckets of durations, in seconds.
const SECONDS_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Runs a node until a signal ends it.
pub(crate) async fn run(global: &Global, args: &RunArgs) -> Result<Code, Failure> {
    let Some(mut config) = validate::load(global.format, args.config.as_deref())? else {
        return Ok(Code::Config);
    };
    if let Some(listen) = args.listen {
        config.collector.listen = listen;
    }
    if let Some(admin) = args.admin {
        config.admin.listen = admin;
    }
    if let Some(path) = &mut config.lake.path {
        *path = data_dir::create_lake(path)?;
    }
    let roles = Roles::of(&args.roles, &config)?;
    let mut signals = Signals::listen().map_err(|error| Failure::io(error, "listen to signals"))?;
    let metrics = install_metrics()?;
    let data = DataDir::create(&global.data)?;
    let cx = Context::background();

    let opening = async {
        let node = Node::open(&cx, &config, roles, data, metrics).await?;
        node.announce(&cx).await?;
        Ok::<Node, Failure>(node)
    };
    let mut node = tokio::select! {
        opened = opening => opened?,
        signal = signals.next() => {
            info!(signal, "stopped before the node was ready");
            return Ok(Code::Done);
        }
    };
    say_ready(global, &node);

    let ended = tokio::select! {
        signal = signals.next() => {
            info!(signal, "drains; a second signal ends at once");
            Ok(())
        }
        failure = node.collector_ended() => Err(failure),
    };
    ended?;
    drain(node, &mut signals, config.admin.drain_timeout + CLOSE_TIME).await
}

async fn drain(node: Node, signals: &mut Signals, time_max: Duration) -> Result<Code, Failure> {
    tokio::select! {
        drained = node.drain() => match drained? {
            Drained::Wholly => Ok(Code::Done),
            Drained::InPart => Ok(Code::TryAgain),
        },
        signal = signals.next() => end_now(&format!("{signal} again: ended at once")),
        () = tokio::time::sleep(time_max) => end_now("draining took too long: ended"),
    }
}

/// Ends the process without waiting for anything: what is durable stays, what is not was never
/// acknowledged.
#[expect(clippy::exit, reason = "returning would wait for threads that are to be abandoned")]
fn end_now(why: &str) -> Result<Code, Failure> {
    say(&format!("{why}; the next start goes on from what is committed"));
    std::process::exit(i32::from(Code::TryAgain as u8))
}

fn install_metrics() -> Result<PrometheusHandle, Failure> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| Failure::new(Code::Bug, error))?;
    millstream_collector::metrics::describe();
    millstream_log::metrics::describe();
    millstream_log_kafka::metrics::describe();
    millstream_pipeline::metrics::describe();
    millstream_lake::metrics::describe();
    Ok(handle)
}

/// Says where the node listens, what it waits for and what to try.
fn say_ready(global: &Global, node: &Node) {
    let info = node.info();
    let (reasons, notes) = node.said();
    if global.log_format == Format::Json {
        let collector = info.collector.map(tracing::field::display);
        let (admin, data) = (info.admin, global.data.display());
        if reasons.is_empty() {
            info!(collector, %admin, %data, ?notes, "ready");
        } else {
            warn!(collector, %admin, %data, ?reasons, ?notes, "up, not ready yet");
        }
        return;
    }
    let ready = if reasons.is_empty() { "ready" } else { "up, not ready yet" };
    let said: String = reasons.iter().chain(&notes).map(|line| format!("{line}\n")).collect();
    let admin = info.admin;
    let health =
        format!("health, metrics and status on http://{admin} (/readyz, /metrics, /api/v1/status)");
    let Some(collector) = info.collector else {
        say(&format!("\nmillstream is {ready}, without a collector\n{health}\n{said}"));
        return;
    };
    let data = global.data.display();
    let keeping = match node.keeping() {
        Keeping::Here => format!("keeps them in {data}"),
        Keeping::HereUntilForwarded => format!("keeps them in {data} until Kafka has them"),
        Keeping::InKafka => "answers when Kafka has them".to_owned(),
    };
    let now = utc(Clock::system().now());
    let event = format!(r#"{{"event":"page_view","user_id":"u1","timestamp":"{now}"}}"#);
    say(&format!(
        "\nmillstream is {ready}: takes events on http://{collector}/track, {keeping}\n\
         {health}\n{said}\n\
         Try:  curl -H 'content-type: application/json' -d '{event}' http://{collector}/track\n      \
         {query} \"SELECT * FROM events LIMIT 5\"\n",
        query = global.command("query"),
    ));
}
