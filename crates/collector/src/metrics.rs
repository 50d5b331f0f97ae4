//! The collector's metrics: names, units and help live only here.

use metrics::{Counter, Gauge, Histogram, Unit};

use crate::json::Reason;
use crate::track::{REFUSED_BY_LOG, Tally};

/// Requests by what became of them.
pub const REQUESTS: &str = "millstream_collector_requests_total";
/// Events accepted: durable in the log, whether or not the client took the answer.
pub const EVENTS_ACCEPTED: &str = "millstream_collector_accepted_events_total";
/// Events rejected, by reason.
pub const EVENTS_REJECTED: &str = "millstream_collector_rejected_events_total";
/// Events that the client was told to send again, by whether they are surely not stored: only of a
/// log whose appends are not atomic.
pub const EVENTS_RETRY: &str = "millstream_collector_retry_events_total";
/// Bytes of request bodies read.
pub const BODY_BYTES: &str = "millstream_collector_body_bytes_total";
/// Bytes that requests hold now.
pub const INFLIGHT_BYTES: &str = "millstream_collector_inflight_bytes";
/// Open connections.
pub const CONNECTIONS: &str = "millstream_collector_connections";
/// Connections refused because there were `connections_max` already.
pub const CONNECTIONS_REFUSED: &str = "millstream_collector_refused_connections_total";
/// Appends handed to the log; each holds one request or many.
pub const APPENDS: &str = "millstream_collector_appends_total";
/// The time from a request's hand-over to its durability.
pub const DURABLE_SECONDS: &str = "millstream_collector_durable_duration_seconds";

/// Registers unit and help of each metric with the installed recorder.
pub fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(REQUESTS, Unit::Count, "Requests by status class.");
    describe_counter!(EVENTS_ACCEPTED, Unit::Count, "Events that became durable.");
    describe_counter!(EVENTS_REJECTED, Unit::Count, "Events rejected, by reason.");
    describe_counter!(EVENTS_RETRY, Unit::Count, "Events to be sent again, by reason.");
    describe_counter!(BODY_BYTES, Unit::Bytes, "Bytes of request bodies read.");
    describe_gauge!(INFLIGHT_BYTES, Unit::Bytes, "Bytes that requests hold now.");
    describe_gauge!(CONNECTIONS, Unit::Count, "Open connections.");
    describe_counter!(CONNECTIONS_REFUSED, Unit::Count, "Connections over connections_max.");
    describe_counter!(APPENDS, Unit::Count, "Appends handed to the log.");
    describe_histogram!(
        DURABLE_SECONDS,
        Unit::Seconds,
        "Time from a request's hand-over to its durability."
    );
}

/// Handles of the metrics, looked up once.
#[derive(Debug)]
pub(crate) struct Metrics {
    /// By status class: 1xx is unused, so that the class is the index.
    requests: [Counter; 6],
    pub(crate) accepted: Counter,
    rejected: [Counter; Reason::ALL.len()],
    refused_by_log: Counter,
    retry_not_stored: Counter,
    retry_unknown: Counter,
    pub(crate) body_bytes: Counter,
    pub(crate) inflight_bytes: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) connections_refused: Counter,
    pub(crate) appends: Counter,
    pub(crate) durable: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        describe();
        let requests = ["0xx", "1xx", "2xx", "3xx", "4xx", "5xx"]
            .map(|class| metrics::counter!(REQUESTS, "status" => class));
        let rejected =
            Reason::ALL.map(|reason| metrics::counter!(EVENTS_REJECTED, "reason" => reason.code()));
        Self {
            requests,
            accepted: metrics::counter!(EVENTS_ACCEPTED),
            rejected,
            refused_by_log: metrics::counter!(EVENTS_REJECTED, "reason" => REFUSED_BY_LOG),
            retry_not_stored: metrics::counter!(EVENTS_RETRY, "reason" => "not_stored"),
            retry_unknown: metrics::counter!(EVENTS_RETRY, "reason" => "outcome_unknown"),
            body_bytes: metrics::counter!(BODY_BYTES),
            inflight_bytes: metrics::gauge!(INFLIGHT_BYTES),
            connections: metrics::gauge!(CONNECTIONS),
            connections_refused: metrics::counter!(CONNECTIONS_REFUSED),
            appends: metrics::counter!(APPENDS),
            durable: metrics::histogram!(DURABLE_SECONDS),
        }
    }

    /// Counts an answered request.
    pub(crate) fn answered(&self, status: http::StatusCode) {
        if let Some(counter) = self.requests.get(usize::from(status.as_u16() / 100)) {
            counter.increment(1);
        }
    }

    /// Counts what became of a request's events in the log.
    pub(crate) fn settled(&self, tally: Tally) {
        self.accepted.increment(tally.stored as u64);
        self.refused_by_log.increment(tally.refused as u64);
        self.retry_not_stored.increment(tally.not_stored as u64);
        self.retry_unknown.increment(tally.unknown as u64);
    }

    /// Counts a rejected event.
    pub(crate) fn rejected(&self, reason: Reason) {
        self.rejected[reason as usize].increment(1);
    }
}
