//! HTTP itself: framing, pipelining, keep-alive, and what is no HTTP.

use anyhow::Result;
use millstream_collector::Config;
use millstream_model::ByteSize;

use crate::rig::{Rig, config, post};

#[tokio::test]
async fn a_connection_serves_one_request_after_another() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let mut client = rig.client().await?;
    for _ in 0..100 {
        assert_eq!(client.track("{}").await?.status, 200);
    }
    assert_eq!(rig.stop().await?.len(), 100);
    Ok(())
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let mut client = rig.client().await?;
    let mut requests = Vec::new();
    for number in 0..20 {
        requests.extend(post(&format!("x-request-id: r{number}\r\n"), "{}"));
    }
    client.send(requests).await?;
    for number in 0..20 {
        let answer = client.answer().await?;
        assert_eq!(answer.header("x-request-id"), Some(format!("r{number}").as_str()));
        assert_eq!(answer.status, 200);
    }
    assert_eq!(rig.stop().await?.len(), 20);
    Ok(())
}

#[tokio::test]
async fn a_body_may_come_in_any_pieces() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let mut client = rig.client().await?;
    for byte in post("", r#"{"a":1}"#) {
        client.send([byte]).await?;
    }
    assert_eq!(client.answer().await?.status, 200);

    let chunked = "POST /track HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n\
        3\r\n{\"b\r\n4;x=y\r\n\":2}\r\n0\r\ntrailer: x\r\n\r\n";
    client.send(chunked).await?;
    assert_eq!(client.answer().await?.status, 200);
    assert_eq!(rig.values()?, [r#"{"a":1}"#, r#"{"b":2}"#]);
    Ok(())
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_announced_or_not() -> Result<()> {
    let limits = Config {
        body_bytes_max: ByteSize::kib(16),
        event_bytes_max: ByteSize::kib(16),
        ..config()
    };
    let rig = Rig::start(limits).await?;
    let mut client = rig.client().await?;
    // Not much too large: it is read and dropped, and the connection goes on.
    let answer = client.track(&" ".repeat(16_385)).await?;
    assert_eq!((answer.status, answer.code()?.as_str()), (413, "body_too_large"));
    client.send("POST /track HTTP/1.1\r\nhost: t\r\ncontent-length: 1000000\r\n\r\n{").await?;
    let answer = client.answer().await?;
    assert_eq!((answer.status, answer.code()?.as_str()), (413, "body_too_large"));
    assert_eq!(answer.header("connection"), Some("close"));

    let mut client = rig.client().await?;
    client.send("POST /track HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n").await?;
    let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
    for _ in 0..5 {
        client.send(&chunk).await?;
    }
    let answer = client.answer().await?;
    assert_eq!((answer.status, answer.code()?.as_str()), (413, "body_too_large"));
    assert!(rig.stop().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on_or_refused_at_once() -> Result<()> {
    let limits = Config {
        body_bytes_max: ByteSize::kib(16),
        event_bytes_max: ByteSize::kib(16),
        ..config()
    };
    let rig = Rig::start(limits).await?;
    let ask = |bytes: usize, content_type: &str| {
        format!(
            "POST /track HTTP/1.1\r\nhost: t\r\nexpect: 100-continue\r\n\
             content-type: {content_type}\r\ncontent-length: {bytes}\r\n\r\n"
        )
    };
    let mut client = rig.client().await?;
    client.send(ask(2, "application/json")).await?;
    assert_eq!(client.answer().await?.status, 100);
    client.send("{}").await?;
    assert_eq!(client.answer().await?.status, 200);

    client.send(ask(1 << 20, "application/json")).await?;
    assert_eq!(client.answer().await?.status, 413);
    let mut client = rig.client().await?;
    client.send(ask(2, "image/png")).await?;
    assert_eq!(client.answer().await?.status, 415);
    assert_eq!(rig.stop().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_stores_nothing() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let two_lengths =
        "POST /track HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} ";
    let bad_length = "POST /track HTTP/1.1\r\nhost: t\r\ncontent-length: -2\r\n\r\n{}";
    let plus_length = "POST /track HTTP/1.1\r\nhost: t\r\ncontent-length: +2\r\n\r\n{}";
    let bad_chunks =
        "POST /track HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}";
    let bare_space = "POST /track HTTP/1.1\r\nhost : t\r\ncontent-length: 2\r\n\r\n{}";
    let odd_coding =
        "POST /track HTTP/1.1\r\nhost: t\r\ntransfer-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}";
    for text in
        ["hello\r\n\r\n", two_lengths, bad_length, plus_length, bad_chunks, bare_space, odd_coding]
    {
        let mut client = rig.client().await?;
        client.send(text).await?;
        let answer = client.answer().await?;
        assert_eq!(answer.status, 400, "{text:?}: {answer:?}");
        client.closed().await?;
    }
    assert!(rig.stop().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_chunked_body_wins_over_a_length_and_leaves_nothing_behind_to_smuggle() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let mut client = rig.client().await?;
    let smuggled = post("", r#"{"smuggled":true}"#);
    let chunks = b"2\r\n{}\r\n0\r\n\r\n";
    let head = format!(
        "POST /track HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\ncontent-length: {}\r\n\r\n",
        chunks.len() + smuggled.len()
    );
    client.send([head.as_bytes(), chunks, &smuggled].concat()).await?;
    let answer = client.answer().await?;
    // Refusing such a request is right too; taking the rest as a request of its own is not,
    // unless it is answered as one.
    if answer.status == 200 {
        let values = rig.stop().await?.len();
        assert!(values <= 2, "the length is ignored, so that at most two requests were seen");
    } else {
        assert_eq!(answer.status, 400);
    }
    Ok(())
}

#[tokio::test]
async fn a_head_over_the_limit_is_refused() -> Result<()> {
    let rig = Rig::start(Config { header_bytes_max: ByteSize::kib(8), ..config() }).await?;
    let mut client = rig.client().await?;
    client.send(post(&format!("x-long: {}\r\n", "x".repeat(9000)), "{}")).await?;
    assert_eq!(client.answer().await?.status, 431);
    let mut client = rig.client().await?;
    client.send(post(&"x-many: 1\r\n".repeat(101), "{}")).await?;
    assert_eq!(client.answer().await?.status, 431);
    Ok(())
}
