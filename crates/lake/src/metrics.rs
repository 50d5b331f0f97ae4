//! The metrics of tables. Every name stands here, with unit and help text.

use std::time::Duration;

use metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use crate::TableName;

const COMMITS: &str = "millstream_lake_commits_total";
const COMMIT_SECONDS: &str = "millstream_lake_commit_duration_seconds";
const CONFLICTS: &str = "millstream_lake_commit_conflicts_total";
const FILES: &str = "millstream_lake_data_files_total";
const BYTES: &str = "millstream_lake_data_bytes_total";
const ROWS: &str = "millstream_lake_rows_total";
const REJECTED: &str = "millstream_lake_rejected_records_total";
const SNAPSHOTS: &str = "millstream_lake_snapshots";
const ORPHANS: &str = "millstream_lake_orphan_files_removed_total";
const UNFINISHED: &str = "millstream_lake_unfinished_files_removed_total";

/// Registers the help texts.
pub fn describe() {
    describe_counter!(COMMITS, Unit::Count, "Commits that a fresh load of the table showed");
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "Time of a commit, files closed included");
    describe_counter!(CONFLICTS, Unit::Count, "Commits rebuilt because another writer won");
    describe_counter!(FILES, Unit::Count, "Data files committed");
    describe_counter!(BYTES, Unit::Bytes, "Bytes of data files committed");
    describe_counter!(ROWS, Unit::Count, "Rows committed");
    describe_counter!(REJECTED, Unit::Count, "Records that did not fit the table");
    describe_gauge!(SNAPSHOTS, Unit::Count, "Snapshots the table keeps");
    describe_counter!(ORPHANS, Unit::Count, "Files removed that no version named");
    describe_counter!(UNFINISHED, Unit::Count, "Files removed because writing them failed");
}

/// What one commit brought.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) duration: Duration,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
    pub(crate) rejected: u64,
    pub(crate) conflicts: u32,
    pub(crate) snapshots: u64,
}

impl Commit {
    pub(crate) fn record(&self, table: &TableName) {
        let table = table.to_string();
        counter!(COMMITS, "table" => table.clone()).increment(1);
        histogram!(COMMIT_SECONDS, "table" => table.clone()).record(self.duration.as_secs_f64());
        counter!(CONFLICTS, "table" => table.clone()).increment(u64::from(self.conflicts));
        counter!(FILES, "table" => table.clone()).increment(self.files);
        counter!(BYTES, "table" => table.clone()).increment(self.bytes);
        counter!(ROWS, "table" => table.clone()).increment(self.rows);
        counter!(REJECTED, "table" => table.clone()).increment(self.rejected);
        #[expect(clippy::cast_precision_loss, reason = "a table keeps at most thousands")]
        gauge!(SNAPSHOTS, "table" => table).set(self.snapshots as f64);
    }
}

pub(crate) fn removed_orphans(table: &TableName, files: u64) {
    counter!(ORPHANS, "table" => table.to_string()).increment(files);
}

pub(crate) fn removed_unfinished() {
    counter!(UNFINISHED).increment(1);
}
