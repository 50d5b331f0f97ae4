//! The section `log`: the embedded journal, which is the collector's spool where Kafka is the log.

use millstream_log::journal;

use super::section::{Field, OutOfRange, decode};
use super::value::Value;

/// The words for `durability`.
pub(crate) const DURABILITIES: [(&str, Durability); 3] = [
    ("fsync", Durability::Journal(journal::Durability::Fsync)),
    ("buffered", Durability::Journal(journal::Durability::Buffered)),
    ("replicated", Durability::Replicated),
];

/// When the collector says that an event is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// When our journal has it.
    Journal(journal::Durability),
    /// When the replicas of Kafka have it.
    Replicated,
}

/// Configuration of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogConfig {
    /// The journal.
    pub(crate) journal: journal::Config,
    /// Whether an event is accepted only when the replicas of Kafka have it: no spool.
    pub(crate) is_replicated: bool,
}

impl LogConfig {
    fn set_durability(&mut self, durability: Durability) {
        match durability {
            Durability::Journal(durability) => self.journal.durability = durability,
            Durability::Replicated => self.is_replicated = true,
        }
    }
}

/// The keys of the section.
pub(crate) const FIELDS: &[Field<LogConfig>] = &[
    Field {
        key: "durability",
        apply: |c, v| v.one_of(&DURABILITIES).map(|it| c.set_durability(it)),
    },
    Field { key: "bytes_max", apply: |c, v| v.byte_size().map(|it| c.journal.bytes_max = it) },
    Field {
        key: "disk_free_min",
        apply: |c, v| v.byte_size().map(|it| c.journal.disk_free_min = it),
    },
    Field {
        key: "segment_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.journal.segment_bytes_max = it),
    },
    Field {
        key: "segment_entries_max",
        apply: |c, v| v.integer().map(|it| c.journal.segment_entries_max = it),
    },
    Field { key: "retention", apply: |c, v| v.duration().map(|it| c.journal.retention = it) },
    Field {
        key: "dead_letters_retention",
        apply: |c, v| v.duration().map(|it| c.journal.dead_letters_retention = it),
    },
    Field { key: "orphan_hold", apply: |c, v| v.duration().map(|it| c.journal.orphan_hold = it) },
    Field {
        key: "queue_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.journal.queue_bytes_max = it),
    },
    Field {
        key: "queue_items_max",
        apply: |c, v| v.integer().map(|it| c.journal.queue_items_max = it),
    },
    Field {
        key: "group_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.journal.group_bytes_max = it),
    },
    Field {
        key: "batch_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.journal.batch_bytes_max = it),
    },
    Field {
        key: "transaction_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.journal.transaction_bytes_max = it),
    },
    Field { key: "tasks_max", apply: |c, v| v.integer().map(|it| c.journal.tasks_max = it) },
    Field {
        key: "reserve_bytes",
        apply: |c, v| v.byte_size().map(|it| c.journal.reserve_bytes = it),
    },
    Field {
        key: "full_retry_after",
        apply: |c, v| v.duration().map(|it| c.journal.full_retry_after = it),
    },
    Field {
        key: "queue_retry_after_max",
        apply: |c, v| v.duration().map(|it| c.journal.queue_retry_after_max = it),
    },
    Field {
        key: "retention_interval",
        apply: |c, v| v.duration().map(|it| c.journal.retention_interval = it),
    },
];

/// Decodes the section.
pub(crate) fn log(value: &Value<'_>) -> Option<LogConfig> {
    let mut fields = value.fields()?;
    let config = decode(&mut fields, FIELDS, |config| {
        config.journal.validate().map_err(|error| {
            let message = format!("{} is out of range: {} is allowed", error.value, error.allowed);
            OutOfRange::message(error.key, message)
        })
    });
    fields.finish();
    Some(config)
}
