//! What the health routes answer, supplied by whoever runs the collector.

use std::fmt::Debug;

/// A health question, answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Healthy,
    /// No, for these reasons; never empty.
    Unhealthy(Vec<String>),
}

/// Knows whether the process is alive and ready for traffic.
///
/// Called for each probe: it must answer from memory, at once.
pub trait Readiness: Debug + Send + Sync {
    /// Tells whether the process works; unhealthy means that only a restart helps.
    fn liveness(&self) -> Verdict;

    /// Tells whether requests should be sent here now.
    fn readiness(&self) -> Verdict;

    /// Tells, for the clients that are refused, why the log has no room; empty when nobody knows.
    fn why_full(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Ready as soon as the collector listens; for embedding and tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlwaysReady;

impl Readiness for AlwaysReady {
    fn liveness(&self) -> Verdict {
        Verdict::Healthy
    }

    fn readiness(&self) -> Verdict {
        Verdict::Healthy
    }
}
