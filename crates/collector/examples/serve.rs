//! Serves the collector on a journal in a directory, for load tests:
//! `cargo run --release -p millstream-collector --example serve -- <directory> <address> <workers>`.
//!
//! Ends on interrupt, drains, and prints how many records the journal holds.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "talks to who measures it")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use millstream_collector::{AlwaysReady, Collector, Config, Settings, Topic};
use millstream_log::journal::{self, Journal};
use millstream_log::{Log, TopicConfig, TopicKind};
use millstream_model::{TopicName, TopicPartition};
use millstream_runtime::disk::RealDisk;
use millstream_runtime::{Clock, Context, Rng, TaskKind, spawn};

const PARTITIONS: u32 = 4;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let dir: PathBuf = arguments.next().context("a directory")?.into();
    let listen: SocketAddr = arguments.next().context("an address")?.parse()?;
    let workers: usize = arguments.next().map_or(Ok(0), |text| text.parse())?;

    let cx = Context::background();
    let clock = Clock::system();
    let (disk, rng) = (Arc::new(RealDisk), Rng::from_os());
    let settings = journal::Settings { dir, disk, clock: clock.clone(), rng };
    let log: Arc<dyn Log> = Arc::new(Journal::open(journal::Config::default(), settings)?);
    let name = TopicName::new("events")?;
    let topic = TopicConfig { partitions: PARTITIONS, kind: TopicKind::Events, retention: None };
    log.admin().ensure_topic(&cx, &name, &topic).await?;

    let config = Config { listen, workers, key: Some("user_id".to_owned()), ..Config::default() };
    let topic = Topic { name: name.clone(), partitions: PARTITIONS };
    let readiness = Arc::new(AlwaysReady);
    let settings = Settings { log: Arc::clone(&log), topic, clock, readiness };
    let bound = Collector::bind(config, settings)?;
    eprintln!("listens on {}", bound.local_addr());

    let run_cx = cx.clone();
    let mut running =
        spawn(&cx, TaskKind("example.collector"), async move { bound.run(&run_cx).await });
    tokio::signal::ctrl_c().await?;
    cx.cancel();
    running.join().await??;

    let cx = Context::background();
    let mut records = 0;
    for partition in 0..PARTITIONS {
        let bounds = log.bounds(&cx, &TopicPartition::new(name.clone(), partition)).await?;
        records += bounds.end.offset.0;
    }
    println!("{records}");
    Ok(())
}
