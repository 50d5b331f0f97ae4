//! The section `sinks`: from a topic to a table.

use std::sync::Arc;
use std::time::Duration;

use millstream_lake::{PartitionBy, TableName};
use millstream_model::TopicName;
use millstream_pipeline::{Column, ColumnType, Path, Schema, sink};

use super::pipelines::{check_name, renamed_from};
use super::problem::did_you_mean;
use super::section::{Field, OutOfRange, decode};
use super::source::{Located, Span};
use super::value::{Fields, Value};

/// One sink.
#[derive(Debug, Clone)]
pub(crate) struct SinkSpec {
    /// Its name; part of its tasks' ids, so that its positions stay with it.
    pub(crate) name: Located<String>,
    /// What it was called before: its positions stand under that name.
    pub(crate) renamed_from: Option<Located<String>>,
    /// The topic it reads.
    pub(crate) from: Located<TopicName>,
    /// The table it fills.
    pub(crate) table: Located<TableName>,
    /// How the table's rows are laid out in files.
    pub(crate) partition_by: Option<Located<PartitionBy>>,
    /// How its files and metadata are kept; name, layout and columns are those of this struct.
    pub(crate) files: Files,
    /// How often it commits.
    pub(crate) worker: sink::Config,
    /// Where `commit_interval` stands; the sink's name when it is not set.
    pub(crate) commit_interval_at: Span,
    /// The columns of the table; `None` when they have problems of their own.
    pub(crate) schema: Option<Arc<Schema>>,
    /// Where each column stands in the file.
    pub(crate) columns: Vec<Located<Column>>,
}

/// How the files and the metadata of a table are kept.
#[derive(Debug, Clone)]
pub(crate) struct Files(millstream_lake::Config);

impl Default for Files {
    fn default() -> Self {
        let column = Column::new("placeholder", ColumnType::String).expect("a word is a path");
        let schema = Schema::new(vec![column]).expect("one column is a schema");
        Self(millstream_lake::Config::new("placeholder", Arc::new(schema)))
    }
}

impl SinkSpec {
    /// Returns the age from which rows that wait for their commit are refused.
    pub(crate) fn commit_age_max(&self) -> Duration {
        self.files.0.commit_age_max()
    }

    /// Returns the configuration of the sink's table; `None` when its columns have problems.
    pub(crate) fn table_config(&self) -> Option<millstream_lake::Config> {
        let partition_by = self.partition_by.as_ref().map(|by| by.value.clone());
        Some(millstream_lake::Config {
            table: self.table.value.to_string(),
            partition_by: partition_by.unwrap_or_default(),
            columns: Arc::clone(self.schema.as_ref()?),
            ..self.files.0.clone()
        })
    }
}

/// The keys that say how files are kept.
pub(crate) const FILES_FIELDS: &[Field<Files>] = &[
    Field { key: "file_bytes_max", apply: |c, v| v.byte_size().map(|it| c.0.file_bytes_max = it) },
    Field { key: "snapshots_max", apply: |c, v| v.integer().map(|it| c.0.snapshots_max = it) },
    Field { key: "manifests_max", apply: |c, v| v.integer().map(|it| c.0.manifests_max = it) },
    Field { key: "stage_max", apply: |c, v| v.duration().map(|it| c.0.stage_max = it) },
];

/// The keys that say how often a sink commits.
pub(crate) const WORKER_FIELDS: &[Field<sink::Config>] = &[
    Field { key: "commit_interval", apply: |c, v| v.duration().map(|it| c.commit_interval = it) },
    Field {
        key: "commit_bytes_max",
        apply: |c, v| v.byte_size().map(|it| c.commit_bytes_max = it),
    },
    Field { key: "commit_rows_max", apply: |c, v| v.integer().map(|it| c.commit_rows_max = it) },
    Field { key: "batch_bytes_max", apply: |c, v| v.byte_size().map(|it| c.batch_bytes_max = it) },
    Field { key: "commit_time_max", apply: |c, v| v.duration().map(|it| c.commit_time_max = it) },
    Field { key: "drain_timeout", apply: |c, v| v.duration().map(|it| c.drain_timeout = it) },
];

fn validate_worker(config: &sink::Config) -> Result<(), OutOfRange> {
    config.validate().map_err(|error| OutOfRange::allowed(error.key, error.reason))
}

fn validate_files(files: &Files) -> Result<(), OutOfRange> {
    files.0.validate().map_err(|error| match &error {
        millstream_lake::ConfigError::Range { key, range, .. } => OutOfRange::allowed(key, range),
        _ => OutOfRange::new("", &error),
    })
}

/// Decodes the section.
pub(crate) fn sinks(value: &Value<'_>) -> Option<Vec<SinkSpec>> {
    let named = value.named()?;
    Some(named.into_iter().filter_map(|(name, value)| sink(name, &value)).collect())
}

fn sink(name: Located<String>, value: &Value<'_>) -> Option<SinkSpec> {
    check_name(&name, value);
    let mut fields = value.fields()?;
    let renamed_from = renamed_from(&mut fields, &name);
    let from = fields.need("from").and_then(|value| value.topic());
    let table = fields.need("table").and_then(|value| table(&value));
    let partition_by = fields.take("partition_by").and_then(|value| partition_by(&value));
    let files = decode(&mut fields, FILES_FIELDS, validate_files);
    let worker = decode(&mut fields, WORKER_FIELDS, validate_worker);
    let commit_interval_at = value.place_of("commit_interval");
    let columns_value = fields.need("columns");
    let columns = columns_value.as_ref().and_then(columns);
    fields.finish();

    let columns = columns.unwrap_or_default();
    let schema = columns_value.as_ref().and_then(|value| schema(value, &columns));
    let (from, table) = (from?, table?);
    Some(SinkSpec {
        name,
        renamed_from,
        from,
        table,
        partition_by,
        files,
        worker,
        commit_interval_at,
        schema,
        columns,
    })
}

fn table(value: &Value<'_>) -> Option<Located<TableName>> {
    let text = value.text()?;
    match TableName::new(&text.value) {
        Ok(name) => Some(text.with(name)),
        Err(error) => {
            value.problem(error.to_string());
            None
        }
    }
}

/// Decodes `day(<column>)`, `hour(<column>)` or `none`.
fn partition_by(value: &Value<'_>) -> Option<Located<PartitionBy>> {
    let text = value.text()?;
    match text.value.parse::<PartitionBy>() {
        Ok(by) => Some(text.with(by)),
        Err(error) => {
            value
                .problem_with_hint(error.to_string(), "for example `partition_by: day(timestamp)`");
            None
        }
    }
}

fn columns(value: &Value<'_>) -> Option<Vec<Located<Column>>> {
    let items = value.items()?;
    let mut columns: Vec<Located<Column>> = Vec::new();
    for item in &items {
        let Some(column) = column(item) else { continue };
        let same = |known: &&Located<Column>| known.value.name.eq_ignore_ascii_case(&column.name);
        if let Some(known) = columns.iter().find(same) {
            let hint = format!("the first one is {}; names differ in more than case", known.path);
            item.problem_with_hint(format!("column `{}` stands twice", column.name), hint);
            continue;
        }
        columns.push(item.located(column));
    }
    // A table with some of its columns left out would be another table.
    (columns.len() == items.len()).then_some(columns)
}

fn column(value: &Value<'_>) -> Option<Column> {
    let mut fields = value.fields()?;
    let name = fields.need("name").and_then(|value| value.text());
    let column_type = fields.need("type").and_then(|value| column_type(&value));
    let required = fields.take("required").map(|value| value.boolean());
    let path = fields.take("path").map(|value| path(&value));
    let at_name = default_path(&name, path.is_some(), &fields);
    fields.finish();
    let column = Column {
        name: name?.value,
        column_type: column_type?,
        required: required.unwrap_or(Some(false))?,
        path: path.unwrap_or(at_name)?,
    };
    match Schema::new(vec![column.clone()]) {
        Ok(_) => Some(column),
        Err(error) => {
            value.problem(error.to_string());
            None
        }
    }
}

/// Returns the path of a column that names none: its own name.
fn default_path(
    name: &Option<Located<String>>,
    has_path: bool,
    fields: &Fields<'_>,
) -> Option<Path> {
    let name = name.as_ref().filter(|_| !has_path)?;
    match Path::parse(&name.value) {
        Ok(path) => Some(path),
        Err(error) => {
            fields.problem(error.to_string());
            None
        }
    }
}

/// Decodes the path of a field.
pub(super) fn path(value: &Value<'_>) -> Option<Path> {
    let text = value.text()?;
    match Path::parse(&text.value) {
        Ok(path) => Some(path),
        Err(error) => {
            value.problem(error.to_string());
            None
        }
    }
}

fn column_type(value: &Value<'_>) -> Option<ColumnType> {
    let text = value.text()?;
    let found = ColumnType::from_name(&text.value);
    if found.is_none() {
        let names = ColumnType::ALL.map(ColumnType::as_str);
        let message = format!("`{}` is not a column type: {}", text.value, names.join(", "));
        value.problem_with_hint(message, did_you_mean(&text.value, &names));
    }
    found
}

fn schema(value: &Value<'_>, columns: &[Located<Column>]) -> Option<Arc<Schema>> {
    if columns.is_empty() {
        if value.items().is_some_and(|items| items.is_empty()) {
            value.problem("a table has at least one column");
        }
        return None;
    }
    match Schema::new(columns.iter().map(|column| column.value.clone()).collect()) {
        Ok(schema) => Some(Arc::new(schema)),
        Err(error) => {
            value.problem(error.to_string());
            None
        }
    }
}
