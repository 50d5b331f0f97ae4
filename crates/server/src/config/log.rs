//! The section `log`: the embedded journal.

use millstream_log::journal::{Config, Durability};

use super::section::{Field, OutOfRange, decode};
use super::value::Value;

/// The words for `durability`.
const DURABILITIES: [(&str, Durability); 2] =
    [("fsync", Durability::Fsync), ("buffered", Durability::Buffered)];

/// The keys of the section.
pub(crate) const FIELDS: &[Field<Config>] = &[
    Field { key: "durability", apply: |c, v| v.one_of(&DURABILITIES).map(|it| c.durability = it) },
    Field { key: "bytes_max", apply: |c, v| v.byte_size().map(|it| c.bytes_max = it) },
    Field { key: "disk_free_min", apply: |c, v| v.byte_size().map(|it| c.disk_free_min = it) },
    Field {
        key: "segment_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.segment_bytes_max = it),
    },
    Field {
        key: "segment_entries_max",
        apply: |c, v| v.integer().map(|it| c.segment_entries_max = it),
    },
    Field { key: "retention", apply: |c, v| v.duration().map(|it| c.retention = it) },
    Field {
        key: "dead_letters_retention",
        apply: |c, v| v.duration().map(|it| c.dead_letters_retention = it),
    },
    Field { key: "orphan_hold", apply: |c, v| v.duration().map(|it| c.orphan_hold = it) },
    Field { key: "queue_bytes_max", apply: |c, v| v.byte_size().map(|it| c.queue_bytes_max = it) },
    Field { key: "queue_items_max", apply: |c, v| v.integer().map(|it| c.queue_items_max = it) },
    Field { key: "group_bytes_max", apply: |c, v| v.byte_size().map(|it| c.group_bytes_max = it) },
    Field { key: "batch_bytes_max", apply: |c, v| v.byte_size().map(|it| c.batch_bytes_max = it) },
    Field {
        key: "transaction_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.transaction_bytes_max = it),
    },
    Field { key: "tasks_max", apply: |c, v| v.integer().map(|it| c.tasks_max = it) },
    Field { key: "reserve_bytes", apply: |c, v| v.byte_size().map(|it| c.reserve_bytes = it) },
    Field { key: "full_retry_after", apply: |c, v| v.duration().map(|it| c.full_retry_after = it) },
    Field {
        key: "queue_retry_after_max",
        apply: |c, v| v.duration().map(|it| c.queue_retry_after_max = it),
    },
    Field {
        key: "retention_interval",
        apply: |c, v| v.duration().map(|it| c.retention_interval = it),
    },
];

/// Decodes the section.
pub(crate) fn log(value: &Value<'_>) -> Option<Config> {
    let mut fields = value.fields()?;
    let config = decode(&mut fields, FIELDS, |config| {
        config.validate().map_err(|error| {
            let message = format!("{} is out of range: {} is allowed", error.value, error.allowed);
            OutOfRange::message(error.key, message)
        })
    });
    fields.finish();
    Some(config)
}
