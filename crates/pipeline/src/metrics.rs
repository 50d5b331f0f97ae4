//! The names of this crate's metrics.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use millstream_model::{ErrorClass, TaskId, Timestamp};

use crate::counts::Counts;
use crate::status::{StateStatus, TaskStatus};

/// Records that processors dealt with, by pipeline and outcome.
pub const RECORDS: &str = "millstream_pipeline_records_total";
/// Encoded bytes that processors read, by pipeline.
pub const READ_BYTES: &str = "millstream_pipeline_read_bytes_total";
/// Entries of keyed state that a task holds, by task.
pub const STATE_ENTRIES: &str = "millstream_pipeline_state_entries";
/// Memory that a task's keyed state takes, by task.
pub const STATE_BYTES: &str = "millstream_pipeline_state_bytes";
/// Ids that `dedupe` forgot before their time, because there were too many, by pipeline.
pub const STATE_EVICTIONS: &str = "millstream_pipeline_state_early_evictions_total";
/// Events that came later than `dedupe` looks back, and were let through, by pipeline.
pub const LATE_EVENTS: &str = "millstream_pipeline_dedupe_late_events_total";
/// Snapshots of keyed state, by outcome.
pub const SNAPSHOTS: &str = "millstream_pipeline_state_snapshots_total";
/// How long transactions of processors take.
pub const TRANSACTION_DURATION: &str = "millstream_pipeline_transaction_duration_seconds";
/// Failures of tasks, by error class.
pub const FAILURES: &str = "millstream_pipeline_failures_total";
/// Records that a spool dealt with, by outcome.
pub const SPOOL_RECORDS: &str = "millstream_pipeline_spool_records_total";
/// Encoded bytes that a spool forwarded.
pub const SPOOL_BYTES: &str = "millstream_pipeline_spool_forwarded_bytes_total";
/// How long a spool's transactions take.
pub const SPOOL_TRANSACTION_DURATION: &str =
    "millstream_pipeline_spool_transaction_duration_seconds";
/// How long the oldest record of a spool has waited, by task.
pub const SPOOL_OLDEST_AGE: &str = "millstream_pipeline_spool_oldest_age_seconds";
/// Records that a task has not dealt with, by task.
pub const LAG: &str = "millstream_pipeline_lag_records";
/// Rows that sinks committed, by sink.
pub const SINK_ROWS: &str = "millstream_pipeline_sink_rows_total";
/// How long commits of sinks take.
pub const SINK_COMMIT_DURATION: &str = "millstream_pipeline_sink_commit_duration_seconds";
/// Time from acceptance to the commit of a sink, by sink; the oldest record of each batch counts.
pub const SINK_DELAY: &str = "millstream_pipeline_sink_delay_seconds";

/// Gives the metrics their units and help texts.
pub fn describe() {
    describe_counter!(RECORDS, Unit::Count, "Records that processors dealt with, by outcome");
    describe_counter!(READ_BYTES, Unit::Bytes, "Encoded bytes that processors read");
    describe_gauge!(STATE_ENTRIES, Unit::Count, "Entries of keyed state that a task holds");
    describe_gauge!(STATE_BYTES, Unit::Bytes, "Memory that a task's keyed state takes");
    describe_counter!(STATE_EVICTIONS, Unit::Count, "Ids that `dedupe` forgot before their time");
    describe_counter!(SNAPSHOTS, Unit::Count, "Snapshots of keyed state, by outcome");
    describe_counter!(
        LATE_EVENTS,
        Unit::Count,
        "Events later than `dedupe` looks back, let through"
    );
    describe_histogram!(TRANSACTION_DURATION, Unit::Seconds, "How long transactions take");
    describe_counter!(FAILURES, Unit::Count, "Failures of tasks, by error class");
    describe_counter!(SPOOL_RECORDS, Unit::Count, "Records that a spool dealt with, by outcome");
    describe_counter!(SPOOL_BYTES, Unit::Bytes, "Encoded bytes that a spool forwarded");
    describe_histogram!(SPOOL_TRANSACTION_DURATION, Unit::Seconds, "How long they take");
    describe_gauge!(SPOOL_OLDEST_AGE, Unit::Seconds, "How long a spool's oldest record has waited");
    describe_gauge!(LAG, Unit::Count, "Records that a task has not dealt with");
    describe_counter!(SINK_ROWS, Unit::Count, "Rows that sinks committed");
    describe_histogram!(SINK_COMMIT_DURATION, Unit::Seconds, "How long commits of sinks take");
    describe_histogram!(SINK_DELAY, Unit::Seconds, "Time from acceptance to the sink's commit");
}

pub(crate) fn committed(pipeline: &str, counts: &Counts, bytes: usize, took: Duration) {
    let outcomes = [
        ("written", counts.written),
        ("rejected", counts.rejected),
        ("filtered", counts.filtered),
        ("deduplicated", counts.deduplicated),
    ];
    for (outcome, count) in outcomes {
        if count > 0 {
            counter!(RECORDS, "pipeline" => pipeline.to_owned(), "outcome" => outcome)
                .increment(count);
        }
    }
    counter!(READ_BYTES, "pipeline" => pipeline.to_owned()).increment(bytes as u64);
    histogram!(TRANSACTION_DURATION).record(took);
}

pub(crate) fn sink_committed(sink: &str, rows: u64, took: Duration) {
    counter!(SINK_ROWS, "sink" => sink.to_owned()).increment(rows);
    histogram!(SINK_COMMIT_DURATION).record(took);
}

pub(crate) fn sink_delay(sink: &str, delay: Duration) {
    histogram!(SINK_DELAY, "sink" => sink.to_owned()).record(delay);
}

pub(crate) fn failure(class: ErrorClass) {
    counter!(FAILURES, "class" => class.as_str()).increment(1);
}

pub(crate) fn state(task: &TaskId, state: &StateStatus) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
    let (entries, bytes) = (state.entries as f64, state.bytes as f64);
    gauge!(STATE_ENTRIES, "task" => task.as_str().to_owned()).set(entries);
    gauge!(STATE_BYTES, "task" => task.as_str().to_owned()).set(bytes);
}

pub(crate) fn evicted_early(pipeline: &str, ids: u64) {
    if ids > 0 {
        counter!(STATE_EVICTIONS, "pipeline" => pipeline.to_owned()).increment(ids);
    }
}

pub(crate) fn late(pipeline: &str, events: u64) {
    if events > 0 {
        counter!(LATE_EVENTS, "pipeline" => pipeline.to_owned()).increment(events);
    }
}

pub(crate) fn snapshot(outcome: &'static str) {
    counter!(SNAPSHOTS, "outcome" => outcome).increment(1);
}

pub(crate) fn lag(status: &TaskStatus) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
    let lag = status.lag() as f64;
    gauge!(LAG, "task" => status.task.as_str().to_owned()).set(lag);
}

pub(crate) fn spooled(forwarded: u64, refused: u64, bytes: usize, took: Duration) {
    for (outcome, count) in [("forwarded", forwarded), ("refused", refused)] {
        if count > 0 {
            counter!(SPOOL_RECORDS, "outcome" => outcome).increment(count);
        }
    }
    if forwarded > 0 {
        counter!(SPOOL_BYTES).increment(bytes as u64);
    }
    histogram!(SPOOL_TRANSACTION_DURATION).record(took);
}

/// Shows how long the oldest record has waited `now`; zero when none waits.
pub(crate) fn oldest(status: &TaskStatus, now: Timestamp) {
    let age = status.oldest.map_or(Duration::ZERO, |oldest| now.saturating_since(oldest));
    gauge!(SPOOL_OLDEST_AGE, "task" => status.task.as_str().to_owned()).set(age.as_secs_f64());
}
