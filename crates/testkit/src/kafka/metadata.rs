//! Asks a broker who is in its cluster, and who leads a topic's partitions: the smallest exchange
//! that shows that it serves requests, and not only that its port is open.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::protocol::Request;

/// How long a broker that is starting may keep one question.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

const METADATA: i16 = 3;
/// Before it, an empty list of topics stands for all.
const VERSION: i16 = 1;

/// Fails unless the broker answers and knows so many brokers, itself included.
pub(super) fn expect_brokers(address: SocketAddr, count: usize) -> Result<()> {
    let known = ask(address, &[])?.brokers.len();
    ensure!(known == count, "{known} of {count} brokers are there");
    Ok(())
}

/// Returns the partitions of a topic, each with its leader's address.
pub(super) fn leaders(address: SocketAddr, topic: &str) -> Result<Vec<(i32, SocketAddr)>> {
    let Metadata { brokers, partitions } = ask(address, &[topic])?;
    let leader_of = |(partition, leader): (i32, i32)| {
        let broker = brokers.iter().find(|(id, _)| *id == leader);
        let (_, address) = broker.with_context(|| format!("{topic}-{partition} has no leader"))?;
        Ok((partition, *address))
    };
    partitions.into_iter().map(leader_of).collect()
}

/// What a broker says of its cluster.
struct Metadata {
    /// Node ids, with where they listen.
    brokers: Vec<(i32, SocketAddr)>,
    /// The partitions of all topics asked for, with the node ids of their leaders.
    partitions: Vec<(i32, i32)>,
}

fn ask(address: SocketAddr, topics: &[&str]) -> Result<Metadata> {
    let request = Request::new(METADATA, VERSION).count(topics.len());
    let request = topics.iter().fold(request, |request, topic| request.text(topic));
    let mut answer = request.send(address, ANSWER_WITHIN).context("ask for the cluster")?;
    let mut brokers = Vec::new();
    for _ in 0..answer.count()? {
        let (id, host, port) = (answer.i32()?, answer.text()?, answer.i32()?);
        let _rack = answer.text()?;
        let host: IpAddr = host.parse().with_context(|| format!("a broker at {host}"))?;
        brokers.push((id, SocketAddr::new(host, u16::try_from(port)?)));
    }
    let _controller = answer.i32()?;
    let mut partitions = Vec::new();
    for _ in 0..answer.count()? {
        let (code, name) = (answer.i16()?, answer.text()?);
        ensure!(code == 0, "{name}: error {code}");
        let _is_internal = answer.flag()?;
        for _ in 0..answer.count()? {
            let (_code, partition, leader) = (answer.i16()?, answer.i32()?, answer.i32()?);
            for _replicas_then_in_sync in 0..2 {
                for _ in 0..answer.count()? {
                    answer.i32()?;
                }
            }
            partitions.push((partition, leader));
        }
    }
    Ok(Metadata { brokers, partitions })
}
