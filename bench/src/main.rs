//! Scenarios that print ratios from one run, each beside its baseline.
//!
//! `bench all` runs every scenario; `bench --help` names them. A contestant is a process of its
//! own, alternates with the others, and counts only when its output was found complete. How to
//! read the tables, and the figures of a described machine, stand in `bench/README.md`.

use std::io::Write;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::contestant::Contestant;
use crate::feed::FeedArgs;
use crate::load::LoadArgs;
use crate::scenario::Setup;

mod contestant;
mod events;
mod feed;
mod http;
mod journal;
mod load;
mod meter;
mod moments;
mod numbers;
mod process;
mod report;
mod rules;
mod scenario;

/// Prints ratios from one run, each scenario beside its baseline.
#[derive(Debug, Parser)]
#[command(name = "bench", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Every scenario, one after the other.
    All(Setup),
    /// One event a request, durable, against the same collector in Go.
    Collector(Setup),
    /// Durable appends against the disk's own sequential writes.
    Journal(Setup),
    /// The five standard rules against the JSON library's validation.
    Cleaning(Setup),
    /// Fetch, clean, transactional append.
    Engine(Setup),
    /// From the collector to the clean topic, on both logs, beside Kafka's own producer.
    Logs(Setup),
    /// From the collector's answer to the row in the table.
    Latency(Setup),
    /// Runs one contestant; the runner calls it.
    #[command(subcommand, hide = true)]
    Contestant(Contestant),
    /// Generates load; the runner calls it.
    #[command(hide = true)]
    Load(LoadArgs),
    /// Feeds a known number of events; the runner calls it.
    #[command(hide = true)]
    Feed(FeedArgs),
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    match &cli.command {
        // One thread, so that the load generator takes little of the machine.
        Command::Load(args) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let report = runtime.block_on(load::run(args))?;
            Ok(writeln!(std::io::stdout(), "{}", serde_json::to_string(&report)?)?)
        }
        Command::Feed(args) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(feed::run(args))
        }
        command => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(run(command))
        }
    }
}

async fn run(command: &Command) -> Result<()> {
    match command {
        Command::All(setup) => {
            scenario::collector::run(setup).await?;
            scenario::journal::run(setup).await?;
            scenario::cleaning::run(setup).await?;
            scenario::engine::run(setup).await?;
            scenario::logs::run(setup).await?;
            scenario::latency::run(setup).await
        }
        Command::Collector(setup) => scenario::collector::run(setup).await,
        Command::Journal(setup) => scenario::journal::run(setup).await,
        Command::Cleaning(setup) => scenario::cleaning::run(setup).await,
        Command::Engine(setup) => scenario::engine::run(setup).await,
        Command::Logs(setup) => scenario::logs::run(setup).await,
        Command::Latency(setup) => scenario::latency::run(setup).await,
        Command::Contestant(contestant) => contestant::run(contestant).await,
        Command::Load(_) | Command::Feed(_) => unreachable!("runs on one thread, above"),
    }
}
