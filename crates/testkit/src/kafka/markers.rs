//! Transactions that are open in a partition, and the markers that end them there.
//!
//! A coordinator ends a transaction in all its partitions. Sending the marker to one of them shows
//! what a coordinator does that was killed in the middle, or acts late on what it knew.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};

use super::protocol::{Answer, Request};
use super::{Cluster, metadata};

/// How long each step of an exchange may take: one broker waits for others before it answers.
const STEP_TIME_MAX: Duration = Duration::from_secs(30);

const WRITE_TXN_MARKERS: i16 = 27;
/// The first that Kafka 4 takes; with it the marker may have the epoch of the transaction.
const WRITE_TXN_MARKERS_VERSION: i16 = 1;

const DESCRIBE_PRODUCERS: i16 = 61;
const DESCRIBE_PRODUCERS_VERSION: i16 = 0;

/// A transaction that is open in a partition, as its leader knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenTransaction {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// Which producer writes.
    pub producer_id: i64,
    /// Which of its successive owners.
    pub producer_epoch: i16,
    /// Which coordinator wrote the last marker of that producer here; -1 before the first.
    pub coordinator_epoch: i32,
    /// Where it begins.
    pub start_offset: i64,
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// What it wrote stands.
    Commit,
    /// What it wrote is void.
    Abort,
}

impl Cluster {
    /// Returns the transactions that are open in any partition of a topic, by the listener without
    /// users. For offsets that are to be committed, the topic is `__consumer_offsets`.
    pub fn open_transactions(&self, topic: &str) -> Result<Vec<OpenTransaction>> {
        let mut open = Vec::new();
        for (partition, leader) in self.leaders(topic)? {
            let found = describe(leader, topic, partition);
            open.extend(found.with_context(|| format!("who writes to {topic}-{partition}"))?);
        }
        Ok(open)
    }

    /// Ends a transaction in the partition where it was found, and nowhere else: its coordinator
    /// learns nothing of it. Of a transaction without a marker before, the coordinator's epoch is
    /// taken for 0, the first there is.
    pub fn end_in_partition(&self, open: &OpenTransaction, outcome: Outcome) -> Result<()> {
        let OpenTransaction { topic, partition, .. } = open;
        let leaders = self.leaders(topic)?;
        let leader = leaders.into_iter().find(|(number, _)| number == partition);
        let (_, leader) = leader.with_context(|| format!("{topic} has no {partition}"))?;
        let written = write_marker(leader, open, outcome);
        written.with_context(|| format!("{outcome:?} in {topic}-{partition}"))
    }

    /// Asks one broker after the other, for some may be down.
    fn leaders(&self, topic: &str) -> Result<Vec<(i32, SocketAddr)>> {
        let mut failed = anyhow!("a cluster without brokers");
        for broker in &self.brokers {
            match metadata::leaders(broker.ports.plaintext.address(), topic) {
                Ok(leaders) => return Ok(leaders),
                Err(error) => failed = error,
            }
        }
        Err(failed.context(format!("who leads {topic}")))
    }
}

fn describe(leader: SocketAddr, topic: &str, partition: i32) -> Result<Vec<OpenTransaction>> {
    let request = Request::flexible(DESCRIBE_PRODUCERS, DESCRIBE_PRODUCERS_VERSION);
    let mut answer =
        with_partition(request, topic, partition).no_tags().send(leader, STEP_TIME_MAX)?;
    let _throttled = answer.i32()?;
    expect_partition(&mut answer, partition)?;
    let code = answer.i16()?;
    let reason = answer.text()?;
    ensure!(code == 0, "error {code}: {reason}");
    let mut open = Vec::new();
    for _ in 0..answer.count()? {
        let (producer_id, producer_epoch) = (answer.i64()?, i16::try_from(answer.i32()?)?);
        let (_sequence, _timestamp) = (answer.i32()?, answer.i64()?);
        let (coordinator_epoch, start_offset) = (answer.i32()?, answer.i64()?);
        answer.tags()?;
        // A producer without an open transaction says -1.
        if start_offset >= 0 {
            let topic = topic.to_owned();
            open.push(OpenTransaction {
                topic,
                partition,
                producer_id,
                producer_epoch,
                coordinator_epoch,
                start_offset,
            });
        }
    }
    Ok(open)
}

fn write_marker(leader: SocketAddr, open: &OpenTransaction, outcome: Outcome) -> Result<()> {
    let request = Request::flexible(WRITE_TXN_MARKERS, WRITE_TXN_MARKERS_VERSION)
        .count(1)
        .i64(open.producer_id)
        .i16(open.producer_epoch)
        .flag(outcome == Outcome::Commit);
    let request = with_partition(request, &open.topic, open.partition)
        .i32(open.coordinator_epoch.max(0))
        .no_tags()
        .no_tags();
    let mut answer = request.send(leader, STEP_TIME_MAX)?;
    ensure!(answer.count()? == 1, "an answer to one marker has one");
    ensure!(answer.i64()? == open.producer_id, "an answer for another producer");
    expect_partition(&mut answer, open.partition)?;
    let code = answer.i16()?;
    ensure!(code == 0, "the marker is refused with error {code}");
    Ok(())
}

/// Adds a list of one topic with one partition.
fn with_partition(request: Request, topic: &str, partition: i32) -> Request {
    request.count(1).text(topic).count(1).i32(partition).no_tags()
}

/// Takes the start of a list of one topic with one partition.
fn expect_partition(answer: &mut Answer, partition: i32) -> Result<()> {
    ensure!(answer.count()? == 1, "an answer for one topic has one");
    let _topic = answer.text()?;
    ensure!(answer.count()? == 1, "an answer for one partition has one");
    ensure!(answer.i32()? == partition, "an answer for another partition");
    Ok(())
}
