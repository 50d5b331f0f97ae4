//! Staging: events become rows, rows become data files, nothing is visible yet.
//!
//! Rows gather in Arrow columns, one set per table partition; full sets are encoded into an open
//! Parquet file, and a file that is large enough is closed. All of it is plain blocking work that
//! the sink runs apart from the worker threads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use iceberg::io::FileIO;
use iceberg::spec::{DataFile, Literal, Struct};
use iceberg::writer::CurrentFileStatus;
use iceberg::writer::file_writer::{
    FileWriter, FileWriterBuilder, ParquetWriter, ParquetWriterBuilder,
};
use millstream_log::OffsetBatch;
use millstream_model::{Offset, Timestamp, TopicPartition};
use millstream_pipeline::schema::{Misfit, RowReader, Schema, Value};
use millstream_runtime::crash_point::crash_point;
use millstream_runtime::{Clock, Rng};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use tokio::runtime::Handle;

use crate::position::Rejection;
use crate::schema::{Layout, Unit};
use crate::warehouse::fresh_id;

mod columns;

use columns::{Columns, Origin};

/// Rows that gather in memory before they are encoded.
const CHUNK_ROWS: usize = 16_384;

/// Bytes of values that gather in memory before they are encoded.
const CHUNK_BYTES: usize = 16 << 20;

/// Table partitions written at the same time; one more and all are closed.
const PARTITIONS_OPEN_MAX: usize = 64;

const MICROS_PER_DAY: i64 = 86_400_000_000;
const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// What staging runs on.
#[derive(Debug)]
pub(crate) struct Workshop {
    pub(crate) io: FileIO,
    pub(crate) clock: Clock,
    pub(crate) file_bytes_max: u64,
    /// Files are written through an asynchronous seam; blocking work waits for it here.
    pub(crate) handle: Handle,
}

/// Rows on their way into files.
#[derive(Debug)]
pub(crate) struct Stage {
    layout: Arc<Layout>,
    workshop: Workshop,
    properties: WriterProperties,
    reader: RowReader,
    rng: Rng,
    /// By the partition's value; `None` for rows without one, and for unpartitioned tables.
    open: BTreeMap<Option<i32>, OpenPartition>,
    files: Vec<DataFile>,
    since: Option<Timestamp>,
}

struct OpenPartition {
    columns: Columns,
    writer: WriterSlot,
}

impl std::fmt::Debug for OpenPartition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenPartition").field("rows", &self.columns.rows()).finish_non_exhaustive()
    }
}

/// Holds a writer between batches.
///
/// A writer's parts are not `Sync`, but a sink must be, for its worker's future to move between
/// threads. The lock is never contended: both methods take the slot by `&mut`.
#[derive(Default)]
struct WriterSlot(Mutex<Option<ParquetWriter>>);

impl WriterSlot {
    fn take(&mut self) -> Option<ParquetWriter> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&mut self, writer: ParquetWriter) {
        *self.0.get_mut().unwrap_or_else(PoisonError::into_inner) = Some(writer);
    }
}

/// What one batch became.
#[derive(Debug, Default)]
pub(crate) struct Appended {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) rejected: Vec<Rejection>,
}

/// The files of one commit.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    pub(crate) files: Vec<DataFile>,
    pub(crate) since: Option<Timestamp>,
}

impl Stage {
    pub(crate) fn new(layout: Arc<Layout>, columns: Arc<Schema>, workshop: Workshop) -> Self {
        let properties = writer_properties(&columns);
        Self {
            layout,
            workshop,
            properties,
            reader: RowReader::new(columns),
            rng: Rng::from_os(),
            open: BTreeMap::new(),
            files: Vec::new(),
            since: None,
        }
    }

    /// Adds the records of a batch as rows; those that do not fit are returned.
    pub(crate) fn append(
        &mut self,
        partition: &TopicPartition,
        batch: &OffsetBatch,
    ) -> iceberg::Result<Appended> {
        let mut appended = Appended::default();
        let origin = Origin { topic: partition.topic.as_str(), partition: partition.partition };
        for (offset, record) in batch.iter() {
            let Some(json) = record.value else {
                appended.rejected.push(rejection(offset, no_value()));
                continue;
            };
            match self.append_row(json, origin, offset)? {
                Ok(()) => {
                    appended.rows += 1;
                    appended.bytes += json.len() as u64;
                }
                Err(misfit) => appended.rejected.push(rejection(offset, misfit)),
            }
        }
        Ok(appended)
    }

    fn append_row(
        &mut self,
        json: &[u8],
        origin: Origin<'_>,
        offset: Offset,
    ) -> iceberg::Result<Result<(), Misfit>> {
        let values = match self.reader.read(json) {
            Ok(values) => values.collect::<Vec<Value<'_>>>(),
            Err(misfit) => return Ok(Err(misfit)),
        };
        let key = match partition_key(&self.layout, &values) {
            Ok(key) => key,
            Err(misfit) => return Ok(Err(misfit)),
        };
        let open = match self.open.entry(key) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(slot) => {
                let columns = Columns::new(&self.layout)?;
                slot.insert(OpenPartition { columns, writer: WriterSlot::default() })
            }
        };
        open.columns.push(&values, origin, offset);
        self.since.get_or_insert_with(|| self.workshop.clock.now());
        if open.columns.rows() >= CHUNK_ROWS || open.columns.bytes() >= CHUNK_BYTES {
            self.encode(key)?;
        }
        if self.open.len() > PARTITIONS_OPEN_MAX {
            self.close_all()?;
        }
        Ok(Ok(()))
    }

    /// Closes every file and hands them over; the stage is empty afterwards.
    pub(crate) fn finish(&mut self) -> iceberg::Result<Finished> {
        self.close_all()?;
        Ok(Finished { files: std::mem::take(&mut self.files), since: self.since.take() })
    }

    fn close_all(&mut self) -> iceberg::Result<()> {
        let keys: Vec<Option<i32>> = self.open.keys().copied().collect();
        for key in keys {
            self.encode(key)?;
            let open = self.open.remove(&key);
            if let Some(writer) = open.and_then(|mut open| open.writer.take()) {
                self.close(key, writer)?;
            }
        }
        Ok(())
    }

    /// Encodes what gathered for one partition; closes its file when that is large enough.
    fn encode(&mut self, key: Option<i32>) -> iceberg::Result<()> {
        let Some(open) = self.open.get_mut(&key) else { return Ok(()) };
        if open.columns.rows() == 0 {
            return Ok(());
        }
        let batch = open.columns.finish()?;
        let handle = self.workshop.handle.clone();
        let mut writer = match open.writer.take() {
            Some(writer) => writer,
            None => handle.block_on(self.create(key))?,
        };
        handle.block_on(writer.write(&batch))?;
        if writer.current_written_size() as u64 >= self.workshop.file_bytes_max {
            return self.close(key, writer);
        }
        if let Some(open) = self.open.get_mut(&key) {
            open.writer.put(writer);
        }
        Ok(())
    }

    async fn create(&mut self, key: Option<i32>) -> iceberg::Result<ParquetWriter> {
        let id = fresh_id(&self.workshop.clock, &mut self.rng);
        let Layout { location, schema, spec, .. } = &*self.layout;
        let path = match self.layout.unit {
            Unit::None => format!("{location}/data/ms-{id}.parquet"),
            Unit::Day | Unit::Hour => {
                let dir =
                    spec.partition_to_path(&partition_value(&self.layout, key), Arc::clone(schema));
                format!("{location}/data/{dir}/ms-{id}.parquet")
            }
        };
        let output = self.workshop.io.new_output(path)?;
        let builder = ParquetWriterBuilder::new(self.properties.clone(), Arc::clone(schema));
        builder.build(output).await
    }

    fn close(&mut self, key: Option<i32>, writer: ParquetWriter) -> iceberg::Result<()> {
        let built = self.workshop.handle.block_on(writer.close())?;
        crash_point("lake.after_data_file");
        for mut builder in built {
            builder.partition(partition_value(&self.layout, key));
            builder.partition_spec_id(self.layout.spec.spec_id());
            let file = builder.build().map_err(|error| {
                iceberg::Error::new(iceberg::ErrorKind::Unexpected, "describe data file")
                    .with_source(error)
            })?;
            self.files.push(file);
        }
        Ok(())
    }
}

fn rejection(offset: Offset, misfit: Misfit) -> Rejection {
    Rejection { offset, field: misfit.field, reason: misfit.reason }
}

fn no_value() -> Misfit {
    Misfit { field: None, reason: "record has no value".to_owned() }
}

/// Returns the partition a row belongs to.
fn partition_key(layout: &Layout, values: &[Value<'_>]) -> Result<Option<i32>, Misfit> {
    let Some(column) = layout.partition_column else { return Ok(None) };
    let key = match (values[column], layout.unit) {
        (Value::Timestamptz(micros), Unit::Day) => micros.div_euclid(MICROS_PER_DAY),
        (Value::Timestamptz(micros), Unit::Hour) => micros.div_euclid(MICROS_PER_HOUR),
        (Value::Date(days), _) => i64::from(days),
        _ => return Ok(None),
    };
    let key = i32::try_from(key).ok().ok_or_else(|| Misfit {
        field: None,
        reason: "timestamp lies outside what a table can be partitioned by".to_owned(),
    })?;
    Ok(Some(key))
}

fn partition_value(layout: &Layout, key: Option<i32>) -> Struct {
    match layout.unit {
        Unit::None => Struct::empty(),
        Unit::Day => Struct::from_iter([key.map(Literal::date)]),
        Unit::Hour => Struct::from_iter([key.map(Literal::int)]),
    }
}

/// Zstandard at its fastest; JSON text gets no dictionary and no bounds, which never pay off.
fn writer_properties(columns: &Schema) -> WriterProperties {
    use millstream_pipeline::schema::ColumnType;
    let level = ZstdLevel::try_new(1).expect("1 is a level of Zstandard");
    let mut properties = WriterProperties::builder().set_compression(Compression::ZSTD(level));
    let json = columns.columns().iter().filter(|c| c.column_type == ColumnType::Json);
    for column in json {
        let path = ColumnPath::new(vec![column.name.clone()]);
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_statistics_enabled(path, EnabledStatistics::None);
    }
    properties.build()
}
