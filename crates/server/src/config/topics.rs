//! The section `topics`: how many partitions, kept how long.

use std::time::Duration;

use millstream_model::TopicName;

use super::section::{Field, OutOfRange, decode};
use super::source::Located;
use super::units::format_duration;
use super::value::Value;

/// The most partitions of a topic; a worker owns at most 64 tasks of a role.
const PARTITIONS_MAX: u32 = 64;
/// The least retention: below, a restart could find unread records gone.
const RETENTION_MIN: Duration = Duration::from_secs(60);
/// The most retention.
const RETENTION_MAX: Duration = Duration::from_secs(3650 * 86_400);

/// One declared topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicSpec {
    /// Its name.
    pub(crate) name: Located<TopicName>,
    /// What it consists of.
    pub(crate) config: TopicSettings,
}

/// What a topic consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TopicSettings {
    /// The number of partitions; fixed for the life of the topic.
    pub(crate) partitions: u32,
    /// How long records stay readable; without it `log.retention`.
    pub(crate) retention: Option<Duration>,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self { partitions: 4, retention: None }
    }
}

impl TopicSettings {
    fn validate(&self) -> Result<(), OutOfRange> {
        if !(1..=PARTITIONS_MAX).contains(&self.partitions) {
            let message = format!("{} is not between 1 and {PARTITIONS_MAX}", self.partitions);
            return Err(OutOfRange::message("partitions", message));
        }
        match self.retention {
            Some(time) if !(RETENTION_MIN..=RETENTION_MAX).contains(&time) => {
                let [value, min, max] = [time, RETENTION_MIN, RETENTION_MAX].map(format_duration);
                let message = format!("{value} is not between {min} and {max}");
                Err(OutOfRange::message("retention", message))
            }
            _ => Ok(()),
        }
    }
}

/// The keys of one topic.
pub(crate) const FIELDS: &[Field<TopicSettings>] = &[
    Field { key: "partitions", apply: |c, v| v.integer().map(|it| c.partitions = it) },
    Field { key: "retention", apply: |c, v| v.duration().map(|it| c.retention = Some(it)) },
];

/// Decodes the section.
pub(crate) fn topics(value: &Value<'_>) -> Option<Vec<TopicSpec>> {
    let named = value.named()?;
    let topic = |(name, value): (Located<String>, Value<'_>)| {
        let checked = match TopicName::new(&name.value) {
            Ok(checked) => name.with(checked),
            Err(error) => {
                value.problems().add(name.at, value.path(), error.to_string());
                return None;
            }
        };
        let mut fields = value.fields()?;
        let config = decode(&mut fields, FIELDS, TopicSettings::validate);
        fields.finish();
        Some(TopicSpec { name: checked, config })
    };
    Some(named.into_iter().filter_map(topic).collect())
}
