//! The catalog: which metadata file is a table's current version.
//!
//! One row a table, changed only by compare and set. The embedded catalog is a SQLite database in
//! the layout that iceberg's SQL catalogs share, so that PyIceberg opens it directly.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use millstream_runtime::Disk;
use sqlx::Row as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::{LakeError, NAMESPACE, TableName};

/// The name under which our rows stand; readers must open the catalog under it.
pub const CATALOG_NAME: &str = "millstream";

/// How long a statement waits for another process's write lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

const TABLES: &str = "CREATE TABLE IF NOT EXISTS iceberg_tables (
    catalog_name VARCHAR(255) NOT NULL,
    table_namespace VARCHAR(255) NOT NULL,
    table_name VARCHAR(255) NOT NULL,
    metadata_location VARCHAR(1000),
    previous_metadata_location VARCHAR(1000),
    iceberg_type VARCHAR(5),
    PRIMARY KEY (catalog_name, table_namespace, table_name))";

const NAMESPACES: &str = "CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
    catalog_name VARCHAR(255) NOT NULL,
    namespace VARCHAR(255) NOT NULL,
    property_key VARCHAR(255) NOT NULL,
    property_value VARCHAR(1000) NOT NULL,
    PRIMARY KEY (catalog_name, namespace, property_key))";

const OURS: &str = "catalog_name = ? AND table_namespace = ? \
                    AND (iceberg_type = 'TABLE' OR iceberg_type IS NULL)";

/// What a compare and set did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// The row names the new version now.
    Done,
    /// The row did not name the expected version; nothing changed.
    Lost,
}

/// Names the current version of each table.
///
/// An error of [`Catalog::swap`] or [`Catalog::insert`] leaves the outcome unknown: it may have
/// happened, may still happen, or may never happen.
#[async_trait]
pub trait Catalog: Debug + Send + Sync {
    /// Returns every table, by name.
    async fn tables(&self) -> Result<Vec<TableName>, LakeError>;
    /// Returns where a table's current metadata lies; `None` when there is no such table.
    async fn location(&self, table: &TableName) -> Result<Option<String>, LakeError>;
    /// Adds a table; [`Swap::Lost`] when it exists.
    async fn insert(&self, table: &TableName, location: &str) -> Result<Swap, LakeError>;
    /// Moves a table from version `from` to version `to`, durably, if it stands at `from`.
    async fn swap(&self, table: &TableName, from: &str, to: &str) -> Result<Swap, LakeError>;
}

/// The embedded catalog in a SQLite file.
#[derive(Debug)]
pub struct SqliteCatalog {
    path: PathBuf,
    pool: SqlitePool,
}

impl SqliteCatalog {
    /// Opens or creates the catalog for writing: write-ahead log, synced at each commit.
    pub async fn open(disk: &dyn Disk, path: &Path) -> Result<Self, LakeError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY_TIMEOUT);
        let catalog = Self::connect(path, options).await?;
        for statement in [TABLES, NAMESPACES] {
            let query = sqlx::query(statement).execute(&catalog.pool);
            query.await.map_err(catalog.failed("create tables"))?;
        }
        catalog.ensure_namespace().await?;
        let dir = path.parent().unwrap_or(Path::new("/"));
        disk.sync_dir(dir).map_err(|source| LakeError::Io {
            doing: "sync directory",
            path: dir.to_owned(),
            source,
        })?;
        Ok(catalog)
    }

    /// Writes only where it must: a process that is paused in the middle of a commit has the lock for
    /// writing, and a start beside it has no need of that.
    async fn ensure_namespace(&self) -> Result<(), LakeError> {
        let found = sqlx::query(
            "SELECT 1 FROM iceberg_namespace_properties WHERE catalog_name = ? AND namespace = ?",
        );
        let found = found.bind(CATALOG_NAME).bind(NAMESPACE).fetch_optional(&self.pool).await;
        if found.map_err(self.failed("look for the namespace"))?.is_some() {
            return Ok(());
        }
        let made = sqlx::query(
            "INSERT OR IGNORE INTO iceberg_namespace_properties \
             (catalog_name, namespace, property_key, property_value) VALUES (?, ?, 'exists', 'true')",
        );
        let made = made.bind(CATALOG_NAME).bind(NAMESPACE).execute(&self.pool).await;
        made.map_err(self.failed("create namespace"))?;
        Ok(())
    }

    /// Opens an existing catalog for reading, also beside a process that writes to it.
    pub async fn open_read_only(path: &Path) -> Result<Self, LakeError> {
        let no_lake = || LakeError::NoLake { path: path.to_owned() };
        if !path.is_file() {
            return Err(no_lake());
        }
        let options =
            SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
        let catalog = Self::connect(path, options).await?;
        // A node that was killed at its first start may leave a file without tables.
        let known = sqlx::query("SELECT 1 FROM sqlite_master WHERE name = 'iceberg_tables'")
            .fetch_optional(&catalog.pool)
            .await
            .map_err(catalog.failed("look for tables"))?;
        known.map(|_| catalog).ok_or_else(no_lake)
    }

    async fn connect(path: &Path, options: SqliteConnectOptions) -> Result<Self, LakeError> {
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options)
            .await
            .map_err(|source| LakeError::Catalog {
                doing: "open",
                path: path.to_owned(),
                source,
            })?;
        Ok(Self { path: path.to_owned(), pool })
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(sqlx::Error) -> LakeError + use<> {
        let path = self.path.clone();
        move |source| LakeError::Catalog { doing, path, source }
    }
}

#[async_trait]
impl Catalog for SqliteCatalog {
    async fn tables(&self) -> Result<Vec<TableName>, LakeError> {
        let sql = format!("SELECT table_name FROM iceberg_tables WHERE {OURS} ORDER BY table_name");
        let rows = sqlx::query(&sql).bind(CATALOG_NAME).bind(NAMESPACE).fetch_all(&self.pool);
        let rows = rows.await.map_err(self.failed("list tables"))?;
        // A name that is none of ours was put there by somebody else, and is not for us to read.
        let names = rows.iter().filter_map(|row| row.try_get::<String, _>(0).ok());
        Ok(names.filter_map(|name| TableName::new(&name).ok()).collect())
    }

    async fn location(&self, table: &TableName) -> Result<Option<String>, LakeError> {
        let sql =
            format!("SELECT metadata_location FROM iceberg_tables WHERE {OURS} AND table_name = ?");
        let row = sqlx::query(&sql)
            .bind(CATALOG_NAME)
            .bind(NAMESPACE)
            .bind(table.as_str())
            .fetch_optional(&self.pool)
            .await
            .map_err(self.failed("look up table"))?;
        row.map(|row| row.try_get(0)).transpose().map_err(self.failed("look up table"))
    }

    async fn insert(&self, table: &TableName, location: &str) -> Result<Swap, LakeError> {
        let outcome = sqlx::query(
            "INSERT OR IGNORE INTO iceberg_tables (catalog_name, table_namespace, table_name, \
             metadata_location, previous_metadata_location, iceberg_type) \
             VALUES (?, ?, ?, ?, NULL, 'TABLE')",
        )
        .bind(CATALOG_NAME)
        .bind(NAMESPACE)
        .bind(table.as_str())
        .bind(location)
        .execute(&self.pool)
        .await
        .map_err(self.failed("add table"))?;
        Ok(swapped(outcome.rows_affected()))
    }

    async fn swap(&self, table: &TableName, from: &str, to: &str) -> Result<Swap, LakeError> {
        let sql = format!(
            "UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ? \
             WHERE {OURS} AND table_name = ? AND metadata_location = ?"
        );
        let outcome = sqlx::query(&sql)
            .bind(to)
            .bind(from)
            .bind(CATALOG_NAME)
            .bind(NAMESPACE)
            .bind(table.as_str())
            .bind(from)
            .execute(&self.pool)
            .await
            .map_err(self.failed("commit"))?;
        Ok(swapped(outcome.rows_affected()))
    }
}

fn swapped(rows: u64) -> Swap {
    if rows == 1 { Swap::Done } else { Swap::Lost }
}

/// Shares a catalog between the parts of a process.
pub type SharedCatalog = Arc<dyn Catalog>;

#[cfg(test)]
mod tests;
