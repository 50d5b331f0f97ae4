//! What tables hold, for reconciliation: their positions and counts, and with a deep look every
//! row's origin.

use std::collections::BTreeMap;
use std::path::Path;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt as _;
use iceberg::spec::SnapshotRef;
use millstream_model::PartitionId;

use crate::position::{Others, PositionMap, number, standing};
use crate::schema::{OFFSET_COLUMN, PARTITION_COLUMN, SOURCE_COLUMN};
use crate::{Lake, LakeError, TableName, Version};

mod seen;

use seen::Seen;

/// How many duplicates are named; more are counted.
pub const DUPLICATES_NAMED_MAX: usize = 20;

/// Looks at the tables of a lake, beside the running node or without one.
#[derive(Debug)]
pub struct Audit {
    lake: Lake,
}

/// What a table says of itself.
#[derive(Debug, Clone)]
pub struct TableReport {
    /// The table.
    pub table: TableName,
    /// How far each sink has read, with the rows it stored and the records it rejected.
    pub positions: PositionMap,
    /// The rows in the current snapshot, as its summary has them.
    pub rows: u64,
    /// What snapshots of others did to the table since it began, also those that expired.
    pub others: Others,
    /// The rows themselves; only with a deep look.
    pub deep: Option<DeepReport>,
}

/// What the rows of a table say.
#[derive(Debug, Clone, Default)]
pub struct DeepReport {
    /// Rows read.
    pub rows: u64,
    /// Rows that no sink of ours wrote: they carry no origin.
    pub foreign: u64,
    /// Rows beyond the first with the same origin.
    pub duplicates: u64,
    /// The first of them.
    pub duplicates_named: Vec<RowOrigin>,
    /// Rows whose origin lies beyond the position of their sink, or whose topic no sink reads.
    pub beyond: u64,
    /// Rows that are neither there nor removed by others, although somebody counts them.
    pub missing: u64,
    /// Rows that are there, once, although nobody counts them.
    pub surplus: u64,
}

/// Where a row came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowOrigin {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: u64,
}

impl Audit {
    /// Opens the lake in `dir` for reading.
    pub async fn open(dir: &Path) -> Result<Self, LakeError> {
        Ok(Self { lake: Lake::open_read_only(dir).await? })
    }

    /// Reports on every table from its metadata.
    pub async fn tables(&self) -> Result<Vec<TableReport>, LakeError> {
        let mut reports = Vec::new();
        for table in self.lake.tables().await? {
            let version = self.lake.load(&table).await?;
            reports.push(report(table, &version)?);
        }
        Ok(reports)
    }

    /// Reports on every table and reads the origin of each row.
    ///
    /// Metadata and rows are of one version, so that they can be compared beside a running node.
    pub async fn tables_deep(&self) -> Result<Vec<TableReport>, LakeError> {
        let mut reports = Vec::new();
        for table in self.lake.tables().await? {
            let version = self.lake.load(&table).await?;
            let mut report = report(table, &version)?;
            report.deep = Some(self.read(&report, &version).await?);
            reports.push(report);
        }
        Ok(reports)
    }

    async fn read(&self, report: &TableReport, version: &Version) -> Result<DeepReport, LakeError> {
        let failed = |error| LakeError::table("read rows", &report.table)(error);
        let mut deep = DeepReport::default();
        let mut seen = Seen::default();
        if version.metadata.current_snapshot().is_some() {
            let table = self.lake.to_table(&report.table, version)?;
            let columns = [SOURCE_COLUMN, PARTITION_COLUMN, OFFSET_COLUMN];
            let scan = table.scan().select(columns).build().map_err(failed)?;
            let mut batches = scan.to_arrow().await.map_err(failed)?;
            while let Some(batch) = batches.try_next().await.map_err(failed)? {
                add(&batch, &report.positions, &mut seen, &mut deep);
            }
        }
        let counted = report.others.rows_with(report.positions.rows());
        let there = deep.rows - deep.duplicates;
        deep.missing = counted.saturating_sub(there);
        deep.surplus = there.saturating_sub(counted);
        Ok(deep)
    }
}

fn report(table: TableName, version: &Version) -> Result<TableReport, LakeError> {
    let metadata = &version.metadata;
    let total =
        |snapshot: &SnapshotRef| number(&snapshot.summary().additional_properties, "total-records");
    let rows = metadata.current_snapshot().and_then(total).unwrap_or(0);
    let positions = standing(&table, metadata)?.map;
    let others = positions.others.unwrap_or_default();
    Ok(TableReport { table, positions, rows, others, deep: None })
}

fn add(batch: &RecordBatch, positions: &PositionMap, seen: &mut Seen, deep: &mut DeepReport) {
    let topics = batch.column(0).as_string::<i32>();
    let partitions = batch.column(1).as_primitive::<Int32Type>();
    let offsets = batch.column(2).as_primitive::<Int64Type>();
    deep.rows += batch.num_rows() as u64;
    // Rows of one file nearly always share their topic and partition.
    let mut ends: BTreeMap<(String, u32), Option<u64>> = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let null = topics.is_null(row) || partitions.is_null(row) || offsets.is_null(row);
        let partition = u32::try_from(partitions.value(row));
        let offset = u64::try_from(offsets.value(row));
        let (false, Ok(partition), Ok(offset)) = (null, partition, offset) else {
            deep.foreign += 1;
            continue;
        };
        let topic = topics.value(row);
        let end = ends
            .entry((topic.to_owned(), partition))
            .or_insert_with(|| end_of(positions, topic, PartitionId(partition)));
        if end.is_none_or(|end| offset >= end) {
            deep.beyond += 1;
        }
        if !seen.insert(topic, partition, offset) {
            deep.duplicates += 1;
            if deep.duplicates_named.len() < DUPLICATES_NAMED_MAX {
                let topic = topic.to_owned();
                deep.duplicates_named.push(RowOrigin { topic, partition, offset });
            }
        }
    }
}

/// Returns the furthest position of the sinks that read this partition.
fn end_of(positions: &PositionMap, topic: &str, partition: PartitionId) -> Option<u64> {
    let sinks = positions.sinks.values().filter(|sink| sink.topic.as_str() == topic);
    sinks.filter_map(|sink| Some(sink.partitions.get(&partition)?.next.0)).max()
}
