//! Trying again: how often, how soon, with how much, and how long a drain may take.

use std::time::Duration;

use millstream_model::{Classify as _, ErrorClass, Offset};
use millstream_runtime::retry::{Backoff, Settings};
use millstream_runtime::{Cancelled, Context, Rng};

use crate::failure::Failure;
use crate::status::{StatusReporter, TaskState};

/// Failures in a row after which a task is called stuck: the first reopening is ordinary.
const FAILURES_UNTIL_STUCK: u32 = 2;

/// Failures at one position after which the next fetch there is halved.
const FAILURES_UNTIL_HALVED: u32 = 2;

/// How often a task commits that it read past control records alone, which is never urgent.
pub(crate) const GAP_INTERVAL: Duration = Duration::from_secs(1);

/// Counts failures without progress, and waits between attempts.
#[derive(Debug)]
pub(crate) struct Attempts {
    backoff: Backoff,
    rng: Rng,
    failures: u32,
}

impl Attempts {
    pub(crate) fn new(mut rng: Rng) -> Self {
        let backoff = Backoff::new(Settings::default(), Rng::from_seed(rng.next_u64()));
        Self { backoff, rng, failures: 0 }
    }

    /// Notes that the task moved on.
    pub(crate) fn progress(&mut self) {
        self.failures = 0;
        self.backoff.reset();
    }

    /// Notes a failure, shows it, and waits before the next attempt.
    pub(crate) async fn failed(
        &mut self,
        cx: &Context,
        reporter: &StatusReporter,
        failure: &Failure,
    ) -> Result<(), Cancelled> {
        self.failures = self.failures.saturating_add(1);
        crate::metrics::failure(failure.class());
        // What is full or refused for good does not go away by reopening: show it at once.
        let at_once = matches!(failure.class(), ErrorClass::Overloaded | ErrorClass::Invalid);
        if at_once || self.failures >= FAILURES_UNTIL_STUCK {
            reporter.stuck(failure);
        } else {
            tracing::info!(step = %failure.step, class = %failure.class(), reason = %failure.reason,
                "task opens again where it last committed");
            reporter.set(TaskState::Opening);
        }
        cx.sleep(self.spread(failure.wait_min())).await?;
        self.backoff.wait(cx).await
    }

    /// Returns a time from `least` to half as much again: two that wait for each other differ.
    fn spread(&mut self, least: Duration) -> Duration {
        let nanos = u64::try_from(least.as_nanos() / 2).unwrap_or(u64::MAX);
        least + Duration::from_nanos(self.rng.below(nanos.max(1)))
    }

    /// Returns whether the task is in trouble: its state shows that already.
    pub(crate) fn is_failing(&self) -> bool {
        self.failures > 0
    }
}

/// What begins anew after every failure: the one recovery path, which start-up takes too.
pub(crate) trait Recover: Send {
    /// Works from what is committed until it is to stop (`Ok`) or fails; called again after a
    /// failure, it drops what it held.
    fn attempt(&mut self, cx: &Context) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Returns what shows failures and what counts them.
    fn recovery(&mut self) -> (&StatusReporter, &mut Attempts);
}

/// Runs a task until `cx` is cancelled, or until going on could do harm.
pub(crate) async fn run(task: &mut impl Recover, cx: &Context) -> Result<(), Failure> {
    while let Err(failure) = task.attempt(cx).await {
        let (reporter, attempts) = task.recovery();
        if failure.is_fatal() {
            reporter.failed(&failure);
            return Err(failure);
        }
        if attempts.failed(cx, reporter, &failure).await.is_err() {
            break;
        }
    }
    task.recovery().0.set(TaskState::Stopped);
    Ok(())
}

/// How much to read at the next position: less after it failed twice, more again after progress.
#[derive(Debug)]
pub(crate) struct Portion {
    bytes: usize,
    bytes_max: usize,
    /// Where it failed last, and how often in a row.
    trouble: Option<(Offset, u32)>,
    /// A single record that fails for good, and why.
    poison: Option<(Offset, Failure)>,
}

impl Portion {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes: bytes_max, bytes_max, trouble: None, poison: None }
    }

    /// Returns how many bytes the next fetch asks for.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether less is read than usual, because that failed.
    pub(crate) fn is_reduced(&self) -> bool {
        self.bytes < self.bytes_max
    }

    /// Notes that everything fetched was committed.
    pub(crate) fn progress(&mut self) {
        self.bytes = self.bytes.saturating_mul(2).min(self.bytes_max);
        self.trouble = None;
        self.poison = None;
    }

    /// Notes that what was fetched `at` a position failed.
    pub(crate) fn failed(&mut self, at: Offset, fetched: Fetch, failure: &Failure) {
        let failures = match self.trouble {
            Some((before, failures)) if before == at => failures.saturating_add(1),
            _ => 1,
        };
        self.trouble = Some((at, failures));
        let class = failure.class();
        if fetched.records == 1 {
            // Trouble around a record says nothing about it: it waits, however long.
            if failure.blames_records() {
                self.poison = Some((at, failure.clone()));
            }
            return;
        }
        // What is refused for good will be refused again.
        let is_refused = failure.blames_records() && class == ErrorClass::Invalid;
        let is_due = failures >= FAILURES_UNTIL_HALVED && class != ErrorClass::Overloaded;
        if is_refused || is_due {
            self.halve(fetched);
        }
    }

    /// Reads half as much next time.
    pub(crate) fn halve(&mut self, fetched: Fetch) {
        self.bytes = (fetched.bytes / 2).max(1);
    }

    /// Returns why the single record `at` a position can never be processed.
    pub(crate) fn poison_at(&self, at: Offset) -> Option<&Failure> {
        self.poison.as_ref().filter(|(offset, _)| *offset == at).map(|(_, failure)| failure)
    }
}

/// The size of what was fetched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fetch {
    pub(crate) records: u64,
    pub(crate) bytes: usize,
}

impl Fetch {
    pub(crate) fn of(fetched: &millstream_log::Fetched) -> Self {
        let bytes = fetched.batches.iter().map(|batch| batch.records.as_bytes().len()).sum();
        Self { records: fetched.len(), bytes }
    }
}

/// Lets `work` go on after `cx` was cancelled, for `drain_max` at most; then cancels `inner`, the
/// context that the work was given, and waits for the end that it must then come to.
pub(crate) async fn finish<T>(
    cx: &Context,
    inner: &Context,
    drain_max: Duration,
    work: impl Future<Output = T>,
) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        output = &mut work => return output,
        _cancelled = cx.cancelled() => {}
    }
    tokio::select! {
        biased;
        output = &mut work => output,
        () = tokio::time::sleep(drain_max) => {
            inner.cancel();
            work.await
        }
    }
}

#[cfg(test)]
mod tests;
