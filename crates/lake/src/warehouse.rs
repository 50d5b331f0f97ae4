//! The lake of one node: a catalog, the files behind it, and how a table's version is loaded.
//!
//! ```text
//! <data>/lake/catalog.db
//! <data>/lake/warehouse/main/<table>/data/<partition>/ms-<id>.parquet
//! <data>/lake/warehouse/main/<table>/metadata/{NNNNN-<id>.metadata.json, ms-<id>-….avro}
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use iceberg::io::FileIO;
use iceberg::spec::{
    FormatVersion, Schema, SortOrder, TableMetadata, TableMetadataBuilder, UnboundPartitionSpec,
};
use iceberg::table::Table;
use iceberg::{NamespaceIdent, TableIdent};
use millstream_runtime::disk::RealDisk;
use millstream_runtime::{Clock, Disk, Rng, TaskKind, spawn_blocking};
use uuid::Uuid;

use crate::catalog::SharedCatalog;
use crate::position::{POSITIONS, PositionMap};
use crate::storage::{file_io, path_of, uri};
use crate::{Catalog, LakeError, NAMESPACE, SqliteCatalog, TableName};

/// What the lake runs on; only code sets it.
#[derive(Debug, Clone)]
pub struct Seams {
    /// The file system of data and metadata files.
    pub disk: Arc<dyn Disk>,
    /// The wall clock of snapshots and file ages.
    pub clock: Clock,
}

impl Default for Seams {
    fn default() -> Self {
        Self { disk: Arc::new(RealDisk), clock: Clock::system() }
    }
}

/// A catalog and the files it names; cloning shares both.
#[derive(Debug, Clone)]
pub struct Lake {
    warehouse: PathBuf,
    catalog: SharedCatalog,
    io: FileIO,
    seams: Seams,
}

/// One version of a table: a metadata file and what it says.
#[derive(Debug, Clone)]
pub struct Version {
    /// Where the metadata file lies.
    pub location: String,
    /// What it says.
    pub metadata: Arc<TableMetadata>,
}

impl Lake {
    /// Opens or creates the lake in `dir` for writing.
    pub async fn open(dir: &Path, seams: Seams) -> Result<Self, LakeError> {
        let dir = absolute(dir)?;
        seams.disk.create_dir_all(&dir).map_err(|source| LakeError::Io {
            doing: "create directory",
            path: dir.clone(),
            source,
        })?;
        let catalog = SqliteCatalog::open(&*seams.disk, &dir.join("catalog.db")).await?;
        Ok(Self::with_catalog(&dir, Arc::new(catalog), seams))
    }

    /// Opens an existing lake for reading, also beside the node that writes to it.
    pub async fn open_read_only(dir: &Path) -> Result<Self, LakeError> {
        let dir = absolute(dir)?;
        let catalog = SqliteCatalog::open_read_only(&dir.join("catalog.db")).await?;
        Ok(Self::with_catalog(&dir, Arc::new(catalog), Seams::default()))
    }

    /// Puts a lake together from a catalog and the directory of its files, which is absolute.
    pub fn with_catalog(dir: &Path, catalog: SharedCatalog, seams: Seams) -> Self {
        let io = file_io(Arc::clone(&seams.disk));
        Self { warehouse: dir.join("warehouse"), catalog, io, seams }
    }

    /// Returns the catalog.
    pub fn catalog(&self) -> &dyn Catalog {
        &*self.catalog
    }

    /// Returns every table, by name.
    pub async fn tables(&self) -> Result<Vec<TableName>, LakeError> {
        self.catalog.tables().await
    }

    /// Loads a table's current version.
    pub async fn load(&self, table: &TableName) -> Result<Version, LakeError> {
        match self.find(table).await? {
            Some(version) => Ok(version),
            None => Err(self.unknown(table.as_str()).await),
        }
    }

    /// Loads a table's current version, if there is such a table.
    pub async fn find(&self, table: &TableName) -> Result<Option<Version>, LakeError> {
        let Some(location) = self.catalog.location(table).await? else { return Ok(None) };
        let metadata = TableMetadata::read_from(&self.io, &location)
            .await
            .map_err(LakeError::table("read metadata", table))?;
        Ok(Some(Version { location, metadata: Arc::new(metadata) }))
    }

    /// Returns the error for a table that does not exist; it lists those that do.
    pub(crate) async fn unknown(&self, name: &str) -> LakeError {
        match self.tables().await {
            Ok(tables) => LakeError::UnknownTable {
                name: name.to_owned(),
                tables: tables.iter().map(ToString::to_string).collect(),
            },
            Err(error) => error,
        }
    }

    /// Creates a table without rows; returns the version that stands, ours or another's.
    pub async fn create(
        &self,
        table: &TableName,
        schema: Schema,
        spec: UnboundPartitionSpec,
    ) -> Result<Version, LakeError> {
        let location = uri(&self.warehouse.join(NAMESPACE).join(table.as_str()));
        let properties = HashMap::from([
            (POSITIONS.to_owned(), PositionMap::default().encode()),
            ("write.parquet.compression-codec".to_owned(), "zstd".to_owned()),
        ]);
        let built = TableMetadataBuilder::new(
            schema,
            spec,
            SortOrder::unsorted_order(),
            location,
            FormatVersion::V2,
            properties,
        );
        let built = built.and_then(TableMetadataBuilder::build);
        let metadata = built.map_err(LakeError::table("create metadata", table))?.metadata;
        let id = fresh_id(&self.seams.clock, &mut Rng::from_os());
        let version = self.write_metadata(table, metadata, 0, id).await?;
        self.catalog.insert(table, &version.location).await?;
        self.load(table).await
    }

    /// Writes metadata as version `number` of the table, durably; no catalog row names it yet.
    pub(crate) async fn write_metadata(
        &self,
        table: &TableName,
        metadata: TableMetadata,
        number: u64,
        id: Uuid,
    ) -> Result<Version, LakeError> {
        let location = format!("{}/metadata/{number:05}-{id}.metadata.json", metadata.location());
        let metadata = Arc::new(metadata);
        let encoded = Arc::clone(&metadata);
        let json = spawn_blocking(TaskKind("lake-metadata"), move || serde_json::to_vec(&*encoded));
        let json = { json }.join().await?;
        let json = json.map_err(|error| {
            let error = iceberg::Error::from(error);
            LakeError::table("encode metadata", table)(error)
        })?;
        let written = match self.io.new_output(&location) {
            Ok(output) => output.write(json.into()).await,
            Err(error) => Err(error),
        };
        written.map_err(LakeError::table("write metadata", table))?;
        Ok(Version { location, metadata })
    }

    /// Returns the iceberg crate's view of a version, for scans.
    pub(crate) fn to_table(&self, name: &TableName, version: &Version) -> Result<Table, LakeError> {
        let identifier =
            TableIdent::new(NamespaceIdent::new(NAMESPACE.to_owned()), name.as_str().to_owned());
        let built = iceberg::Runtime::try_current().and_then(|runtime| {
            Table::builder()
                .file_io(self.io.clone())
                .metadata_location(version.location.clone())
                .metadata(Arc::clone(&version.metadata))
                .identifier(identifier)
                .runtime(runtime)
                .readonly(true)
                .build()
        });
        built.map_err(LakeError::table("open", name))
    }

    pub(crate) fn io(&self) -> &FileIO {
        &self.io
    }

    pub(crate) fn seams(&self) -> &Seams {
        &self.seams
    }
}

impl Version {
    /// Returns the number in the metadata file's name; versions count up from zero.
    pub(crate) fn number(&self) -> u64 {
        let name = path_of(&self.location);
        let name = name.file_name().map(|name| name.to_string_lossy().into_owned());
        let number = name.as_deref().and_then(|name| name.split('-').next()?.parse().ok());
        // Another catalog's naming: any number above what the log remembers keeps names in order.
        number.unwrap_or(self.metadata.metadata_log().len() as u64)
    }
}

/// Returns an id that carries its time, so that a file's age shows in its name.
pub(crate) fn fresh_id(clock: &Clock, rng: &mut Rng) -> Uuid {
    let millis = u64::try_from(clock.now().as_millis()).unwrap_or(0);
    let random = rng.next_u128().to_le_bytes();
    let random = random.first_chunk().expect("16 bytes hold 10");
    uuid::Builder::from_unix_timestamp_millis(millis, random).into_uuid()
}

fn absolute(dir: &Path) -> Result<PathBuf, LakeError> {
    std::path::absolute(dir).map_err(|source| LakeError::Io {
        doing: "resolve",
        path: dir.to_owned(),
        source,
    })
}
