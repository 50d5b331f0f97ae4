//! The other routes: health, preflights, and what does not exist.

use std::sync::Arc;

use anyhow::Result;
use millstream_collector::{Readiness, Verdict};
use serde_json::json;

use crate::rig::{Rig, config, post};

/// Alive, and not ready for two reasons.
#[derive(Debug)]
struct NotReady;

impl Readiness for NotReady {
    fn liveness(&self) -> Verdict {
        Verdict::Healthy
    }

    fn readiness(&self) -> Verdict {
        Verdict::Unhealthy(vec!["table `events` is stuck".to_owned(), "log is full".to_owned()])
    }
}

#[tokio::test]
async fn health_says_what_the_node_says() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let mut client = rig.client().await?;
    for (path, status) in [("/livez", "alive"), ("/readyz", "ready"), ("/healthz", "ready")] {
        let answer = client.get(path).await?;
        assert_eq!((answer.status, answer.json()?), (200, json!({"status": status})));
    }
    let rig = Rig::start_with(config(), Arc::new(NotReady)).await?;
    let mut client = rig.client().await?;
    assert_eq!(client.get("/livez").await?.status, 200);
    for path in ["/readyz", "/healthz"] {
        let answer = client.get(path).await?;
        assert_eq!((answer.status, answer.code()?.as_str()), (503, "not_ready"));
        assert_eq!(answer.json()?["reasons"], json!(["table `events` is stuck", "log is full"]));
    }
    Ok(())
}

#[tokio::test]
async fn what_does_not_exist_is_told_with_a_hint() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let mut client = rig.client().await?;
    let answer = client.get("/nowhere").await?;
    assert_eq!((answer.status, answer.code()?.as_str()), (404, "not_found"));
    assert!(answer.body.contains("POST /track"));
    let answer = client.get("/track").await?;
    assert_eq!((answer.status, answer.code()?.as_str()), (405, "method_not_allowed"));
    assert_eq!(answer.header("allow"), Some("POST, OPTIONS"));
    client.send("DELETE /livez HTTP/1.1\r\nhost: t\r\n\r\n").await?;
    assert_eq!(client.answer().await?.header("allow"), Some("GET, HEAD"));
    client
        .send("POST /track?results=some HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\n\r\n{}")
        .await?;
    assert_eq!(client.answer().await?.code()?, "query");
    Ok(())
}

#[tokio::test]
async fn browsers_may_post_from_any_page() -> Result<()> {
    let rig = Rig::start(config()).await?;
    let mut client = rig.client().await?;
    client
        .send(
            "OPTIONS /track HTTP/1.1\r\nhost: t\r\norigin: https://shop.example\r\n\
             access-control-request-method: POST\r\n\
             access-control-request-headers: content-type,x-request-id\r\n\r\n",
        )
        .await?;
    let answer = client.answer().await?;
    assert_eq!(answer.status, 204);
    let header = |name| answer.header(name);
    assert_eq!(header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(header("access-control-allow-headers"), Some("content-type,x-request-id"));
    assert_eq!(header("access-control-allow-methods"), Some("POST, OPTIONS"));
    assert_eq!(header("access-control-max-age"), Some("7200"));

    client.send(post("origin: https://shop.example\r\ncontent-type: text/plain\r\n", "{}")).await?;
    let answer = client.answer().await?;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(answer.header("vary"), Some("origin"));
    Ok(())
}
