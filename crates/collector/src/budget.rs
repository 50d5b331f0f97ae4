//! Admission by bytes: what requests may hold at any time, over all connections.
//!
//! A share is taken *before* the memory it stands for is used, grows with it, and goes with it:
//! first with the body, then with the encoded records until the log has settled them, also when
//! the client is long gone. So the heap is bounded whatever clients do, and overload shows as a
//! refusal, at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use millstream_model::ByteSize;
use tokio::time::Instant;

/// The bytes that may be in flight; cloning shares them.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bytes_max: u64,
    used: AtomicU64,
    /// All that was ever given back: its growth is the rate at which the budget drains.
    released: AtomicU64,
    drain: Mutex<DrainRate>,
}

/// The drain rate as refusals see it; nothing is measured while all is admitted.
#[derive(Debug)]
struct DrainRate {
    since: Instant,
    released: u64,
    bytes_per_second: u64,
}

/// The time over which the drain rate is measured.
const RATE_WINDOW: Duration = Duration::from_millis(200);
/// What clients are told at least: below, a refused burst comes back as a burst.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(100);
/// What clients are told at most: the log may recover any moment.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);
/// What clients are told as long as no rate is known.
const RETRY_AFTER_UNKNOWN: Duration = Duration::from_secs(1);

/// A request does not fit the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverBudget {
    /// When room is expected.
    pub(crate) retry_after: Duration,
}

/// Part of a budget; given back on drop.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(bytes_max: ByteSize) -> Self {
        let drain = DrainRate { since: Instant::now(), released: 0, bytes_per_second: 0 };
        Self(Arc::new(Inner {
            bytes_max: bytes_max.bytes(),
            used: AtomicU64::new(0),
            released: AtomicU64::new(0),
            drain: Mutex::new(drain),
        }))
    }

    /// Takes `bytes`, or tells when to come back. Never waits.
    pub(crate) fn take(&self, bytes: usize) -> Result<Share, OverBudget> {
        let mut share = Share { budget: self.clone(), bytes: 0 };
        share.grow_to(bytes)?;
        Ok(share)
    }

    /// Returns the bytes in flight.
    pub(crate) fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Tells when there should be room again: the bytes in flight over the rate at which they
    /// drain.
    pub(crate) fn retry_after(&self) -> Duration {
        let rate = self
            .0
            .drain
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .update(Instant::now(), self.0.released.load(Ordering::Relaxed));
        if rate == 0 {
            return RETRY_AFTER_UNKNOWN;
        }
        let millis = self.used().saturating_mul(1000) / rate;
        Duration::from_millis(millis).clamp(RETRY_AFTER_MIN, RETRY_AFTER_MAX)
    }

    fn try_add(&self, bytes: u64) -> bool {
        let used = self.0.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = used.saturating_add(bytes) <= self.0.bytes_max;
        if !fits {
            self.0.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    fn give_back(&self, bytes: u64) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
        self.0.released.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl DrainRate {
    fn update(&mut self, now: Instant, released: u64) -> u64 {
        let elapsed = now.duration_since(self.since);
        if elapsed >= RATE_WINDOW {
            let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
            self.bytes_per_second = (released - self.released).saturating_mul(1000) / millis;
            (self.since, self.released) = (now, released);
        }
        self.bytes_per_second
    }
}

impl Share {
    /// Grows the share to `bytes` in all, or leaves it and tells when to come back.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), OverBudget> {
        let more = (bytes as u64).saturating_sub(self.bytes);
        if more > 0 && !self.budget.try_add(more) {
            return Err(OverBudget { retry_after: self.budget.retry_after() });
        }
        self.bytes += more;
        Ok(())
    }

    /// Gives back what exceeds `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let excess = self.bytes.saturating_sub(bytes as u64);
        self.budget.give_back(excess);
        self.bytes -= excess;
    }

    /// Splits off `bytes` of the share.
    pub(crate) fn split(&mut self, bytes: usize) -> Self {
        let bytes = self.bytes.min(bytes as u64);
        self.bytes -= bytes;
        Self { budget: self.budget.clone(), bytes }
    }

    /// Takes over the bytes of `other`.
    pub(crate) fn absorb(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests;
