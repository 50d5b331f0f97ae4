//! Posts batches of sample events over several connections, and counts what the node answers.
//!
//! A full node answers 503 and says when to come back; that is waited for. A connection that
//! breaks leaves the fate of its batch unknown, so it ends the run instead of being retried.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri, header};
use millstream_runtime::{Cancelled, Context, TaskHandle, TaskKind, spawn};
use serde::Deserialize;
use thiserror::Error;

use super::events::Events;
use crate::client::{Answer, Client, ClientError};

/// How long to wait after a 503 that does not say.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);
/// The longest wait that a 503 may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// What to post.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Where.
    pub(crate) uri: Uri,
    /// How many events.
    pub(crate) events: u64,
    /// How many in one request.
    pub(crate) batch: u64,
    /// How many connections at a time.
    pub(crate) connections: u64,
}

/// What the node answered so far.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Events accepted: durable in the log.
    pub(crate) accepted: AtomicU64,
    /// Events refused by the collector.
    pub(crate) rejected: AtomicU64,
    /// Answers 503 that were waited for.
    pub(crate) waits: AtomicU64,
}

impl Outcome {
    /// Returns how many events were answered.
    pub(crate) fn answered(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed) + self.rejected.load(Ordering::Relaxed)
    }
}

/// Why posting ended early.
#[derive(Debug, Error)]
pub(crate) enum PostError {
    /// The node did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The node refused a whole request.
    #[error("the node answered {status}: {body}")]
    Refused {
        /// The status.
        status: StatusCode,
        /// The beginning of the body.
        body: String,
    },
    /// The answer is not what this version understands.
    #[error("the node's answer is not understood")]
    Answer(#[from] serde_json::Error),
    /// The time is up.
    #[error("the node did not take the events in time")]
    Cancelled(#[from] Cancelled),
    /// A task of ours ended by a panic.
    #[error(transparent)]
    Task(#[from] millstream_runtime::task::TaskError),
}

/// What the collector answers to a request that could be parsed.
#[derive(Debug, Deserialize)]
struct Accepted {
    accepted: u64,
    #[serde(default)]
    rejected: u64,
}

/// The work that the connections share.
#[derive(Debug)]
struct Shared {
    plan: Plan,
    client: Client,
    events: Mutex<(Events, u64)>,
    outcome: Arc<Outcome>,
}

/// Posts everything; `outcome` can be watched meanwhile.
pub(crate) async fn post(
    cx: &Context,
    plan: Plan,
    events: Events,
    outcome: Arc<Outcome>,
) -> Result<(), PostError> {
    let remaining = plan.events;
    let connections = plan.connections;
    let shared = Arc::new(Shared {
        plan,
        client: Client::new(),
        events: Mutex::new((events, remaining)),
        outcome,
    });
    let cx = cx.child();
    let start = |_| {
        let (task_cx, shared) = (cx.clone(), Arc::clone(&shared));
        spawn(&cx, TaskKind("demo-connection"), async move { connection(&task_cx, &shared).await })
    };
    let mut tasks: Vec<TaskHandle<Result<(), PostError>>> = (0..connections).map(start).collect();
    let mut ended = Ok(());
    for task in &mut tasks {
        let one = task.join().await.map_err(PostError::from).and_then(|result| result);
        if one.is_err() && ended.is_ok() {
            ended = one;
            cx.cancel();
        }
    }
    ended
}

async fn connection(cx: &Context, shared: &Shared) -> Result<(), PostError> {
    while let Some(batch) = shared.next_batch() {
        let answer = shared.post_until_taken(cx, batch).await?;
        let accepted: Accepted = serde_json::from_slice(&answer.body)?;
        shared.outcome.accepted.fetch_add(accepted.accepted, Ordering::Relaxed);
        shared.outcome.rejected.fetch_add(accepted.rejected, Ordering::Relaxed);
    }
    Ok(())
}

impl Shared {
    fn next_batch(&self) -> Option<Bytes> {
        // A connection that panicked left whole events behind: the generator is still usable.
        let mut guard = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let (events, remaining) = &mut *guard;
        let count = self.plan.batch.min(*remaining);
        *remaining -= count;
        (count > 0).then(|| Bytes::from(events.batch(count)))
    }

    async fn post_until_taken(&self, cx: &Context, batch: Bytes) -> Result<Answer, PostError> {
        loop {
            let answer = self.client.post_json(cx, &self.plan.uri, batch.clone()).await?;
            match answer.status {
                StatusCode::OK => return Ok(answer),
                StatusCode::SERVICE_UNAVAILABLE => {
                    self.outcome.waits.fetch_add(1, Ordering::Relaxed);
                    cx.sleep(retry_after(&answer.headers)).await?;
                }
                status => {
                    let body = String::from_utf8_lossy(&answer.body).chars().take(500).collect();
                    return Err(PostError::Refused { status, body });
                }
            }
        }
    }
}

/// Reads `Retry-After` in seconds, within reason.
fn retry_after(headers: &HeaderMap) -> Duration {
    let seconds = headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.trim().parse().ok())
        .map_or(RETRY_AFTER_DEFAULT, Duration::from_secs);
    seconds.min(RETRY_AFTER_MAX)
}
