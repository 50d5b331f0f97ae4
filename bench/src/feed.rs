//! Feeds a node a known number of events: several a request, many connections, either as fast as
//! they are taken or at a rate.
//!
//! At a rate, a request has a moment at which it is due. One that is sent late because all
//! connections waited for answers counts from when it was due: a server that stalls does not get
//! fewer slow requests by that.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, sleep_until};

use crate::events::Template;
use crate::http::{Connection, write_post};
use crate::moments::{Moments, now_micros};

/// How many events one request carries.
pub(crate) const REQUEST_EVENTS: u64 = 20;

/// How many different bodies there are; the numbers decide which of them a cleaner rejects.
pub(crate) const BODIES: u64 = 50;

/// How many connections ask at a time.
const CONNECTIONS: usize = 64;

/// What to send.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FeedArgs {
    /// The server.
    #[arg(long)]
    pub(crate) address: String,
    /// How many events, in whole requests.
    #[arg(long)]
    pub(crate) events: u64,
    /// How many a second; as many as are taken, if absent.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Where to leave when each event was sent.
    #[arg(long)]
    pub(crate) sent: PathBuf,
}

#[derive(Debug)]
struct Plan {
    begun: Instant,
    begun_micros: u64,
    requests: u64,
    next: Cell<u64>,
    rate: Option<f64>,
    sent: RefCell<Moments>,
}

/// Sends all of it; any answer but 200 is an error.
pub(crate) async fn run(args: &FeedArgs) -> Result<()> {
    ensure!(args.events.is_multiple_of(REQUEST_EVENTS), "events come in whole requests");
    let plan = Rc::new(Plan {
        begun: Instant::now(),
        begun_micros: now_micros(),
        requests: args.events / REQUEST_EVENTS,
        next: Cell::new(0),
        rate: args.rate,
        sent: RefCell::new(Moments::new(args.events)?),
    });
    let tasks = tokio::task::LocalSet::new();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let (address, plan) = (args.address.clone(), Rc::clone(&plan));
        connections.push(tasks.spawn_local(async move { ask(&address, &plan).await }));
    }
    tasks.await;
    for connection in connections {
        connection.await??;
    }
    plan.sent.borrow().save(&args.sent)
}

async fn ask(address: &str, plan: &Plan) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    let mut bodies: Vec<Template> = (0..BODIES).map(Template::new).collect();
    let (mut body, mut request) = (Vec::new(), Vec::new());
    loop {
        let number = plan.next.get();
        if number >= plan.requests {
            return Ok(());
        }
        plan.next.set(number + 1);
        let first = number * REQUEST_EVENTS;
        write_events(&mut body, &mut bodies, first)?;
        write_post(&mut request, &body);
        let sent = plan.wait_until_due(first).await;
        for event in first..first + REQUEST_EVENTS {
            plan.sent.borrow_mut().note(event, sent)?;
        }
        let answer = connection.ask(&request).await.with_context(|| format!("event {first}"))?;
        let answer = String::from_utf8_lossy(answer);
        ensure!(answer.contains("\"rejected\":0"), "event {first}: {answer}");
    }
}

impl Plan {
    /// Waits until a request is due; returns the moment from which it counts.
    async fn wait_until_due(&self, first: u64) -> u64 {
        let Some(rate) = self.rate else { return now_micros() };
        #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
        let after = Duration::from_secs_f64(first as f64 / rate);
        let due = self.begun + after;
        if due <= Instant::now() {
            return self.begun_micros + u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        }
        // What the timer oversleeps is not the server's.
        sleep_until(due).await;
        now_micros()
    }
}

/// Writes a JSON array of the events from `first` on.
fn write_events(body: &mut Vec<u8>, bodies: &mut [Template], first: u64) -> Result<()> {
    body.clear();
    for event in first..first + REQUEST_EVENTS {
        body.push(if event == first { b'[' } else { b',' });
        let template = usize::try_from(event % BODIES).context("fifty fits")?;
        body.extend_from_slice(bodies[template].numbered(event));
    }
    body.push(b']');
    Ok(())
}
