//! Reads a request's body: bounded, budgeted before it is buffered, and not slower than allowed.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::EXPECT;
use http::request::Parts;
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use millstream_model::ByteSize;
use tokio::time::{Instant, timeout_at};

use crate::answer::Problem;
use crate::budget::{Budget, OverBudget, Share};
use crate::config::Config;
use crate::routes::Refused;

/// A body, and its share of the budget.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    pub(crate) share: Share,
}

/// Why a body was not read to its end.
#[derive(Debug)]
enum BodyError {
    TooLarge { bytes_max: u64 },
    OverBudget(OverBudget),
    TooSlow,
    Broken(hyper::Error),
}

impl BodyError {
    fn into_problem(self) -> Problem {
        match self {
            Self::TooLarge { bytes_max } => {
                let detail = format!("the body exceeds body_bytes_max, {}", ByteSize(bytes_max));
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
                    .with_number("body_bytes_max", bytes_max.into())
            }
            Self::OverBudget(over) => overloaded(over),
            Self::TooSlow => Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "body_too_slow",
                "the body did not arrive in time; nothing was stored",
            ),
            Self::Broken(error) => Problem::new(
                StatusCode::BAD_REQUEST,
                "body_broken",
                format!("the body could not be read, nothing was stored: {error}"),
            ),
        }
    }
}

/// Refuses a request for want of memory.
pub(crate) fn overloaded(over: OverBudget) -> Problem {
    Problem::full(
        "overloaded",
        "too many bytes are in flight; nothing was stored, send the request again later",
        over.retry_after,
    )
}

/// A body on its way.
#[derive(Debug)]
pub(crate) struct Arriving<'a> {
    body: Incoming,
    /// Whether the client waits to be told to go on (`Expect: 100-continue`); reading tells it.
    waits: bool,
    config: &'a Config,
    pace: Pace,
}

/// A refused body is read and dropped up to this, so that its connection can go on: under
/// overload, connecting anew would cost more than what was refused.
const DISCARDED_BYTES_MAX: u64 = 64 << 10;

impl<'a> Arriving<'a> {
    pub(crate) fn new(parts: &Parts, body: Incoming, config: &'a Config) -> Self {
        let waits = parts.headers.contains_key(EXPECT);
        Self { body, waits, config, pace: Pace::new(config) }
    }

    /// Refuses the request.
    pub(crate) async fn refuse(mut self, problem: Problem) -> Refused {
        let announced = self.body.size_hint().exact();
        let is_short = announced.is_some_and(|announced| announced <= DISCARDED_BYTES_MAX);
        if self.waits || !is_short {
            return Refused::before_body(problem);
        }
        loop {
            match self.next_chunk().await {
                Ok(Some(_dropped)) => {}
                Ok(None) => return Refused::after_body(problem),
                Err(_broken_or_slow) => return Refused::before_body(problem),
            }
        }
    }

    /// Reads the body. The share is taken for the announced length before the first byte is
    /// read; a body without one takes it as it grows.
    pub(crate) async fn receive(mut self, budget: &Budget) -> Result<Received, Refused> {
        let bytes_max = self.config.body_bytes_max.bytes();
        let announced = self.body.size_hint().exact();
        if announced.is_some_and(|announced| announced > bytes_max) {
            let problem = BodyError::TooLarge { bytes_max }.into_problem();
            return Err(self.refuse(problem).await);
        }
        let announced = announced.map(to_usize);
        let share = match budget.take(announced.unwrap_or(0)) {
            Ok(share) => share,
            Err(over) => return Err(self.refuse(overloaded(over)).await),
        };
        let buffer = Buffer { bytes: Vec::new(), share, bytes_max: to_usize(bytes_max) };
        let received = self.receive_into(buffer, announced).await;
        received.map_err(|error| Refused::before_body(error.into_problem()))
    }

    async fn receive_into(
        &mut self,
        mut buffer: Buffer,
        announced: Option<usize>,
    ) -> Result<Received, BodyError> {
        let Some(first) = self.next_chunk().await? else {
            return Ok(Received { bytes: Bytes::new(), share: buffer.share });
        };
        if announced == Some(first.len()) {
            return Ok(Received { bytes: first, share: buffer.share });
        }
        buffer.reserve(announced.unwrap_or(first.len()))?;
        buffer.extend(&first)?;
        while let Some(chunk) = self.next_chunk().await? {
            buffer.extend(&chunk)?;
        }
        Ok(Received { bytes: buffer.bytes.into(), share: buffer.share })
    }

    /// Reads the next bytes; `None` at the end.
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let frame = match timeout_at(self.pace.deadline(), self.body.frame()).await {
                Ok(Some(frame)) => frame.map_err(BodyError::Broken)?,
                Ok(None) => return Ok(None),
                Err(_elapsed) => return Err(BodyError::TooSlow),
            };
            // Trailers say nothing here.
            if let Ok(chunk) = frame.into_data() {
                self.pace.received(chunk.len());
                return Ok(Some(chunk));
            }
        }
    }
}

/// Until when the next bytes must come: a grace, then a minimum rate.
#[derive(Debug)]
struct Pace {
    begin: Instant,
    grace: Duration,
    rate_min: u64,
    received: u64,
}

impl Pace {
    fn new(config: &Config) -> Self {
        let rate_min = config.body_rate_min.bytes();
        Self { begin: Instant::now(), grace: config.body_timeout, rate_min, received: 0 }
    }

    fn received(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    fn deadline(&self) -> Instant {
        let earned = self.received.saturating_mul(1000) / self.rate_min;
        self.begin + self.grace + Duration::from_millis(earned)
    }
}

/// Bytes that arrived, never more than the share admits.
#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    share: Share,
    bytes_max: usize,
}

impl Buffer {
    fn reserve(&mut self, capacity: usize) -> Result<(), BodyError> {
        self.share.grow_to(capacity).map_err(BodyError::OverBudget)?;
        self.bytes.reserve_exact(capacity - self.bytes.len());
        Ok(())
    }

    fn extend(&mut self, chunk: &[u8]) -> Result<(), BodyError> {
        let len = self.bytes.len() + chunk.len();
        if len > self.bytes_max {
            return Err(BodyError::TooLarge { bytes_max: self.bytes_max as u64 });
        }
        if len > self.bytes.capacity() {
            self.reserve(len.max(self.bytes.capacity() * 2).min(self.bytes_max))?;
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }
}

/// Narrows a length that `body_bytes_max` bounds.
fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).expect("body_bytes_max is at most 64 MiB")
}
