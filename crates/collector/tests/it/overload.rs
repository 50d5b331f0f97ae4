//! Full: a cheap refusal that says when to come back, memory that stays within its budget, and
//! nothing answered before it is durable.

use std::sync::Arc;

use anyhow::Result;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use millstream_collector::{Config, Readiness, Verdict};
use millstream_log::memory::Fullness;
use millstream_model::ByteSize;

use crate::rig::{Rig, config, post};

/// Room for about a dozen events of a kibibyte.
fn tight() -> Config {
    Config {
        body_bytes_max: ByteSize::kib(4),
        event_bytes_max: ByteSize::kib(4),
        request_events_max: 2,
        inflight_bytes_max: ByteSize::kib(14),
        ..config()
    }
}

fn event(number: usize) -> String {
    format!("{{\"n\":{number},\"text\":\"{}\"}}", "x".repeat(1000))
}

#[tokio::test]
async fn nothing_is_answered_before_it_is_durable() -> Result<()> {
    let mut rig = Rig::start(config()).await?;
    let mut client = rig.busy_client("{}").await?;
    // The worker that would answer has had its turns: it answers others.
    for _ in 0..10 {
        assert_eq!(rig.client().await?.get("/livez").await?.status, 200);
    }
    assert!(client.is_silent()?);
    assert!(rig.stored()?.is_empty());
    rig.log.release();
    assert_eq!(client.answer().await?.status, 200);
    assert_eq!(rig.stored()?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn requests_that_wait_together_share_appends() -> Result<()> {
    let mut rig = Rig::start(config()).await?;
    rig.log.hold();
    let mut clients = Vec::new();
    for number in 0..64 {
        let mut client = rig.client().await?;
        client.send(post("", format!("{{\"n\":{number}}}"))).await?;
        clients.push(client);
        rig.enqueued(clients.len().min(4)).await?;
    }
    assert_eq!(rig.client().await?.get("/livez").await?.status, 200);
    // However many come, a worker has four appends in the log; the rest gathers for the next.
    assert_eq!(rig.appends(), 4);
    rig.log.release();
    for client in &mut clients {
        assert_eq!(client.answer().await?.json()?["accepted"], 1);
    }
    assert_eq!(rig.stop().await?.len(), 64);
    Ok(())
}

#[tokio::test]
async fn bytes_over_the_budget_are_refused_with_a_time_and_admitted_when_there_is_room()
-> Result<()> {
    let rig = Rig::start(tight()).await?;
    rig.log.hold();
    let mut answers = FuturesUnordered::new();
    for number in 0..20 {
        let mut client = rig.client().await?;
        client.send(post("", event(number))).await?;
        answers.push(async move { client.answer().await });
    }
    // While the log holds, whoever hears anything was refused; and 14 KiB hold at most 13 events
    // of at least 1,070 bytes each, so that 7 of 20 are.
    for _ in 0..7 {
        let refused = answers.next().await.expect("20 of them")?;
        assert_eq!((refused.status, refused.code()?.as_str()), (503, "overloaded"));
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!(refused.json()?["retry_after_ms"], 1000);
    }
    rig.log.release();
    let mut accepted = 0;
    while let Some(answer) = answers.next().await {
        match answer?.status {
            200 => accepted += 1,
            other => assert_eq!(other, 503),
        }
    }
    assert!(accepted > 0);
    assert_eq!(rig.client().await?.track(&event(99)).await?.status, 200);
    assert_eq!(rig.stop().await?.len(), accepted + 1);
    Ok(())
}

const ASK: &str = "POST /track HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\n\
    content-length: 4096\r\n\r\n";

#[tokio::test]
async fn an_announced_body_counts_before_its_first_byte() -> Result<()> {
    let rig = Rig::start(tight()).await?;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut client = rig.client().await?;
        client.send(ASK).await?;
        // Told to go on: admitted, and not one byte sent.
        assert_eq!(client.answer().await?.status, 100);
        waiting.push(client);
    }
    let mut late = rig.client().await?;
    late.send(ASK).await?;
    assert_eq!(late.answer().await?.status, 503);
    // A refused body that was sent all the same is dropped: its connection stays.
    let mut refused = rig.client().await?;
    for _ in 0..3 {
        assert_eq!(refused.track(&event(1)).await?.status, 503);
    }
    // Health and preflights stay cheap and open.
    assert_eq!(rig.client().await?.get("/livez").await?.status, 200);
    drop(waiting);
    // What they held comes back when the collector learns that they are gone.
    loop {
        if rig.client().await?.track(&event(1)).await?.status == 200 {
            break;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_full_log_is_a_503_with_its_own_time() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let mut client = rig.client().await?;
    rig.log.set_fullness(Fullness::NoIntake);
    let answer = client.track("{}").await?;
    assert_eq!((answer.status, answer.code()?.as_str()), (503, "log_full"));
    let seconds: u64 = answer.header("retry-after").unwrap_or_default().parse()?;
    let millis = answer.json()?["retry_after_ms"].as_u64().unwrap_or_default();
    assert_eq!(seconds, millis.div_ceil(1000).max(1));
    rig.log.set_fullness(Fullness::Room);
    assert_eq!(client.track("{}").await?.status, 200);
    assert_eq!(rig.stop().await?.len(), 1);
    Ok(())
}

/// A node whose disk is full, and that knows who holds it.
#[derive(Debug)]
struct Held;

impl Readiness for Held {
    fn liveness(&self) -> Verdict {
        Verdict::Healthy
    }

    fn readiness(&self) -> Verdict {
        Verdict::Unhealthy(self.why_full())
    }

    fn why_full(&self) -> Vec<String> {
        vec!["full: no \"room\"".to_owned(), "held: by the task `old`".to_owned()]
    }
}

#[tokio::test]
async fn a_full_log_says_who_holds_it_where_that_is_known() -> Result<()> {
    let rig = Rig::start_with(config(), Arc::new(Held)).await?;
    let mut client = rig.client().await?;
    rig.log.set_fullness(Fullness::NoIntake);
    for answer in [client.track("{}").await?, client.get("/readyz").await?] {
        assert_eq!(answer.status, 503);
        assert_eq!(answer.json()?["reasons"], serde_json::json!(Held.why_full()));
    }
    rig.log.set_fullness(Fullness::Room);
    assert!(client.track("{}").await?.json()?.get("reasons").is_none());
    Ok(())
}

#[tokio::test]
async fn a_closed_log_is_a_503_and_a_lost_append_says_that_nobody_knows() -> Result<()> {
    let mut rig = Rig::start(config()).await?;
    let mut client = rig.busy_client("{}").await?;
    let _reopened = rig.log.restart();
    let answer = client.answer().await?;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.code()?, "outcome_unknown");
    let answer = client.track("{}").await?;
    assert_eq!((answer.status, answer.code()?.as_str()), (503, "stopping"));
    assert!(answer.header("retry-after").is_some());
    Ok(())
}
