//! Stopping: what was begun is finished, what rests is closed, and it ends in time.

use std::time::Duration;

use anyhow::Result;
use millstream_collector::Config;

use crate::rig::{Client, Rig, config, post};

#[tokio::test]
async fn a_request_in_flight_is_answered_and_its_connection_closed() -> Result<()> {
    let mut rig = Rig::start(config()).await?;
    let mut busy = rig.busy_client("{}").await?;
    rig.drain_begun().await?;
    assert!(busy.is_silent()?);
    rig.log.release();
    let answer = busy.answer().await?;
    assert_eq!(answer.status, 200);
    busy.closed().await?;
    assert_eq!(rig.stop().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_still_coming_is_taken() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let mut client = rig.client().await?;
    let whole = post("expect: 100-continue\r\n", r#"{"a":1}"#);
    let (head, body) = whole.split_at(whole.len() - 7);
    client.send(head).await?;
    assert_eq!(client.answer().await?.status, 100);
    rig.drain_begun().await?;
    client.send(body).await?;
    assert_eq!(client.answer().await?.status, 200);
    assert_eq!(rig.stop().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn new_connections_are_refused_while_draining() -> Result<()> {
    let mut rig = Rig::start(config()).await?;
    let mut busy = rig.busy_client("{}").await?;
    rig.drain_begun().await?;
    assert!(Client::connect(rig.addr).await.is_err());
    rig.log.release();
    assert_eq!(busy.answer().await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_drain_ends_although_the_log_never_answers() -> Result<()> {
    let short = Config { drain_timeout: Duration::from_millis(20), ..config() };
    let mut rig = Rig::start(short).await?;
    let mut busy = rig.busy_client("{}").await?;
    assert!(rig.stop().await?.is_empty());
    assert!(busy.answer().await.is_err(), "cut, not answered");
    Ok(())
}

#[tokio::test]
async fn two_collectors_cannot_share_a_port() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let second = Rig::start(Config { listen: rig.addr, ..config() }).await;
    let error = second.err().expect("the port is taken");
    assert_eq!(error.to_string(), format!("listen on {}", rig.addr));
    Ok(())
}

#[tokio::test]
async fn connections_spread_over_the_workers() -> Result<()> {
    let rig = Rig::start(Config { workers: 4, ..config() }).await?;
    let mut clients = Vec::new();
    for _ in 0..16 {
        clients.push(rig.client().await?);
    }
    let mut workers = std::collections::BTreeMap::new();
    for client in &mut clients {
        let answer = client.track("{}").await?;
        // A made request id begins with its worker's random half.
        let id = answer.header("x-request-id").unwrap_or_default()[..16].to_owned();
        *workers.entry(id).or_insert(0) += 1;
    }
    assert_eq!(workers.values().copied().collect::<Vec<_>>(), [4, 4, 4, 4]);
    assert_eq!(rig.stop().await?.len(), 16);
    Ok(())
}
