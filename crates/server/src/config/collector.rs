//! The section `collector`.

use millstream_collector::{Config, ConfigError};

use super::section::{Field, OutOfRange, decode};
use super::units::format_duration;
use super::value::Value;

/// The keys of the section.
pub(crate) const FIELDS: &[Field<Config>] = &[
    Field { key: "listen", apply: |c, v| v.address().map(|it| c.listen = it) },
    Field { key: "topic", apply: |c, v| v.text().map(|it| c.topic = it.value) },
    Field { key: "key", apply: |c, v| v.text().map(|it| c.key = Some(it.value)) },
    Field { key: "workers", apply: |c, v| v.integer().map(|it| c.workers = it) },
    Field { key: "body_bytes_max", apply: |c, v| v.byte_size().map(|it| c.body_bytes_max = it) },
    Field { key: "event_bytes_max", apply: |c, v| v.byte_size().map(|it| c.event_bytes_max = it) },
    Field {
        key: "request_events_max",
        apply: |c, v| v.integer().map(|it| c.request_events_max = it),
    },
    Field { key: "depth_max", apply: |c, v| v.integer().map(|it| c.depth_max = it) },
    Field {
        key: "inflight_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.inflight_bytes_max = it),
    },
    Field {
        key: "append_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.append_bytes_max = it),
    },
    Field { key: "connections_max", apply: |c, v| v.integer().map(|it| c.connections_max = it) },
    Field {
        key: "header_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.header_bytes_max = it),
    },
    Field { key: "header_timeout", apply: |c, v| v.duration().map(|it| c.header_timeout = it) },
    Field { key: "body_timeout", apply: |c, v| v.duration().map(|it| c.body_timeout = it) },
    Field { key: "body_rate_min", apply: |c, v| v.byte_size().map(|it| c.body_rate_min = it) },
    Field { key: "idle_timeout", apply: |c, v| v.duration().map(|it| c.idle_timeout = it) },
    Field { key: "write_timeout", apply: |c, v| v.duration().map(|it| c.write_timeout = it) },
    Field { key: "drain_timeout", apply: |c, v| v.duration().map(|it| c.drain_timeout = it) },
];

/// Decodes the section.
pub(crate) fn collector(value: &Value<'_>) -> Option<Config> {
    let mut fields = value.fields()?;
    let config = decode(&mut fields, FIELDS, |config| config.validate().map_err(out_of_range));
    fields.finish();
    Some(config)
}

fn out_of_range(error: ConfigError) -> OutOfRange {
    match error {
        ConfigError::Time { key, value, min, max } => {
            let [value, min, max] = [value, min, max].map(format_duration);
            OutOfRange::message(key, format!("{value} is not between {min} and {max}"))
        }
        error => OutOfRange::new(error.key(), &error),
    }
}
