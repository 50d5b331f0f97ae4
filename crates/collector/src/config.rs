//! What an operator may set, with defaults and limits.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use millstream_model::ByteSize;

use crate::error::ConfigError;
use crate::json::FieldPath;

/// Configuration of the collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the collector listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The topic that accepted events go to.
    pub topic: String,
    /// The field whose value routes an event to its partition, dot-separated; without it, or
    /// where an event lacks it, `message_id` routes, else the event's bytes.
    pub key: Option<String>,
    /// The worker threads; 0 means one for each processor.
    pub workers: usize,
    /// The largest request body.
    pub body_bytes_max: ByteSize,
    /// The largest event.
    pub event_bytes_max: ByteSize,
    /// The most events in one request.
    pub request_events_max: usize,
    /// The deepest nesting of objects and arrays in an event.
    pub depth_max: usize,
    /// The bytes that requests may hold at any time, over all connections; beyond, 503.
    pub inflight_bytes_max: ByteSize,
    /// The encoded bytes of requests that are merged into one append; a larger request goes alone.
    pub append_bytes_max: ByteSize,
    /// The most open connections; beyond, new ones are answered 503 and closed.
    pub connections_max: usize,
    /// The largest head of a request, and the read buffer of a connection.
    pub header_bytes_max: ByteSize,
    /// The time a request's head may take from its first byte.
    pub header_timeout: Duration,
    /// The time a request's body may take before its rate is judged.
    pub body_timeout: Duration,
    /// The bytes per second that a body must bring once `body_timeout` is over.
    pub body_rate_min: ByteSize,
    /// The time a connection may rest between requests.
    pub idle_timeout: Duration,
    /// The time a client may refuse to take an answer.
    pub write_timeout: Duration,
    /// The time requests in flight get to finish when the collector stops.
    pub drain_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            topic: "events".to_owned(),
            key: None,
            workers: 0,
            body_bytes_max: ByteSize::mib(8),
            event_bytes_max: ByteSize::mib(1),
            request_events_max: 50_000,
            depth_max: 64,
            inflight_bytes_max: ByteSize::mib(128),
            append_bytes_max: ByteSize::mib(1),
            connections_max: 10_000,
            header_bytes_max: ByteSize::kib(32),
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            body_rate_min: ByteSize::kib(4),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// The least of any time-out: below, a busy machine alone would trip it.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);
/// The most of any time-out.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// What an event takes at most beside its key and value: a record's own fields, its headers with
/// the longest request id, its place in memory and in the answer.
const EVENT_OVERHEAD_BYTES: u64 = 1024;

impl Config {
    /// Checks every limit; the error names the key, the value and the allowed range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_names()?;
        let size = |key, value: ByteSize, min: ByteSize, max: ByteSize| {
            let fits = (min..=max).contains(&value);
            let error = || ConfigError::Size { key, value, min, max };
            if fits { Ok(()) } else { Err(error()) }
        };
        let kib = ByteSize::kib;
        size("body_bytes_max", self.body_bytes_max, kib(1), ByteSize::mib(64))?;
        size("event_bytes_max", self.event_bytes_max, ByteSize(64), self.body_bytes_max)?;
        size(
            "inflight_bytes_max",
            self.inflight_bytes_max,
            self.inflight_floor(),
            ByteSize::gib(64),
        )?;
        size("append_bytes_max", self.append_bytes_max, kib(1), ByteSize::mib(64))?;
        size("header_bytes_max", self.header_bytes_max, kib(8), ByteSize::mib(1))?;
        size("body_rate_min", self.body_rate_min, ByteSize(1), ByteSize::gib(1))?;

        let count = |key, value: usize, min: usize, max: usize| {
            let fits = (min..=max).contains(&value);
            let error = || ConfigError::Count { key, value, min, max };
            if fits { Ok(()) } else { Err(error()) }
        };
        count("workers", self.workers, 0, 1024)?;
        count("request_events_max", self.request_events_max, 1, 10_000_000)?;
        count("depth_max", self.depth_max, 1, 1024)?;
        count("connections_max", self.connections_max, 1, 10_000_000)?;

        for (key, value) in [
            ("header_timeout", self.header_timeout),
            ("body_timeout", self.body_timeout),
            ("idle_timeout", self.idle_timeout),
            ("write_timeout", self.write_timeout),
            ("drain_timeout", self.drain_timeout),
        ] {
            if !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&value) {
                let (min, max) = (TIMEOUT_MIN, TIMEOUT_MAX);
                return Err(ConfigError::Time { key, value, min, max });
            }
        }
        Ok(())
    }

    fn validate_names(&self) -> Result<(), ConfigError> {
        millstream_model::TopicName::new(&self.topic).map_err(ConfigError::Topic)?;
        if let Some(key) = &self.key {
            FieldPath::new(key).map_err(ConfigError::Key)?;
        }
        Ok(())
    }

    /// The least budget that admits the largest legal body when nothing else is in flight: its
    /// bytes, the same for its values and for its keys in their records, and what each event has
    /// around it. Below, such a body would be told to come back for ever.
    fn inflight_floor(&self) -> ByteSize {
        let around = (self.request_events_max as u64).saturating_mul(EVENT_OVERHEAD_BYTES);
        let floor = self.body_bytes_max.bytes().saturating_mul(3).saturating_add(around);
        ByteSize::kib(floor.div_ceil(1024))
    }

    /// Returns the number of worker threads to start.
    pub(crate) fn worker_count(&self) -> usize {
        if self.workers > 0 {
            return self.workers;
        }
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }
}

#[cfg(test)]
mod tests;
