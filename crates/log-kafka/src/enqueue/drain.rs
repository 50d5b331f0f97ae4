//! How fast acknowledgements come, to say when there is room again.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Over which time the rate is taken.
const WINDOW: Duration = Duration::from_secs(5);

/// The shortest and the longest wait that is named.
const WAIT_MIN: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Bytes that were acknowledged lately.
#[derive(Debug, Default)]
pub(super) struct Drain(Mutex<Option<Rate>>);

#[derive(Debug, Clone, Copy)]
struct Rate {
    since: Instant,
    bytes: u64,
}

impl Drain {
    /// Counts what was acknowledged.
    pub(super) fn add(&self, bytes: u64) {
        let mut rate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let counted = rate.get_or_insert(Rate { since: now, bytes: 0 });
        counted.bytes += bytes;
        if counted.since.elapsed() > WINDOW {
            // Half of the past counts on, so that the rate follows without jumping.
            *counted = Rate { since: now - WINDOW / 2, bytes: counted.bytes / 2 };
        }
    }

    /// Returns how long `bytes` take to be acknowledged; the longest wait when none ever were.
    pub(super) fn time_for(&self, bytes: u64) -> Duration {
        let rate = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rate) = rate.filter(|rate| rate.bytes > 0) else { return WAIT_MAX };
        let millis = rate.since.elapsed().as_millis().max(1);
        let wait = u128::from(bytes) * millis / u128::from(rate.bytes);
        Duration::from_millis(u64::try_from(wait).unwrap_or(u64::MAX)).clamp(WAIT_MIN, WAIT_MAX)
    }
}
