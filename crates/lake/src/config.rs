//! The configuration of a table sink.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use millstream_model::ByteSize;
use millstream_pipeline::schema::{ColumnType, Schema};
use thiserror::Error;

use crate::name::TableNameError;
use crate::{TableName, commit};

/// How events become rows of one table.
#[derive(Debug, Clone)]
pub struct Config {
    /// The table; created when absent.
    pub table: String,
    /// How the rows are laid out in files.
    pub partition_by: PartitionBy,
    /// The columns, and where their values stand in an event.
    pub columns: Arc<Schema>,
    /// The size at which a data file is closed and the next begun.
    pub file_bytes_max: ByteSize,
    /// The most snapshots a table keeps; readers can go back that many commits.
    pub snapshots_max: usize,
    /// The most manifests of one size class; one more and they are merged.
    pub manifests_max: usize,
    /// The age from which files that no commit took are refused, and removed as orphans.
    pub stage_max: Duration,
}

/// How the rows of a table are laid out in files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PartitionBy {
    /// All in one place.
    #[default]
    None,
    /// By the day (UTC) of a timestamptz or date column.
    Day(String),
    /// By the hour (UTC) of a timestamptz column.
    Hour(String),
}

/// A value outside its range; nothing starts with it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The table's name is none.
    #[error(transparent)]
    Table(#[from] TableNameError),
    /// A value lies outside its range.
    #[error("`{key}` is {value}, allowed is {range}")]
    Range {
        /// The option.
        key: &'static str,
        /// Its value.
        value: String,
        /// The allowed range.
        range: &'static str,
    },
    /// The partition column does not exist or cannot be partitioned by.
    #[error("`partition_by: {partition_by}` needs a {needs} column of that name")]
    Partition {
        /// What was asked for.
        partition_by: String,
        /// The type it needs.
        needs: &'static str,
    },
}

/// A text that is no partitioning.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a partitioning; use none, day(<column>) or hour(<column>)")]
pub struct ParsePartitionByError {
    text: String,
}

impl Config {
    /// Configures a table of `columns` with the defaults.
    pub fn new(table: &str, columns: Arc<Schema>) -> Self {
        Self {
            table: table.to_owned(),
            partition_by: PartitionBy::None,
            columns,
            file_bytes_max: ByteSize::mib(128),
            snapshots_max: 200,
            manifests_max: 16,
            stage_max: Duration::from_hours(1),
        }
    }

    /// Checks every value against its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.table_name()?;
        let range = |key, value: String, range| Err(ConfigError::Range { key, value, range });
        let bytes = self.file_bytes_max.bytes();
        if !(1 << 20..=4 << 30).contains(&bytes) {
            return range("file_bytes_max", self.file_bytes_max.to_string(), "1 MiB to 4 GiB");
        }
        if !(2..=10_000).contains(&self.snapshots_max) {
            return range("snapshots_max", self.snapshots_max.to_string(), "2 to 10000");
        }
        if !(2..=1_000).contains(&self.manifests_max) {
            return range("manifests_max", self.manifests_max.to_string(), "2 to 1000");
        }
        if !(60..=7 * 86_400).contains(&self.stage_max.as_secs()) {
            return range("stage_max", format!("{:?}", self.stage_max), "1 min to 7 d");
        }
        self.check_partition()
    }

    /// Returns the age up to which rows that wait for their commit are still committed.
    pub fn commit_age_max(&self) -> Duration {
        commit::Settings::of(self).commit_age_max()
    }

    /// Returns the table's name, checked.
    pub fn table_name(&self) -> Result<TableName, ConfigError> {
        Ok(TableName::new(&self.table)?)
    }

    fn check_partition(&self) -> Result<(), ConfigError> {
        let Some(column) = self.partition_by.column() else { return Ok(()) };
        let index = self.columns.index_of(column);
        let column_type = index.map(|index| self.columns.columns()[index].column_type);
        let needs = match (&self.partition_by, column_type) {
            (_, Some(ColumnType::Timestamptz)) => return Ok(()),
            (PartitionBy::Day(_), Some(ColumnType::Date)) => return Ok(()),
            (PartitionBy::Day(_), _) => "timestamptz or date",
            _ => "timestamptz",
        };
        Err(ConfigError::Partition { partition_by: self.partition_by.to_string(), needs })
    }
}

impl PartitionBy {
    /// Returns the column that decides.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Day(column) | Self::Hour(column) => Some(column),
        }
    }
}

impl FromStr for PartitionBy {
    type Err = ParsePartitionByError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let argument = |name: &str| {
            let rest = text.trim().strip_prefix(name)?.trim_start();
            let column = rest.strip_prefix('(')?.strip_suffix(')')?.trim();
            (!column.is_empty()).then(|| column.to_owned())
        };
        if text.trim() == "none" {
            return Ok(Self::None);
        }
        let parsed = argument("day").map(Self::Day).or_else(|| argument("hour").map(Self::Hour));
        parsed.ok_or_else(|| ParsePartitionByError { text: text.to_owned() })
    }
}

impl fmt::Display for PartitionBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Day(column) => write!(f, "day({column})"),
            Self::Hour(column) => write!(f, "hour({column})"),
        }
    }
}

#[cfg(test)]
mod tests;
