//! The section `kafka`: the cluster that takes the place of the embedded journal.
//!
//! Everything else of a configuration means the same on both logs; what `log` says is then about
//! the collector's spool.

use std::path::PathBuf;

use millstream_log_kafka::Config;
use millstream_log_kafka::config::{Compression, ConfigError, Mechanism, Sasl, Tls};

use super::section::{Field, OutOfRange, decode};
use super::value::Value;

/// The words for `compression`.
pub(crate) const COMPRESSIONS: [(&str, Compression); 3] =
    [("none", Compression::None), ("lz4", Compression::Lz4), ("zstd", Compression::Zstd)];

/// The words for `sasl.mechanism`.
pub(crate) const MECHANISMS: [(&str, Mechanism); 3] = [
    ("PLAIN", Mechanism::Plain),
    ("SCRAM-SHA-256", Mechanism::ScramSha256),
    ("SCRAM-SHA-512", Mechanism::ScramSha512),
];

/// The keys of the section.
pub(crate) const FIELDS: &[Field<Config>] = &[
    Field { key: "brokers", apply: |c, v| brokers(v).map(|it| c.brokers = it) },
    Field { key: "topic_prefix", apply: |c, v| v.text().map(|it| c.topic_prefix = it.value) },
    Field { key: "tls", apply: |c, v| tls(v).map(|it| c.tls = Some(it)) },
    Field { key: "sasl", apply: |c, v| sasl(v).map(|it| c.sasl = Some(it)) },
    Field {
        key: "replication_factor",
        apply: |c, v| v.integer().map(|it| c.replication_factor = Some(it)),
    },
    Field {
        key: "positions_partitions",
        apply: |c, v| v.integer().map(|it| c.positions_partitions = it),
    },
    Field { key: "tasks_max", apply: |c, v| v.integer().map(|it| c.tasks_max = it) },
    Field {
        key: "transaction_time_max",
        apply: |c, v| v.duration().map(|it| c.transaction_time_max = it),
    },
    Field {
        key: "transaction_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.transaction_bytes_max = it),
    },
    Field {
        key: "append_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.append_bytes_max = it),
    },
    Field {
        key: "record_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.record_bytes_max = it),
    },
    Field { key: "queue_bytes_max", apply: |c, v| v.byte_size().map(|it| c.queue_bytes_max = it) },
    Field {
        key: "queue_records_max",
        apply: |c, v| v.integer().map(|it| c.queue_records_max = it),
    },
    Field { key: "request_time_max", apply: |c, v| v.duration().map(|it| c.request_time_max = it) },
    Field {
        key: "delivery_time_max",
        apply: |c, v| v.duration().map(|it| c.delivery_time_max = it),
    },
    Field { key: "session_time_max", apply: |c, v| v.duration().map(|it| c.session_time_max = it) },
    Field {
        key: "fetch_ahead_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.fetch_ahead_bytes_max = it),
    },
    Field {
        key: "compression",
        apply: |c, v| v.one_of(&COMPRESSIONS).map(|it| c.compression = it),
    },
];

/// Decodes the section.
pub(crate) fn kafka(value: &Value<'_>) -> Option<Config> {
    let mut fields = value.fields()?;
    let config = decode(&mut fields, FIELDS, |config| {
        config.validate().map_err(|error| out_of_range(&error))
    });
    fields.finish();
    Some(config)
}

/// Takes one broker, or a list of them.
fn brokers(value: &Value<'_>) -> Option<Vec<String>> {
    if value.is_list() {
        let items = value.items()?;
        return items.iter().map(|item| item.text().map(|text| text.value)).collect();
    }
    Some(value.text()?.value.split(',').map(|broker| broker.trim().to_owned()).collect())
}

fn tls(value: &Value<'_>) -> Option<Tls> {
    let mut fields = value.fields()?;
    let mut path = |key| fields.take(key).map(|file| file.text());
    let (ca, certificate, key) = (path("ca"), path("certificate"), path("key"));
    fields.finish();
    let file = |given: Option<Option<_>>| match given {
        None => Some(None),
        Some(text) => text.map(|text: super::Located<String>| Some(PathBuf::from(text.value))),
    };
    Some(Tls { ca: file(ca)?, certificate: file(certificate)?, key: file(key)? })
}

fn sasl(value: &Value<'_>) -> Option<Sasl> {
    let mut fields = value.fields()?;
    let mechanism = fields.need("mechanism").and_then(|word| word.one_of(&MECHANISMS));
    let username = fields.need("username").and_then(|text| text.text());
    let password = fields.need("password").and_then(|text| text.text());
    fields.finish();
    Some(Sasl { mechanism: mechanism?, username: username?.value, password: password?.value })
}

/// The key at fault may stand in a section within: that section is pointed at.
fn out_of_range(error: &ConfigError) -> OutOfRange {
    match error.key.split_once('.') {
        Some((section, key)) => OutOfRange::message(section, format!("`{key}`: {}", error.reason)),
        None => OutOfRange::allowed(error.key, &error.reason),
    }
}
