//! SQL over the tables of a lake, beside the running node or without one.
//!
//! A query sees each table as it stood when the lake was opened. DataFusion is built without
//! optimisation in the development profile and then needs deep stacks: it runs on a runtime of
//! its own.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::memory::{MemoryCatalogProvider, MemorySchemaProvider};
use datafusion::catalog::{CatalogProvider, SchemaProvider};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::prelude::{SessionConfig, SessionContext};
use iceberg_datafusion::IcebergStaticTableProvider;
use tokio::runtime::{Builder, Runtime};

use crate::catalog::CATALOG_NAME;
use crate::{Lake, LakeError, NAMESPACE, TableName};

mod json;
mod text;

/// The stack of a thread that plans and runs queries.
const STACK_BYTES: usize = 8 << 20;

/// Rows a batch holds at most.
const BATCH_ROWS: usize = 8192;

/// Runs queries over one lake.
///
/// Its methods block: call them from a thread that is not a worker of an asynchronous runtime.
#[derive(Debug)]
pub struct Query {
    runtime: Runtime,
    session: Session,
}

#[derive(Clone)]
struct Session {
    context: SessionContext,
    lake: Lake,
    tables: Vec<TableName>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("tables", &self.tables).finish_non_exhaustive()
    }
}

/// The answer to a query.
#[derive(Debug, Clone)]
pub struct Rows {
    /// The columns.
    pub schema: SchemaRef,
    /// The rows, in order.
    pub batches: Vec<RecordBatch>,
}

impl Query {
    /// Opens the lake in `dir` for reading.
    pub fn open(dir: &Path) -> Result<Self, LakeError> {
        let runtime = Builder::new_multi_thread()
            .thread_name("query")
            .thread_stack_size(STACK_BYTES)
            .enable_all()
            .build()
            .map_err(|source| LakeError::Io {
                doing: "start threads to query",
                path: dir.to_owned(),
                source,
            })?;
        let dir = dir.to_owned();
        let session = on(&runtime, async move { Session::open(&dir).await })?;
        Ok(Self { runtime, session })
    }

    /// Runs one `SELECT` and returns all its rows.
    ///
    /// Names without a schema mean the schema `main`, where all tables are.
    pub fn sql(&self, sql: &str) -> Result<Rows, LakeError> {
        let (session, sql) = (self.session.clone(), sql.to_owned());
        on(&self.runtime, async move { session.sql(&sql).await })
    }

    /// Returns the tables, by name.
    pub fn tables(&self) -> &[TableName] {
        &self.session.tables
    }
}

/// Runs `work` on a thread of the runtime, which has the deep stack that this thread may lack.
fn on<T: Send + 'static>(
    runtime: &Runtime,
    work: impl Future<Output = Result<T, LakeError>> + Send + 'static,
) -> Result<T, LakeError> {
    let task = runtime.spawn(work);
    match runtime.block_on(task) {
        Ok(outcome) => outcome,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

impl Session {
    async fn open(dir: &Path) -> Result<Self, LakeError> {
        let lake = Lake::open_read_only(dir).await?;
        let tables = lake.tables().await?;
        let schema = Arc::new(MemorySchemaProvider::new());
        for name in &tables {
            let version = lake.load(name).await?;
            let table = lake.to_table(name, &version)?;
            let current = version.metadata.current_snapshot();
            // A scan reads with the schema of the snapshot; one without newer columns must also
            // show that schema, or selecting such a column fails.
            let older =
                current.filter(|s| s.schema_id() != Some(version.metadata.current_schema_id()));
            let provider = match older {
                Some(snapshot) => {
                    let id = snapshot.snapshot_id();
                    IcebergStaticTableProvider::try_new_from_table_snapshot(table, id).await
                }
                None => IcebergStaticTableProvider::try_new_from_table(table).await,
            };
            let provider = provider.map_err(LakeError::table("open", name))?;
            schema.register_table(name.to_string(), Arc::new(provider)).map_err(failed)?;
        }
        let catalog = Arc::new(MemoryCatalogProvider::new());
        catalog.register_schema(NAMESPACE, schema).map_err(failed)?;
        let config = SessionConfig::new()
            .with_default_catalog_and_schema(CATALOG_NAME, NAMESPACE)
            .with_create_default_catalog_and_schema(false)
            .with_information_schema(true)
            .with_batch_size(BATCH_ROWS);
        let context = SessionContext::new_with_config(config);
        context.register_catalog(CATALOG_NAME, catalog);
        Ok(Self { context, lake, tables })
    }

    async fn sql(&self, sql: &str) -> Result<Rows, LakeError> {
        self.check_tables(sql).await?;
        let options = SQLOptions::new()
            .with_allow_ddl(false)
            .with_allow_dml(false)
            .with_allow_statements(false);
        let frame = self.context.sql_with_options(sql, options).await.map_err(failed)?;
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await.map_err(failed)?;
        Ok(Rows { schema, batches })
    }

    /// Names the tables that exist when the query asks for one that does not.
    async fn check_tables(&self, sql: &str) -> Result<(), LakeError> {
        let state = self.context.state();
        let dialect = state.config().options().sql_parser.dialect;
        let statement = state.sql_to_statement(sql, &dialect).map_err(failed)?;
        for reference in state.resolve_table_references(&statement).map_err(failed)? {
            let in_ours = reference.schema().is_none_or(|schema| schema == NAMESPACE);
            let name = reference.table();
            // Names of other schemas (information_schema) are the engine's to resolve.
            if in_ours && !self.tables.iter().any(|table| table.as_str() == name) {
                return Err(self.lake.unknown(name).await);
            }
        }
        Ok(())
    }
}

impl Rows {
    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn failed(error: DataFusionError) -> LakeError {
    LakeError::Query(Box::new(error))
}
