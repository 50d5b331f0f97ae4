//! The lakehouse: the only crate that knows Iceberg and DataFusion.
//!
//! Read [`sink`] first: it stores the events of a topic in one table, exactly once. Under it,
//! [`stage`](Config) turns events into data files and [`commit`] makes files and positions one
//! new version of the table by compare and set on the catalog's row. [`position`] is how a table
//! remembers what it holds, [`warehouse`] where everything lies. [`query`] and [`audit`] read,
//! also beside the node that writes.
//!
//! Commits go through our own module, not the iceberg crate's transactions: those reload and
//! re-apply by themselves, which would take positions back, and never merge manifests.

pub mod audit;
pub mod catalog;
pub mod commit;
pub mod config;
mod error;
mod marker;
pub mod metrics;
mod name;
pub mod position;
pub mod query;
mod rename;
mod reposition;
mod schema;
pub mod sink;
mod stage;
mod storage;
pub mod warehouse;

pub use audit::{Audit, DeepReport, TableReport};
pub use catalog::{CATALOG_NAME, Catalog, SqliteCatalog, Swap};
pub use config::{Config, ConfigError, PartitionBy};
pub use error::{Clash, LakeError};
pub use name::{NAMESPACE, TableName, TableNameError};
pub use query::{Query, Rows};
pub use rename::Rename;
pub use reposition::{Counting, Reposition, SnapshotStanding};
pub use schema::{OFFSET_COLUMN, PARTITION_COLUMN, SOURCE_COLUMN};
pub use sink::{IcebergSink, Settings};
pub use warehouse::{Lake, Seams, Version};
