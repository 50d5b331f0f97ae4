//! Why a task could not go on: the step, the class, and the reason for people.

use std::time::Duration;

use millstream_model::{Classify, ErrorClass, Offset, Timestamp, TopicPartition};
use thiserror::Error;

use crate::status::Stuck;

/// What a task was doing when it failed, and why.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{step}: {reason}")]
pub struct Failure {
    /// What it was doing: `open`, `fetch`, `transact`, or a sink's action.
    pub step: String,
    /// Why, causes included.
    pub reason: String,
    /// What to do about it.
    class: ErrorClass,
    /// Whether the records at hand are at fault, not what is around them.
    blames_records: bool,
    /// How long to wait at least before the next attempt.
    wait_min: Duration,
}

impl Failure {
    /// Notes that `step` failed with `error`.
    pub(crate) fn of(step: &str, error: &(impl std::error::Error + Classify)) -> Self {
        Self {
            step: step.to_owned(),
            reason: with_causes(error),
            class: error.class(),
            blames_records: false,
            wait_min: Duration::ZERO,
        }
    }

    /// Notes that the log refused, for good, what `step` made of the records at hand.
    pub(crate) fn of_refusal(step: &str, error: &(impl std::error::Error + Classify)) -> Self {
        Self { blames_records: true, ..Self::of(step, error) }
    }

    /// Takes care that the next attempt comes no sooner than in `pause`.
    #[must_use]
    pub(crate) fn after(self, pause: Duration) -> Self {
        Self { wait_min: pause, ..self }
    }

    /// Notes that `step` cannot deal with the records it was given.
    pub(crate) fn of_record(step: &str, class: ErrorClass, reason: String) -> Self {
        let wait_min = Duration::ZERO;
        Self { step: step.to_owned(), reason, class, blames_records: true, wait_min }
    }

    /// Notes that `step` refuses to go on, for a reason that is no error of a call.
    pub(crate) fn refused(step: &str, class: ErrorClass, reason: String) -> Self {
        Self { blames_records: false, ..Self::of_record(step, class, reason) }
    }

    /// Notes that the log no longer has a record that it must keep.
    pub(crate) fn missing_record(partition: &TopicPartition, offset: Offset) -> Self {
        let reason = format!("rejected record {offset} of {partition} is not in the log any more");
        let (class, blames_records) = (ErrorClass::Corrupt, false);
        let (step, wait_min) = ("register".to_owned(), Duration::ZERO);
        Self { step, reason, class, blames_records, wait_min }
    }

    pub(crate) fn blames_records(&self) -> bool {
        self.blames_records
    }

    pub(crate) fn wait_min(&self) -> Duration {
        self.wait_min
    }

    pub(crate) fn to_stuck(&self, since: Timestamp) -> Stuck {
        let Self { step, reason, class, .. } = self.clone();
        Stuck { step, reason, class, since }
    }

    /// Returns whether retrying could do harm: stored data contradicts itself.
    pub(crate) fn is_fatal(&self) -> bool {
        self.class == ErrorClass::Corrupt
    }
}

impl Classify for Failure {
    fn class(&self) -> ErrorClass {
        self.class
    }
}

/// Joins an error and its causes into one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        // A transparent wrapper repeats its source: once is enough.
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}
