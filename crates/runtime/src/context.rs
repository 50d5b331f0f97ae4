//! The context of a call: deadline, cancellation, request id and trace parent.
//!
//! A context is explicit and immutable: it is the first parameter of every function that waits,
//! it is never stored in a struct, and a narrower one is derived, not changed. Cancelling a
//! parent cancels all that was derived from it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use millstream_model::{Classify, ErrorClass};
use thiserror::Error;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What follows one call through every component it touches; cloning is cheap.
#[derive(Debug, Clone)]
pub struct Context {
    cancellation: CancellationToken,
    deadline: Option<Instant>,
    request: Option<Arc<Request>>,
}

#[derive(Debug)]
struct Request {
    id: RequestId,
    trace: Option<TraceParent>,
}

/// The call was given up: its deadline passed or its context was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Cancelled {
    /// The context was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The deadline passed.
    #[error("deadline passed")]
    DeadlinePassed,
}

impl Classify for Cancelled {
    fn class(&self) -> ErrorClass {
        ErrorClass::Cancelled
    }
}

impl Context {
    /// The context of a process: no deadline, cancelled by whoever holds a clone.
    pub fn background() -> Self {
        Self { cancellation: CancellationToken::new(), deadline: None, request: None }
    }

    /// Derives a context that can be cancelled without cancelling this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { cancellation: self.cancellation.child_token(), ..self.clone() }
    }

    /// Derives a context that ends after `timeout` at the latest.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        let ours = Instant::now() + timeout;
        let deadline = self.deadline.map_or(ours, |theirs| theirs.min(ours));
        Self { deadline: Some(deadline), ..self.child() }
    }

    /// Derives the context of one request.
    #[must_use]
    pub fn with_request(&self, id: RequestId, trace: Option<TraceParent>) -> Self {
        Self { request: Some(Arc::new(Request { id, trace })), ..self.child() }
    }

    /// Cancels this context and all that was derived from it.
    pub fn cancel(&self) {
        self.cancellation.cancel();
    }

    /// Returns whether the call was given up.
    pub fn is_cancelled(&self) -> bool {
        self.check().is_err()
    }

    /// Returns an error when the call was given up.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.cancellation.is_cancelled() {
            return Err(Cancelled::Cancelled);
        }
        match self.deadline {
            Some(deadline) if deadline <= Instant::now() => Err(Cancelled::DeadlinePassed),
            _ => Ok(()),
        }
    }

    /// Waits until the call is given up. Cancel-safe.
    pub async fn cancelled(&self) -> Cancelled {
        let Some(deadline) = self.deadline else {
            self.cancellation.cancelled().await;
            return Cancelled::Cancelled;
        };
        tokio::select! {
            biased;
            () = self.cancellation.cancelled() => Cancelled::Cancelled,
            () = tokio::time::sleep_until(deadline) => Cancelled::DeadlinePassed,
        }
    }

    /// Runs `future` until it ends or the call is given up; then the future is dropped.
    pub async fn run<T>(&self, future: impl Future<Output = T>) -> Result<T, Cancelled> {
        tokio::select! {
            biased;
            output = future => Ok(output),
            cancelled = self.cancelled() => Err(cancelled),
        }
    }

    /// Sleeps for `duration`, or less when the call is given up. Cancel-safe.
    pub async fn sleep(&self, duration: Duration) -> Result<(), Cancelled> {
        self.run(tokio::time::sleep(duration)).await
    }

    /// Returns when the call ends at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns the request this context belongs to.
    pub fn request_id(&self) -> Option<&RequestId> {
        self.request.as_deref().map(|request| &request.id)
    }

    /// Returns the trace parent that came with the request.
    pub fn trace_parent(&self) -> Option<&TraceParent> {
        self.request.as_deref().and_then(|request| request.trace.as_ref())
    }
}

/// The id of a request: 1 to 128 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Checks and takes an id; `None` when it is empty, too long or not visible ASCII.
    pub fn new(id: &str) -> Option<Self> {
        let fits = (1..=128).contains(&id.len());
        (fits && id.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Self(Arc::from(id)))
    }

    /// Returns the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A W3C `traceparent`, checked: `00-<32 hex>-<16 hex>-<2 hex>` (Trace Context, level 1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraceParent(Arc<str>);

impl TraceParent {
    /// Checks and takes a header's value; `None` when the standard says to ignore it.
    pub fn new(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, parent, flags] = parts.as_slice() else { return None };
        let hex = |part: &str, len: usize| {
            part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let zero = |part: &str| part.bytes().all(|b| b == b'0');
        let well_formed = hex(version, 2) && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
        if !well_formed || *version != "00" || zero(trace) || zero(parent) {
            return None;
        }
        Some(Self(Arc::from(text)))
    }

    /// Returns the header's value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests;
