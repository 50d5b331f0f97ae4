//! The section `spool`: how the collector's journal is forwarded where Kafka is the log.

use std::time::Duration;

use millstream_pipeline::ConfigError;
use millstream_pipeline::spool::Config;

use super::section::{Field, OutOfRange, decode};
use super::units::format_duration;
use super::value::Value;

/// The least time that forwarded events stay: a restart takes as long.
const KEEP_MIN: Duration = Duration::from_secs(60);
/// The most.
const KEEP_MAX: Duration = Duration::from_secs(3650 * 86_400);

/// Configuration of the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpoolConfig {
    /// How long events stay readable behind the position, if space allows, for a replay.
    pub(crate) keep: Duration,
    /// How they are forwarded.
    pub(crate) forwarder: Config,
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self { keep: Duration::from_secs(3600), forwarder: Config::default() }
    }
}

impl SpoolConfig {
    fn validate(&self) -> Result<(), OutOfRange> {
        if !(KEEP_MIN..=KEEP_MAX).contains(&self.keep) {
            let [value, min, max] = [self.keep, KEEP_MIN, KEEP_MAX].map(format_duration);
            let message = format!("{value} is not between {min} and {max}");
            return Err(OutOfRange::message("keep", message));
        }
        let checked = self.forwarder.validate();
        checked.map_err(|ConfigError { key, reason }| OutOfRange::allowed(key, reason))
    }
}

/// The keys of the section.
pub(crate) const FIELDS: &[Field<SpoolConfig>] = &[
    Field { key: "keep", apply: |c, v| v.duration().map(|it| c.keep = it) },
    Field {
        key: "batch_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.forwarder.batch_bytes_max = it),
    },
    Field {
        key: "forward_interval",
        apply: |c, v| v.duration().map(|it| c.forwarder.forward_interval = it),
    },
    Field {
        key: "transaction_time_max",
        apply: |c, v| v.duration().map(|it| c.forwarder.transaction_time_max = it),
    },
    Field {
        key: "register_interval",
        apply: |c, v| v.duration().map(|it| c.forwarder.register_interval = it),
    },
    Field {
        key: "register_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.forwarder.register_bytes_max = it),
    },
    Field {
        key: "drain_timeout",
        apply: |c, v| v.duration().map(|it| c.forwarder.drain_timeout = it),
    },
];

/// Decodes the section.
pub(crate) fn spool(value: &Value<'_>) -> Option<SpoolConfig> {
    let mut fields = value.fields()?;
    let config = decode(&mut fields, FIELDS, SpoolConfig::validate);
    fields.finish();
    Some(config)
}
