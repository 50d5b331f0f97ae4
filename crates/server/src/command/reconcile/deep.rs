//! `reconcile --deep`: reads the tables themselves. No row twice, and as many as were counted.

use millstream_lake::audit::{DeepReport, TableReport};
use millstream_lake::{Audit, LakeError};
use millstream_model::Classify as _;
use serde::Serialize;

use crate::accounting::Books;
use crate::data_dir::DataDir;
use crate::exit::Failure;
use crate::flow::Flow;

/// What `reconcile` prints for machines.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    /// The books.
    #[serde(flatten)]
    pub(super) books: &'a Books,
    /// What the tables hold; only with `--deep`.
    #[serde(skip_serializing_if = "<[TableAudit]>::is_empty")]
    pub(super) tables: &'a [TableAudit],
}

/// What one table holds.
#[derive(Debug, Serialize)]
pub(super) struct TableAudit {
    table: String,
    /// Rows that its commits count.
    counted: u64,
    /// Rows that were read.
    rows: u64,
    /// Rows beyond the first with one origin.
    duplicates: u64,
    /// The first of them, as `<topic>/<partition>/<offset>`.
    duplicates_named: Vec<String>,
    /// Rows whose origin no sink has read yet.
    beyond: u64,
    /// Rows that are counted, and neither there nor removed by others.
    missing: u64,
    /// Rows that are there, once, and not counted.
    surplus: u64,
    /// Rows that others added since the table began.
    added_by_others: u64,
    /// Rows that others removed since the table began.
    removed_by_others: u64,
}

/// Reads every table; what is wrong goes into the books.
pub(super) async fn audit(data: &DataDir, books: &mut Books) -> Result<Vec<TableAudit>, Failure> {
    let lake = Flow::lake_of(data).map_err(|error| Failure::io(error, "read flow.json"))?;
    let reports = async { Audit::open(&lake).await?.tables_deep().await };
    let reports = match reports.await {
        Ok(reports) => reports,
        Err(LakeError::NoLake { .. }) => Vec::new(),
        Err(error) => return Err(Failure::classified(error.class(), error)),
    };
    let audits: Vec<TableAudit> = reports.iter().map(TableAudit::of).collect();
    let faults: Vec<String> = audits.iter().flat_map(TableAudit::faults).collect();
    books.balanced &= faults.is_empty();
    books.faults.extend(faults);
    Ok(audits)
}

impl TableAudit {
    fn of(report: &TableReport) -> Self {
        let DeepReport { rows, duplicates, duplicates_named, beyond, missing, surplus, .. } =
            report.deep.clone().unwrap_or_default();
        let named = duplicates_named.iter();
        let named = named.map(|row| format!("{}/{}/{}", row.topic, row.partition, row.offset));
        Self {
            table: report.table.to_string(),
            counted: report.positions.rows(),
            rows,
            duplicates,
            duplicates_named: named.collect(),
            beyond,
            missing,
            surplus,
            added_by_others: report.others.added,
            removed_by_others: report.others.removed,
        }
    }

    fn faults(&self) -> Vec<String> {
        let Self { table, duplicates, beyond, missing, surplus, .. } = self;
        let mut faults = Vec::new();
        if *duplicates > 0 {
            let named = self.duplicates_named.join(", ");
            faults.push(format!("table {table}: {duplicates} rows stand twice: {named}"));
        }
        if *beyond > 0 {
            faults.push(format!("table {table}: {beyond} rows lie beyond what its sink has read"));
        }
        if *missing > 0 {
            faults.push(format!("table {table}: {missing} rows are counted and not there"));
        }
        if *surplus > 0 {
            faults.push(format!("table {table}: {surplus} rows are there and not counted"));
        }
        faults
    }

    /// Returns one line for people.
    pub(super) fn text(&self) -> String {
        let Self { table, rows, counted, duplicates, missing, .. } = self;
        let mut line = format!(
            "table {table}: {rows} rows read, {counted} counted, {duplicates} twice, {missing} missing"
        );
        if self.added_by_others > 0 || self.removed_by_others > 0 {
            let (added, removed) = (self.added_by_others, self.removed_by_others);
            line.push_str(&format!("; others added {added} and removed {removed}"));
        }
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests;
