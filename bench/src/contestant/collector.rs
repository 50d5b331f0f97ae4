//! The collector with the journal behind it, as the product runs it: all defaults, durable answers,
//! metrics recorded.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use metrics_exporter_prometheus::PrometheusBuilder;
use millstream_collector::{AlwaysReady, Bound, Collector, Config, Settings, Topic};
use millstream_log::Log;
use millstream_model::TopicName;
use millstream_runtime::{Clock, Context};
use tokio::signal::unix::{SignalKind, signal};

use super::Directory;
use crate::events::number_of;
use crate::journal::{Journal, PARTITIONS, ensure_topic, read_all};
use crate::numbers::Numbers;

pub(crate) async fn run(args: &Directory) -> Result<()> {
    // Recording a metric has a cost, which belongs to the collector.
    metrics::set_global_recorder(PrometheusBuilder::new().build_recorder())?;
    let cx = Context::background();
    let journal = Journal::open(&args.dir).await?;
    let name = ensure_topic(&cx, &*journal.log, "events").await?;
    let bound = bind(&journal.log, name)?;
    writeln!(std::io::stdout(), "ready {}", bound.local_addr())?;

    let serving = cx.child();
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async {
        terminate.recv().await;
        serving.cancel();
    };
    let (served, ()) = tokio::join!(bound.run(&serving), stop);
    served?;
    journal.close().await
}

/// Listens, on a free port.
pub(crate) fn bind(log: &Arc<dyn Log>, name: TopicName) -> Result<Bound> {
    let settings = Settings {
        log: Arc::clone(log),
        topic: Topic { name, partitions: PARTITIONS },
        clock: Clock::system(),
        readiness: Arc::new(AlwaysReady),
    };
    let listen = "127.0.0.1:0".parse()?;
    Ok(Collector::bind(Config { listen, ..Config::default() }, settings)?)
}

/// Returns the numbers of the events that a journal holds.
pub(crate) async fn stored(dir: &Path) -> Result<Numbers> {
    let cx = Context::background();
    let journal = Journal::open(dir).await?;
    let topic = ensure_topic(&cx, &*journal.log, "events").await?;
    let mut numbers = Numbers::default();
    read_all(&cx, &journal.log, &topic, |record| {
        numbers.add(number_of(record.value.context("every record has a value")?)?)
    })
    .await?;
    journal.close().await?;
    Ok(numbers)
}
