//! What can go wrong with a table, and what the caller should do about it.

use std::io;
use std::path::PathBuf;

use datafusion::error::DataFusionError;
use millstream_model::{Classify, ErrorClass, LogPosition, PartitionId};
use millstream_runtime::Cancelled;
use thiserror::Error;

use crate::TableName;

/// Why something about a table did not work.
#[derive(Debug, Error)]
pub enum LakeError {
    /// The catalog database failed.
    #[error("{doing} in catalog {}", path.display())]
    Catalog {
        /// What was tried.
        doing: &'static str,
        /// The database file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: sqlx::Error,
    },
    /// There is no catalog where one was expected.
    #[error("there is no lake at {}: no table was written there yet", path.display())]
    NoLake {
        /// The database file that is missing.
        path: PathBuf,
    },
    /// A file of a table could not be read or written, or makes no sense.
    #[error("{doing} of table {table}")]
    Table {
        /// What was tried.
        doing: &'static str,
        /// The table.
        table: TableName,
        /// Why it failed.
        #[source]
        source: Box<iceberg::Error>,
    },
    /// The file system refused.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A table does not exist.
    #[error("table `{name}` does not exist; there is {}", listed(tables))]
    UnknownTable {
        /// The name that was asked for.
        name: String,
        /// The tables that exist.
        tables: Vec<String>,
    },
    /// The table's position map is not one of ours.
    #[error("position map of table {table}: {reason}")]
    PositionMap {
        /// The table.
        table: TableName,
        /// What is wrong with it.
        reason: String,
    },
    /// The table stands at an older version than the one we committed last.
    #[error(
        "table {table} was rolled back: our last commit has sequence number {committed}, the \
         current snapshot leads back to {found}; roll the table forward to it, or let the sink go on \
         from where the table stands now with `millstream tasks reset --from table`"
    )]
    RolledBack {
        /// The table.
        table: TableName,
        /// The sequence number of our last commit, from the table's property.
        committed: i64,
        /// The newest sequence number of ours (or below ours) on the current branch.
        found: i64,
    },
    /// The table has lost every trace of our positions.
    #[error(
        "table {table} has snapshots but neither our position map nor its property \
         `millstream.positions`; set that property to the map to go on from, or choose where to go \
         on with `millstream tasks reset`"
    )]
    PositionsLost {
        /// The table.
        table: TableName,
    },
    /// A partition does not stand where the staged rows begin: somebody else committed.
    #[error("partition {} of table {table} stands at {}, the rows begin at {}",
        clash.partition, shown(clash.found.as_ref()), shown(clash.from.as_ref()))]
    Moved {
        /// The table.
        table: TableName,
        /// Which partition, and where it stands.
        clash: Box<Clash>,
    },
    /// Other writers kept winning; nothing of ours was committed.
    #[error("{attempts} attempts to commit to table {table} met other writers")]
    Conflict {
        /// The table.
        table: TableName,
        /// How many attempts were made.
        attempts: u32,
    },
    /// The staged files are so old that the removal of orphans may have taken them.
    #[error("rows staged {age_ms} ms ago are too old to commit to table {table}")]
    Stale {
        /// The table.
        table: TableName,
        /// The age of the oldest file.
        age_ms: u64,
    },
    /// The table's schema or partitioning contradicts the configuration.
    #[error("table {table} does not fit its configuration: {reason}")]
    Mismatch {
        /// The table.
        table: TableName,
        /// What contradicts, and what to do.
        reason: String,
    },
    /// A sink is to take over the positions of another name, and has some already.
    #[error(
        "table {table} has positions of sink `{new}` and of `{old}`, which `{new}` is to take over: \
         remove `renamed_from` if `{new}` is to go on where it stands, or give the sink another name"
    )]
    NameTaken {
        /// The table.
        table: TableName,
        /// The old name.
        old: String,
        /// The new name.
        new: String,
    },
    /// The sink goes on under another name; under this one it would begin anew.
    #[error(
        "sink `{old}` of table {table} goes on under another name, `{new}`: stop this worker, or give \
         it the configuration with the new name"
    )]
    Renamed {
        /// The table.
        table: TableName,
        /// The name that was used.
        old: String,
        /// The name since.
        new: String,
    },
    /// A query failed.
    #[error("query")]
    Query(#[source] Box<DataFusionError>),
    /// Work on a thread of its own ended without a result.
    #[error(transparent)]
    Task(#[from] millstream_runtime::task::TaskError),
    /// The caller gave up.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// A partition that does not stand where rows begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// The partition.
    pub partition: PartitionId,
    /// Where the rows begin; `None` for rows of a partition that was never committed.
    pub from: Option<LogPosition>,
    /// Where the table stands.
    pub found: Option<LogPosition>,
}

fn shown(position: Option<&LogPosition>) -> String {
    match position {
        Some(position) => format!("offset {} of log {}", position.offset, position.log),
        None => "no position".to_owned(),
    }
}

fn listed(tables: &[String]) -> String {
    match tables {
        [] => "no table yet".to_owned(),
        tables => tables.join(", "),
    }
}

impl LakeError {
    /// Wraps an error of the iceberg crate.
    pub(crate) fn table(
        doing: &'static str,
        table: &TableName,
    ) -> impl FnOnce(iceberg::Error) -> Self {
        let table = table.clone();
        move |source| Self::Table { doing, table, source: Box::new(source) }
    }
}

impl Classify for LakeError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Catalog { .. } | Self::Io { .. } => ErrorClass::Transient,
            Self::Table { source, .. } => iceberg_class(source),
            Self::Moved { .. } | Self::Conflict { .. } | Self::Stale { .. } => {
                ErrorClass::Transient
            }
            Self::NoLake { .. } | Self::UnknownTable { .. } => ErrorClass::Invalid,
            Self::NameTaken { .. } | Self::Renamed { .. } => ErrorClass::Invalid,
            Self::RolledBack { .. } | Self::PositionsLost { .. } | Self::Mismatch { .. } => {
                ErrorClass::Invalid
            }
            Self::PositionMap { .. } => ErrorClass::Corrupt,
            Self::Query(_) => ErrorClass::Invalid,
            Self::Task(_) => ErrorClass::Bug,
            Self::Cancelled(error) => error.class(),
        }
    }
}

fn iceberg_class(error: &iceberg::Error) -> ErrorClass {
    use iceberg::ErrorKind;
    match error.kind() {
        ErrorKind::DataInvalid => ErrorClass::Corrupt,
        ErrorKind::FeatureUnsupported => ErrorClass::Invalid,
        // Our storage reports every failed file operation as unexpected.
        _ => ErrorClass::Transient,
    }
}
