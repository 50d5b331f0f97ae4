//! `/api/v1/tap`: a topic's records as they come, one line of JSON each, for as long as somebody
//! reads them.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures::stream;
use millstream_model::Classify as _;
use millstream_runtime::{Clock, Context};
use tokio::sync::Semaphore;

use super::{ANSWER_TIME_MAX, Shared, opening, problem, status_of};
use crate::tap::{self, Ask, AskError};

/// How many taps there may be at a time: each has a thread and memory of its own.
const TAPS_MAX: usize = 8;

/// Lets at most [`TAPS_MAX`] in.
#[derive(Debug, Clone)]
pub(super) struct Taps(Arc<Semaphore>);

impl Taps {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(TAPS_MAX)))
    }
}

/// Answers until the client goes, the node stops, or nothing more was asked for.
pub(super) async fn answer(State(shared): State<Shared>, Query(ask): Query<Ask>) -> Response {
    let Some(observed) = shared.observer.observed() else { return opening() };
    let Ok(permit) = Arc::clone(&shared.taps.0).try_acquire_owned() else {
        let detail = format!("{TAPS_MAX} taps read from this node already; end one of them");
        return problem(StatusCode::SERVICE_UNAVAILABLE, &detail);
    };
    let log = Arc::clone(&observed.log);
    let finding = Context::background().with_timeout(ANSWER_TIME_MAX);
    let request = match ask.find(&finding, &log).await {
        Ok(request) => request,
        Err(error) => return refused(error),
    };
    let lines = tap::start(&shared.cx, log, request, Clock::system());
    let lines = stream::unfold((lines, permit), async |(mut lines, permit)| {
        let chunk = lines.next().await?;
        Some((Ok::<_, Infallible>(chunk), (lines, permit)))
    });
    let content_type = (header::CONTENT_TYPE, "application/x-ndjson");
    ([content_type], Body::from_stream(lines)).into_response()
}

fn refused(error: AskError) -> Response {
    let status = match &error {
        AskError::Query { .. } => StatusCode::BAD_REQUEST,
        AskError::NoTopic { .. } | AskError::NoPartition { .. } => StatusCode::NOT_FOUND,
        AskError::Topics(source) => status_of(source.class()),
    };
    problem(status, &format!("{:#}", anyhow::Error::new(error)))
}
