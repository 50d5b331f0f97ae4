//! The wall clock, behind a seam.
//!
//! Durations are measured with `tokio::time::Instant`, which a paused runtime controls; this
//! clock answers only "what time is it", for record timestamps, retention and expiry.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use millstream_model::Timestamp;

/// Tells the wall-clock time; cloning shares the clock.
#[derive(Debug, Clone, Default)]
pub struct Clock(Source);

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until [`Clock::advance`] or [`Clock::set`] moves it.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.as_millis()))))
    }

    /// Returns the time now.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => system_now(),
            Source::Manual(millis) => Timestamp::from_millis(millis.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock on.
    ///
    /// # Panics
    /// On the system's clock.
    pub fn advance(&self, by: Duration) {
        let millis =
            i64::try_from(by.as_millis()).expect("a test moves less than 292 million years");
        self.manual_millis().fetch_add(millis, Ordering::SeqCst);
    }

    /// Sets a manual clock, also backwards.
    ///
    /// # Panics
    /// On the system's clock.
    pub fn set(&self, now: Timestamp) {
        self.manual_millis().store(now.as_millis(), Ordering::SeqCst);
    }

    fn manual_millis(&self) -> &AtomicI64 {
        let Source::Manual(millis) = &self.0 else {
            unreachable!("only a manual clock can be moved");
        };
        millis
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the seam")]
fn system_now() -> Timestamp {
    let now = std::time::SystemTime::now();
    let millis = match now.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    };
    Timestamp::from_millis(millis)
}
