//! The conformance suite: what every implementation of the contract must do, as named properties.
//!
//! An implementation brings a [`Subject`], which starts and stops it, and says what it can do
//! beyond the contract ([`Capability`]). [`run`] gives each [`Property`] a new subject, reports
//! those that do not apply by name, and fails with the names of those that do not hold. No
//! property sleeps or looks at the wall clock; a call that hangs ends with the deadline of its
//! context. Where the contract lets a commit show some milliseconds after it was answered, the
//! subject says how to wait until it shows ([`Subject::settle`]).

use std::fmt;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use async_trait::async_trait;
use futures::future::LocalBoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use millstream_model::TopicPartition;

use crate::contract::Log;

mod admin;
mod append;
mod fence;
mod model;
mod position;
mod read;
mod restart;
mod stage;
mod transaction;

pub use stage::{Stage, batch, values_of};

/// An implementation under test: one log, its storage, and the ways to stop it.
#[async_trait]
pub trait Subject: Send + Sync {
    /// What it can do beyond the contract.
    fn capabilities(&self) -> &[Capability];

    /// The limits it was set up with.
    fn limits(&self) -> Limits;

    /// Starts the log on its storage, which is empty the first time.
    async fn start(&mut self) -> Result<Arc<dyn Log>>;

    /// Ends the log in order: what was accepted is settled first.
    async fn stop(&mut self) -> Result<()>;

    /// Waits until everything that was answered as committed shows in `partition`; a log that
    /// shows it before it answers has nothing to wait for.
    async fn settle(&self, _partition: &TopicPartition) -> Result<()> {
        Ok(())
    }

    /// Ends the log as a power cut does ([`Capability::Crash`]).
    async fn crash(&mut self) -> Result<()> {
        bail!("this subject cannot crash")
    }

    /// Stops making things durable ([`Capability::Hold`]).
    fn hold(&mut self) -> Result<()> {
        bail!("this subject cannot hold back durability")
    }

    /// Waits until something accepted stands before the step that makes it durable.
    async fn wait_until_held(&mut self) -> Result<()> {
        bail!("this subject cannot hold back durability")
    }

    /// Goes on making things durable.
    fn release(&mut self) -> Result<()> {
        bail!("this subject cannot hold back durability")
    }

    /// Takes a backup of the storage of the running log ([`Capability::Backup`]).
    fn save(&mut self) -> Result<()> {
        bail!("this subject has no backup")
    }

    /// Puts the backup in place of the storage of the stopped log.
    fn restore(&mut self) -> Result<()> {
        bail!("this subject has no backup")
    }

    /// Returns how often storage was synced so far ([`Capability::OneSync`]).
    fn syncs(&self) -> Result<u64> {
        bail!("this subject does not count its syncs")
    }
}

/// The limits a subject was set up with.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most record bytes of one append.
    pub append_bytes_max: usize,
    /// The most record bytes of one transaction.
    pub transaction_bytes_max: usize,
}

/// What an implementation may be able to do, and a property may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Capability {
    /// Offsets count records.
    Gapless,
    /// An append over several partitions is atomic.
    AtomicAppend,
    /// What was committed is still there after stopping and starting.
    Restart,
    /// Each opening of the log is an incarnation of its own: only a log that one process opens
    /// can tell its openings apart. On Kafka an incarnation is a leader epoch, which belongs to
    /// the cluster.
    OpeningsToldApart,
    /// The log can be ended as by a power cut.
    Crash,
    /// Durability can be held back.
    Hold,
    /// The storage can be replaced by an earlier copy of itself.
    Backup,
    /// One sync makes an append durable, however many partitions it touches.
    OneSync,
}

/// One promise of the contract.
pub struct Property {
    /// The invariant it belongs to, as in `docs/invariants.md`.
    pub id: &'static str,
    /// The sentence it proves.
    pub name: &'static str,
    /// What it needs beyond the contract.
    pub needs: &'static [Capability],
    /// Proves it on a log that is empty but for the stage's topics.
    pub run: Run,
}

/// The proof of a property.
pub type Run = for<'a> fn(&'a mut Stage) -> LocalBoxFuture<'a, Result<()>>;

impl Property {
    const fn new(
        id: &'static str,
        name: &'static str,
        needs: &'static [Capability],
        run: Run,
    ) -> Self {
        Self { id, name, needs, run }
    }
}

impl fmt::Debug for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Property({}: {})", self.id, self.name)
    }
}

/// Returns every property.
pub fn properties() -> impl Iterator<Item = &'static Property> {
    let parts = [
        append::PROPERTIES,
        read::PROPERTIES,
        transaction::PROPERTIES,
        fence::PROPERTIES,
        position::PROPERTIES,
        admin::PROPERTIES,
        restart::PROPERTIES,
        model::PROPERTIES,
    ];
    parts.into_iter().flatten()
}

/// What a run of the suite covered.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The implementation.
    pub subject: String,
    /// The properties that ran.
    pub ran: Vec<&'static str>,
    /// The properties that need what the subject cannot do.
    pub not_applicable: Vec<&'static str>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, ran, not_applicable } = self;
        let skipped = not_applicable.len();
        write!(
            f,
            "conformance[{subject}]: {} properties ran, {skipped} not applicable",
            ran.len()
        )?;
        if skipped > 0 { write!(f, " ({})", not_applicable.join("; ")) } else { Ok(()) }
    }
}

/// How a run goes about its properties.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How many properties are proven at the same time, each on a subject of its own.
    pub at_once: usize,
    /// How long a property may take before the calls it waits for are given up.
    pub property_time_max: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { at_once: 1, property_time_max: Duration::from_secs(60) }
    }
}

/// Runs every property on a new subject each; fails with the names of those that do not hold.
pub async fn run(name: &str, make: impl Fn() -> Result<Box<dyn Subject>>) -> Result<Report> {
    run_at(Pace::default(), name, make).await
}

/// Runs every property as [`run`] does, at a pace for a log behind a network.
pub async fn run_at(
    pace: Pace,
    name: &str,
    make: impl Fn() -> Result<Box<dyn Subject>>,
) -> Result<Report> {
    let mut report = Report { subject: name.to_owned(), ..Report::default() };
    let mut proofs = Vec::new();
    for property in properties() {
        let subject = make()?;
        let lacks = |need| !subject.capabilities().contains(need);
        if property.needs.iter().any(lacks) {
            report.not_applicable.push(property.name);
            continue;
        }
        report.ran.push(property.name);
        proofs.push(async move {
            let error = prove(property, subject, pace).await.err()?;
            Some(format!("{}: {}: {error:#}", property.id, property.name))
        });
    }
    let proven = stream::iter(proofs).buffered(pace.at_once).collect::<Vec<_>>().await;
    let failures: Vec<String> = proven.into_iter().flatten().collect();
    say(&report)?;
    match failures.is_empty() {
        true => Ok(report),
        false => bail!(
            "conformance[{name}]: {} properties do not hold:\n  {}",
            failures.len(),
            failures.join("\n  ")
        ),
    }
}

async fn prove(property: &Property, subject: Box<dyn Subject>, pace: Pace) -> Result<()> {
    let proof = async {
        let mut stage = Stage::start(subject, pace.property_time_max).await?;
        (property.run)(&mut stage).await?;
        stage.end().await
    };
    match AssertUnwindSafe(proof).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(anyhow!("panicked: {}", text.unwrap_or("no message")))
        }
    }
}

/// Prints a line past the test harness, which shows the output of failed tests only.
pub fn say(line: &impl fmt::Display) -> Result<()> {
    Ok(writeln!(std::io::stderr(), "{line}")?)
}
