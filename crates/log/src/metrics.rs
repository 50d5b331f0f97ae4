//! The metrics of this crate, declared here only.

use std::time::Duration;

use metrics::Unit;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

const APPENDED_BYTES: &str = "millstream_log_appended_bytes_total";
const APPENDED_RECORDS: &str = "millstream_log_appended_records_total";
const GROUP_FRAMES: &str = "millstream_log_group_frames";
const SYNC_DURATION: &str = "millstream_log_sync_duration_seconds";
const QUEUE_BYTES: &str = "millstream_log_queue_bytes";
const SEGMENTS: &str = "millstream_log_segments";
const USED_BYTES: &str = "millstream_log_used_bytes";
const DISK_FREE_BYTES: &str = "millstream_log_disk_free_bytes";
const REFUSED: &str = "millstream_log_refused_requests_total";
const WRITE_FAILURES: &str = "millstream_log_write_failures_total";
const RECOVERY_DURATION: &str = "millstream_log_recovery_duration_seconds";
const RECOVERY_CUT_BYTES: &str = "millstream_log_recovery_cut_bytes_total";

/// Why a request was refused; the values of the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Full,
    Queue,
    TransactionFull,
    Fenced,
    Position,
}

impl Refused {
    fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Queue => "queue",
            Self::TransactionFull => "transaction_full",
            Self::Fenced => "fenced",
            Self::Position => "position",
        }
    }
}

/// Gives every metric its help text.
pub fn describe() {
    let bytes = Unit::Bytes;
    describe_counter!(APPENDED_BYTES, bytes, "Bytes of records made durable.");
    describe_counter!(APPENDED_RECORDS, Unit::Count, "Records made durable.");
    describe_histogram!(GROUP_FRAMES, Unit::Count, "Frames made durable by one sync.");
    describe_histogram!(SYNC_DURATION, Unit::Seconds, "Duration of a sync of the journal.");
    describe_gauge!(QUEUE_BYTES, bytes, "Bytes that wait to be written.");
    describe_gauge!(SEGMENTS, Unit::Count, "Segments of the journal, archives included.");
    describe_gauge!(USED_BYTES, bytes, "Bytes of the journal's files.");
    describe_gauge!(DISK_FREE_BYTES, bytes, "Free bytes of the journal's disk.");
    describe_counter!(REFUSED, Unit::Count, "Requests refused, by reason.");
    describe_counter!(WRITE_FAILURES, Unit::Count, "Writes or syncs of the journal that failed.");
    describe_histogram!(RECOVERY_DURATION, Unit::Seconds, "Duration of opening the journal.");
    describe_counter!(RECOVERY_CUT_BYTES, bytes, "Bytes of torn tails that recovery cut off.");
}

pub(crate) fn appended(bytes: u64, records: u64) {
    counter!(APPENDED_BYTES).increment(bytes);
    counter!(APPENDED_RECORDS).increment(records);
}

#[expect(clippy::cast_precision_loss, reason = "a group has far fewer than 2^52 frames")]
pub(crate) fn group_synced(frames: usize, took: Duration) {
    histogram!(GROUP_FRAMES).record(frames as f64);
    histogram!(SYNC_DURATION).record(took.as_secs_f64());
}

pub(crate) fn write_failed() {
    counter!(WRITE_FAILURES).increment(1);
}

pub(crate) fn refused(reason: Refused) {
    counter!(REFUSED, "reason" => reason.as_str()).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "gauges are rounded above 2^52")]
pub(crate) fn segments(count: usize) {
    gauge!(SEGMENTS).set(count as f64);
}

#[expect(clippy::cast_precision_loss, reason = "gauges are rounded above 2^52")]
pub(crate) fn room(bytes_used: u64, disk_free: u64, queue_bytes: usize) {
    gauge!(USED_BYTES).set(bytes_used as f64);
    gauge!(DISK_FREE_BYTES).set(disk_free as f64);
    gauge!(QUEUE_BYTES).set(queue_bytes as f64);
}

pub(crate) fn recovered(took: Duration, bytes_cut: u64) {
    histogram!(RECOVERY_DURATION).record(took.as_secs_f64());
    counter!(RECOVERY_CUT_BYTES).increment(bytes_cut);
}
