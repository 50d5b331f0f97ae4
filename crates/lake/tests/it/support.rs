//! A table in a temporary directory, events for it, and what stands in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_lake::commit;
use millstream_lake::{
    Audit, Config, IcebergSink, Lake, PartitionBy, Seams, Settings, TableName, TableReport,
};
use millstream_log::OffsetBatch;
use millstream_model::{
    Headers, Incarnation, LogId, LogPosition, Offset, Record, RecordBatchBuilder, Timestamp,
    TopicId, TopicName, TopicPartition,
};
use millstream_pipeline::schema::{Column, ColumnType, Schema};
use millstream_pipeline::sink::{Sink as _, SinkOpened};
use millstream_runtime::{Clock, Context};
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) mod disk;
pub(crate) mod fault;
pub(crate) mod foreign;

/// 2026-11-22T10:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_341_600_000);

/// A lake in a directory that goes with it.
pub(crate) struct House {
    pub(crate) dir: TempDir,
    pub(crate) clock: Clock,
}

impl House {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, clock: Clock::manual(NOW) }
    }

    pub(crate) fn lake_dir(&self) -> PathBuf {
        self.dir.path().join("lake")
    }

    pub(crate) fn seams(&self) -> Seams {
        Seams { clock: self.clock.clone(), ..Seams::default() }
    }

    pub(crate) fn sink(&self) -> IcebergSink {
        self.sink_of(config(), self.seams())
    }

    pub(crate) fn sink_of(&self, config: Config, seams: Seams) -> IcebergSink {
        let settings = Settings { name: "events".to_owned(), dir: self.lake_dir(), seams };
        IcebergSink::new(config, settings).unwrap()
    }

    pub(crate) async fn lake(&self) -> Lake {
        Lake::open(&self.lake_dir(), self.seams()).await.unwrap()
    }

    pub(crate) async fn report(&self) -> TableReport {
        deep_report(&self.lake_dir()).await
    }

    /// Asserts that the table holds exactly the offsets `0..count` of each partition, once.
    pub(crate) async fn assert_rows(&self, count: u64, partitions: u64) {
        let report = self.report().await;
        let deep = report.deep.unwrap();
        assert_eq!(deep.duplicates_named, vec![]);
        let sum = (deep.rows, deep.duplicates, deep.missing, deep.surplus);
        assert_eq!(sum, (count * partitions, 0, 0, 0));
        assert_eq!((deep.beyond, deep.foreign), (0, 0));
    }

    /// Lists the files of one kind below the table, by name.
    pub(crate) fn files(&self, suffix: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        collect(&self.lake_dir(), suffix, &mut found);
        found.sort();
        found
    }
}

fn collect(dir: &Path, suffix: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, suffix, found);
        } else if path.to_string_lossy().ends_with(suffix) {
            found.push(path);
        }
    }
}

pub(crate) async fn deep_report(dir: &Path) -> TableReport {
    let audit = Audit::open(dir).await.unwrap();
    audit.tables_deep().await.unwrap().remove(0)
}

pub(crate) fn table() -> TableName {
    TableName::new("events").unwrap()
}

pub(crate) fn commit_settings() -> commit::Settings {
    commit::Settings::of(&config())
}

pub(crate) fn columns() -> Vec<Column> {
    vec![
        Column::new("event", ColumnType::String).unwrap().required(),
        Column::new("timestamp", ColumnType::Timestamptz).unwrap().required(),
        Column::new("n", ColumnType::Long).unwrap(),
        Column::new("properties", ColumnType::Json).unwrap(),
    ]
}

pub(crate) fn config() -> Config {
    let columns = Arc::new(Schema::new(columns()).unwrap());
    let partition_by = PartitionBy::Day("timestamp".to_owned());
    Config { partition_by, ..Config::new("events", columns) }
}

pub(crate) fn input(partition: u32) -> TopicPartition {
    TopicPartition::new(TopicName::new("events-clean").unwrap(), partition)
}

pub(crate) fn position(offset: u64) -> LogPosition {
    LogPosition {
        log: LogId(Uuid::from_u128(1)),
        topic: TopicId(Uuid::from_u128(2)),
        incarnation: Incarnation(0xabcd),
        offset: Offset(offset),
    }
}

/// An event of its offset, on one of two days.
pub(crate) fn event(offset: u64) -> String {
    let day = 20 + offset % 2;
    format!(
        r#"{{"event":"click","timestamp":"2026-11-{day}T10:11:12.345Z","n":{offset},"properties":{{"a":[1,"x"]}}}}"#
    )
}

pub(crate) fn batch(first: u64, events: &[String]) -> OffsetBatch {
    let mut records = RecordBatchBuilder::new();
    for event in events {
        let (value, headers) = (Some(event.as_bytes()), Headers::EMPTY);
        records.push(Record { timestamp: NOW, key: None, value, headers });
    }
    OffsetBatch { first: Offset(first), records: records.finish() }
}

/// Writes the events `from..to` of one partition.
pub(crate) async fn write(
    sink: &mut IcebergSink,
    partition: u32,
    from: u64,
    to: u64,
) -> Result<(), millstream_pipeline::sink::SinkError> {
    let events: Vec<String> = (from..to).map(event).collect();
    let cx = Context::background();
    sink.write(&cx, &input(partition), &batch(from, &events), position(to)).await
}

pub(crate) fn inputs(count: u32) -> Vec<TopicPartition> {
    (0..count).map(input).collect()
}

/// Returns the next offset of each of `count` partitions.
pub(crate) fn offsets(opened: &SinkOpened, count: u32) -> Vec<u64> {
    let next = |partition: &TopicPartition| {
        let found = opened.positions.iter().find(|position| position.partition == *partition);
        found.map_or(0, |position| position.next.offset.0)
    };
    inputs(count).iter().map(next).collect()
}
