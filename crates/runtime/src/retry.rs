//! Backing off: exponential with full jitter, bounded, without an end of its own.

use std::time::Duration;

use crate::{Cancelled, Context, Rng};

/// The delays between attempts at something transient.
///
/// Full jitter (each delay is uniform between zero and the ceiling) spreads clients that failed
/// together; see "Exponential Backoff And Jitter", AWS architecture blog, 2015.
#[derive(Debug)]
pub struct Backoff {
    settings: Settings,
    rng: Rng,
    attempts: u32,
}

/// The bounds of a [`Backoff`].
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The ceiling of the first delay.
    pub initial: Duration,
    /// The ceiling of all delays.
    pub ceiling: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { initial: Duration::from_millis(50), ceiling: Duration::from_secs(5) }
    }
}

impl Backoff {
    /// Starts with no attempt made.
    pub fn new(settings: Settings, rng: Rng) -> Self {
        Self { settings, rng, attempts: 0 }
    }

    /// Returns how many delays were taken since the last success.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Starts anew after a success.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// Returns the next delay.
    pub fn next_delay(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        self.attempts = self.attempts.saturating_add(1);
        let ceiling = self.settings.initial.saturating_mul(factor).min(self.settings.ceiling);
        let nanos = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX).max(1);
        Duration::from_nanos(self.rng.below(nanos))
    }

    /// Waits for the next delay. Cancel-safe, though the attempt stays counted.
    pub async fn wait(&mut self, cx: &Context) -> Result<(), Cancelled> {
        let delay = self.next_delay();
        cx.sleep(delay).await
    }
}

#[cfg(test)]
mod tests;
