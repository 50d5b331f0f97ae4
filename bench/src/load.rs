//! The load generator: one process, one thread, many connections, one event a request.
//!
//! It is as plain as can be, so that it takes little of the machine: prepared bodies numbered in
//! place, one write a request, an answer read only as far as its status and length. It stops
//! asking when the time is over and waits for every answer that is still out.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::events::Template;
use crate::http::{Connection, write_post};

/// How many different bodies a connection sends.
const BODIES: u64 = 50;

/// What to ask for.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LoadArgs {
    /// The server.
    #[arg(long)]
    pub(crate) address: String,
    /// How many connections ask at a time.
    #[arg(long, default_value_t = 64)]
    pub(crate) connections: usize,
    /// For how long.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
}

/// What came of it. Numbers `0..requests` were sent, each once, and each was acknowledged.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct LoadReport {
    /// Requests answered 200.
    pub(crate) requests: u64,
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    /// The median time of a request, in milliseconds.
    pub(crate) p50: f64,
    /// The 99th percentile, in milliseconds.
    pub(crate) p99: f64,
    /// The 99.9th percentile, in milliseconds.
    pub(crate) p999: f64,
}

#[derive(Debug, Default)]
struct Shared {
    next: u64,
    micros: Vec<u32>,
}

/// Generates the load; any answer but 200 is an error.
pub(crate) async fn run(args: &LoadArgs) -> Result<LoadReport> {
    let shared = Rc::new(RefCell::new(Shared::default()));
    let begun = Instant::now();
    let until = begun + Duration::from_secs(args.seconds);
    let tasks = tokio::task::LocalSet::new();
    let mut connections = Vec::new();
    for _ in 0..args.connections {
        let (address, shared) = (args.address.clone(), Rc::clone(&shared));
        connections.push(tasks.spawn_local(async move { ask(&address, until, &shared).await }));
    }
    tasks.await;
    for connection in connections {
        connection.await??;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let mut micros = std::mem::take(&mut shared.borrow_mut().micros);
    micros.sort_unstable();
    let percentile = |thousandths: usize| {
        let index = (micros.len() * thousandths / 1000).min(micros.len().saturating_sub(1));
        f64::from(micros.get(index).copied().unwrap_or(0)) / 1000.0
    };
    let requests = micros.len() as u64;
    let (p50, p99, p999) = (percentile(500), percentile(990), percentile(999));
    Ok(LoadReport { requests, seconds, p50, p99, p999 })
}

async fn ask(address: &str, until: Instant, shared: &RefCell<Shared>) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    let mut bodies: Vec<Template> = (0..BODIES).map(Template::new).collect();
    let mut request = Vec::with_capacity(2048);
    loop {
        let begun = Instant::now();
        if begun >= until {
            return Ok(());
        }
        let number = {
            let mut shared = shared.borrow_mut();
            shared.next += 1;
            shared.next - 1
        };
        let index = usize::try_from(number % BODIES).context("fifty fits")?;
        let body = bodies[index].numbered(number);
        write_post(&mut request, body);
        connection.ask(&request).await.with_context(|| format!("event {number}"))?;
        let micros = u32::try_from(begun.elapsed().as_micros()).unwrap_or(u32::MAX);
        shared.borrow_mut().micros.push(micros);
    }
}
