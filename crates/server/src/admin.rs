//! The admin API: health, metrics, status, reconciliation and dead letters, read only.
//!
//! | Route | Answer |
//! |---|---|
//! | `/livez` | 200 while the process works |
//! | `/readyz` | 200 when events should be sent here, else 503 with the reasons |
//! | `/healthz` | the same, with every task, as JSON |
//! | `/metrics` | Prometheus text |
//! | `/api/v1/node` | process and addresses |
//! | `/api/v1/status` | topics, tasks, positions, lag, counts |
//! | `/api/v1/reconcile` | the books |
//! | `/api/v1/dead-letters` | the newest dead letters: `?limit=20&topic=…` |
//! | `/api/v1/topics` | the topics, their bounds and how long they are kept |
//! | `/api/v1/lag` | how far each task is behind, in records and seconds |
//! | `/api/v1/tap` | the records of a topic as they come: `?topic=…&from=5m&filter=…` |

mod tap;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use millstream_model::{Classify, ErrorClass};
use millstream_runtime::{Clock, Context};
use serde_json::json;
use tokio::net::TcpListener;

use crate::dead_letters;
use crate::observer::{Observed, Observer};
use crate::{lag, topics};

/// How long one answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// What the handlers answer from.
#[derive(Clone)]
struct Shared {
    observer: Observer,
    metrics: PrometheusHandle,
    /// How long answers may go on that have no end of their own.
    cx: Context,
    taps: tap::Taps,
}

/// An admin API that listens and does not answer yet.
#[derive(Debug)]
pub(crate) struct Admin {
    listener: TcpListener,
}

impl Admin {
    /// Listens.
    pub(crate) async fn bind(listen: SocketAddr) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(listen).await? })
    }

    /// Returns where it listens, its port chosen if it was 0.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `cx` ends.
    pub(crate) async fn run(
        self,
        cx: &Context,
        observer: Observer,
        metrics: PrometheusHandle,
    ) -> io::Result<()> {
        let ended = cx.clone();
        let shared = Shared { observer, metrics, cx: cx.clone(), taps: tap::Taps::new() };
        axum::serve(self.listener, router(shared))
            .with_graceful_shutdown(async move {
                ended.cancelled().await;
            })
            .await
    }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics))
        .route("/api/v1/node", get(node))
        .route("/api/v1/status", get(status))
        .route("/api/v1/reconcile", get(reconcile))
        .route("/api/v1/dead-letters", get(dead_letters))
        .route("/api/v1/topics", get(list_topics))
        .route("/api/v1/lag", get(list_lag))
        .route("/api/v1/tap", get(tap::answer))
        .fallback(async || problem(StatusCode::NOT_FOUND, "no such route"))
        .with_state(shared)
}

async fn readyz(State(shared): State<Shared>) -> Response {
    let reasons = shared.observer.reasons();
    if reasons.is_empty() {
        // A probe reads the status; who looks at the text learns what will matter later.
        let lines = std::iter::once("ok".to_owned()).chain(shared.observer.notes());
        return lines.map(|line| line + "\n").collect::<String>().into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{}\n", reasons.join("\n"))).into_response()
}

async fn healthz(State(shared): State<Shared>) -> Response {
    let reasons = shared.observer.reasons();
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let tasks = shared.observer.observed().map(Observed::task_rows).unwrap_or_default();
    let body = json!({
        "phase": shared.observer.phase().as_str(),
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "notes": shared.observer.notes(),
        "orphans": shared.observer.orphans(),
        "tasks": tasks,
    });
    (status, Json(body)).into_response()
}

async fn metrics(State(shared): State<Shared>) -> Response {
    shared.metrics.run_upkeep();
    let content_type = (header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    ([content_type], shared.metrics.render()).into_response()
}

async fn node(State(shared): State<Shared>) -> Response {
    match shared.observer.observed() {
        Some(observed) => Json(&observed.node).into_response(),
        None => opening(),
    }
}

async fn status(State(shared): State<Shared>) -> Response {
    let Some(observed) = shared.observer.observed() else { return opening() };
    let cx = Context::background().with_timeout(ANSWER_TIME_MAX);
    let (said, orphans) = (shared.observer.said(), shared.observer.orphans());
    answer(observed.status(&cx, said, orphans).await)
}

async fn reconcile(State(shared): State<Shared>) -> Response {
    let Some(observed) = shared.observer.observed() else { return opening() };
    let cx = Context::background().with_timeout(ANSWER_TIME_MAX);
    answer(observed.books(&cx).await)
}

async fn dead_letters(
    State(shared): State<Shared>,
    Query(query): Query<dead_letters::Query>,
) -> Response {
    let Some(observed) = shared.observer.observed() else { return opening() };
    let cx = Context::background().with_timeout(ANSWER_TIME_MAX);
    answer(observed.dead_letters(&cx, &query).await)
}

async fn list_topics(State(shared): State<Shared>) -> Response {
    let Some(observed) = shared.observer.observed() else { return opening() };
    let cx = Context::background().with_timeout(ANSWER_TIME_MAX);
    answer(topics::list(&cx, Arc::clone(&observed.log)).await)
}

async fn list_lag(State(shared): State<Shared>) -> Response {
    let Some(observed) = shared.observer.observed() else { return opening() };
    let cx = Context::background().with_timeout(ANSWER_TIME_MAX);
    let rows = lag::list(&cx, observed.lag_of(), Clock::system()).await;
    answer(rows.map(|rows| lag::with_states(rows, &observed.task_rows())))
}

fn answer<T, E>(result: Result<T, E>) -> Response
where
    T: serde::Serialize,
    E: std::error::Error + Classify + Send + Sync + 'static,
{
    match result {
        Ok(value) => Json(value).into_response(),
        Err(error) => {
            let status = status_of(error.class());
            problem(status, &format!("{:#}", anyhow::Error::new(error)))
        }
    }
}

/// What passes by itself is no fault of the node.
fn status_of(class: ErrorClass) -> StatusCode {
    match class {
        ErrorClass::Transient | ErrorClass::Overloaded | ErrorClass::Cancelled => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorClass::Invalid | ErrorClass::Corrupt | ErrorClass::Bug => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    }
}

fn opening() -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, "the node opens its log; ask again in a moment")
}

/// An error as RFC 9457 has it.
fn problem(status: StatusCode, detail: &str) -> Response {
    let body = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
    });
    let content_type = (header::CONTENT_TYPE, "application/problem+json");
    (status, [content_type], body.to_string()).into_response()
}
