//! Clients that are slow, silent, gone, or too many.

use std::time::Duration;

use anyhow::Result;
use millstream_collector::Config;
use millstream_model::ByteSize;
use tokio::io::AsyncWriteExt as _;

use crate::rig::{Client, Rig, config, post};

/// A time-out that a test waits for.
const SHORT: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_slow_head_is_answered_408() -> Result<()> {
    let rig = Rig::start(Config { header_timeout: SHORT, ..config() }).await?;
    let mut client = rig.client().await?;
    client.send("POST /track HTTP/1.1\r\nhost: t\r\n").await?;
    let answer = client.answer().await?;
    assert_eq!((answer.status, answer.code()?.as_str()), (408, "head_too_slow"));
    client.closed().await
}

#[tokio::test]
async fn a_slow_head_after_a_good_request_is_answered_408_too() -> Result<()> {
    let rig = Rig::start(Config { header_timeout: SHORT, ..config() }).await?;
    let mut client = rig.client().await?;
    assert_eq!(client.track("{}").await?.status, 200);
    client.send("POST /tr").await?;
    assert_eq!(client.answer().await?.status, 408);
    client.closed().await
}

#[tokio::test]
async fn a_slow_body_is_answered_408_and_stores_nothing() -> Result<()> {
    let rig = Rig::start(Config { body_timeout: SHORT, ..config() }).await?;
    let mut client = rig.client().await?;
    client.send("POST /track HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\n{").await?;
    let answer = client.answer().await?;
    assert_eq!((answer.status, answer.code()?.as_str()), (408, "body_too_slow"));
    client.closed().await?;
    assert!(rig.stop().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_body_that_drips_is_cut_although_it_never_stops() -> Result<()> {
    let slow = Config { body_timeout: SHORT, body_rate_min: ByteSize::mib(1), ..config() };
    let rig = Rig::start(slow).await?;
    let mut client = rig.client().await?;
    client.send("POST /track HTTP/1.1\r\nhost: t\r\ncontent-length: 1000000\r\n\r\n").await?;
    // Each byte comes well within the time-out, but all of them far below the rate: the collector
    // sets the pace, by an answer to somebody else between one byte and the next.
    let mut beside = rig.client().await?;
    while client.is_silent()? {
        if client.socket.write_all(b" ").await.is_err() {
            break;
        }
        assert_eq!(beside.get("/livez").await?.status, 200);
    }
    assert_eq!(client.answer().await?.status, 408);
    Ok(())
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() -> Result<()> {
    let rig = Rig::start(Config { idle_timeout: SHORT, ..config() }).await?;
    let mut fresh = rig.client().await?;
    fresh.closed().await?;
    let mut used = rig.client().await?;
    assert_eq!(used.track("{}").await?.status, 200);
    used.closed().await
}

#[tokio::test]
async fn waiting_for_the_log_is_not_idling() -> Result<()> {
    let short =
        Config { idle_timeout: SHORT, header_timeout: SHORT, body_timeout: SHORT, ..config() };
    let mut rig = Rig::start(short).await?;
    let mut client = rig.busy_client("{}").await?;
    // Another connection idles out meanwhile: the time-outs have passed for both.
    rig.client().await?.closed().await?;
    rig.client().await?.closed().await?;
    rig.log.release();
    assert_eq!(client.answer().await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_client_that_takes_no_answers_is_dropped() -> Result<()> {
    let rig = Rig::start(Config { write_timeout: SHORT, ..config() }).await?;
    let mut client = rig.client().await?;
    let requests = "GET /nowhere HTTP/1.1\r\nhost: t\r\n\r\n".repeat(1000);
    // Both sockets' buffers fill with answers, then the collector gives up and resets.
    while client.socket.write_all(requests.as_bytes()).await.is_ok() {}
    assert_eq!(rig.client().await?.track("{}").await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn a_client_that_breaks_off_stores_nothing_and_harms_nobody() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let whole = post("", r#"{"event":"x","text":"a longer one"}"#);
    for sent in 0..whole.len() {
        let mut client = rig.client().await?;
        client.send(&whole[..sent]).await?;
        drop(client);
    }
    assert_eq!(rig.client().await?.track("{}").await?.status, 200);
    assert_eq!(rig.stop().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_client_that_goes_before_its_answer_is_stored_all_the_same() -> Result<()> {
    let mut rig = Rig::start(config()).await?;
    drop(rig.busy_client(r#"{"gone":1}"#).await?);
    rig.log.release();
    assert_eq!(rig.client().await?.track("{}").await?.status, 200);
    assert_eq!(rig.values()?, [r#"{"gone":1}"#, "{}"]);
    Ok(())
}

#[tokio::test]
async fn a_client_may_close_its_half_and_still_gets_its_answer() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let mut client = rig.client().await?;
    client.send(post("", "{}")).await?;
    client.socket.shutdown().await?;
    assert_eq!(client.answer().await?.status, 200);
    client.closed().await
}

#[tokio::test]
async fn connections_over_the_limit_are_told_and_room_is_given_back() -> Result<()> {
    let rig = Rig::start(Config { connections_max: 2, ..config() }).await?;
    let mut first = rig.client().await?;
    let mut second = rig.client().await?;
    assert_eq!(first.track("{}").await?.status, 200);
    assert_eq!(second.track("{}").await?.status, 200);

    let mut third = rig.client().await?;
    let answer = third.answer().await?;
    assert_eq!((answer.status, answer.code()?.as_str()), (503, "too_many_connections"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    third.closed().await?;

    drop(first);
    // The collector learns of the close in its own time.
    loop {
        let mut next: Client = rig.client().await?;
        match next.track("{}").await {
            Ok(answer) if answer.status == 200 => break,
            _refused => tokio::task::yield_now().await,
        }
    }
    assert_eq!(second.track("{}").await?.status, 200);
    Ok(())
}
