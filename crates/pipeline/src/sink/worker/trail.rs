//! Where the records of a commit came from: how long ago they were accepted, and by which requests.
//!
//! A commit holds the events of many requests. It names a few of them, so that a request's id or
//! trace leads to the commit that stored its events; the delay of every batch goes to the metrics.

use millstream_log::OffsetBatch;
use millstream_model::{Record, Timestamp, header};

use crate::metrics;
use crate::sink::CommitId;

/// How many requests, and how many traces, a commit names.
const NAMED_MAX: usize = 8;

/// How many records of each batch are looked at for those names.
const LOOKED_AT_MAX: usize = 32;

/// How many batches of a commit keep a delay of their own; later ones share the last.
const BATCHES_MAX: usize = 1_024;

/// What is staged, seen from the requests that brought it.
#[derive(Debug, Default)]
pub(super) struct Trail {
    /// When the oldest record of each batch was accepted.
    accepted: Vec<Timestamp>,
    requests: Vec<String>,
    traces: Vec<String>,
}

impl Trail {
    /// Takes a batch that is staged.
    pub(super) fn add(&mut self, batch: &OffsetBatch) {
        let Some(oldest) = batch.records.iter().map(|record| record.timestamp).min() else {
            return;
        };
        let is_full = self.accepted.len() == BATCHES_MAX;
        match self.accepted.last_mut().filter(|_| is_full) {
            Some(last) => *last = oldest.min(*last),
            None => self.accepted.push(oldest),
        }
        if self.requests.len() == NAMED_MAX && self.traces.len() == NAMED_MAX {
            return;
        }
        for record in batch.records.iter().take(LOOKED_AT_MAX) {
            name(&mut self.requests, record, header::REQUEST_ID);
            name(&mut self.traces, record, header::TRACE_PARENT);
        }
    }

    /// Tells that what was staged is stored since `now`.
    pub(super) fn committed(self, sink: &str, commit: &CommitId, now: Timestamp) {
        for accepted in &self.accepted {
            metrics::sink_delay(sink, now.saturating_since(*accepted));
        }
        let oldest = self.accepted.iter().min();
        let delay = oldest.map_or(std::time::Duration::ZERO, |at| now.saturating_since(*at));
        tracing::debug!(
            sink,
            %commit,
            delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            request_ids = self.requests.join(" "),
            trace_parents = self.traces.join(" "),
            "stored what these requests brought, among others"
        );
    }
}

/// Adds the text of a header to `names`, once, if there is room.
fn name(names: &mut Vec<String>, record: Record<'_>, header: &str) {
    if names.len() == NAMED_MAX {
        return;
    }
    let Some(text) = record.headers.get(header).and_then(|text| str::from_utf8(text).ok()) else {
        return;
    };
    if !names.iter().any(|name| name == text) {
        names.push(text.to_owned());
    }
}

#[cfg(test)]
mod tests;
