//! The schema of a table: made from the configuration, checked against a table that exists, and
//! extended by optional columns when the configuration has new ones.
//!
//! Every table also has three columns of ours, optional so that others can insert rows without
//! them: `_ms_source` (topic), `_ms_partition` and `_ms_offset` of the record a row came from.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::spec::{
    NestedField, PartitionSpecRef, PrimitiveType, Schema as TableSchema, SchemaRef, TableMetadata,
    Transform, Type, UnboundPartitionSpec,
};
use millstream_pipeline::schema::{ColumnType, Schema};

use crate::config::{Config, PartitionBy};
use crate::{LakeError, TableName};

/// The topic a row's record was read from.
pub const SOURCE_COLUMN: &str = "_ms_source";
/// The partition of that topic.
pub const PARTITION_COLUMN: &str = "_ms_partition";
/// The record's offset.
pub const OFFSET_COLUMN: &str = "_ms_offset";

const OURS: [(&str, PrimitiveType); 3] = [
    (SOURCE_COLUMN, PrimitiveType::String),
    (PARTITION_COLUMN, PrimitiveType::Int),
    (OFFSET_COLUMN, PrimitiveType::Long),
];

/// Where the value of a table's column comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The column of that place in the configuration.
    Column(usize),
    /// The record's topic.
    Topic,
    /// The record's partition.
    Partition,
    /// The record's offset.
    Offset,
    /// Nothing of ours: null.
    Absent,
}

/// How rows become files of one table version.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) location: String,
    pub(crate) schema: SchemaRef,
    pub(crate) spec: PartitionSpecRef,
    /// For each column of the table, in order.
    pub(crate) sources: Vec<Source>,
    /// The place in the configuration of the column that decides the partition.
    pub(crate) partition_column: Option<usize>,
    pub(crate) unit: Unit,
}

/// The width of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    None,
    Day,
    Hour,
}

/// What a table needs before rows of a configuration fit.
#[derive(Debug)]
pub(crate) enum Fit {
    /// Nothing.
    Fits(Box<Layout>),
    /// More columns: the schema to evolve to.
    Extend(Box<TableSchema>),
}

/// Returns the schema and partitioning of a new table.
pub(crate) fn create(
    table: &TableName,
    config: &Config,
) -> Result<(TableSchema, UnboundPartitionSpec), LakeError> {
    let mut fields: Vec<(String, PrimitiveType, bool)> = Vec::new();
    for column in config.columns.columns() {
        fields.push((column.name.clone(), primitive(column.column_type), column.required));
    }
    for (name, primitive) in OURS {
        fields.push((name.to_owned(), primitive, false));
    }
    let fields = (1..).zip(fields).map(|(id, (name, primitive, required))| {
        Arc::new(NestedField::new(id, name, Type::Primitive(primitive), required))
    });
    let schema = TableSchema::builder().with_fields(fields).build();
    let schema = schema.map_err(LakeError::table("build schema", table))?;
    let spec = partition_spec(config, &schema);
    Ok((schema, spec.map_err(LakeError::table("build partitioning", table))?))
}

fn partition_spec(config: &Config, schema: &TableSchema) -> iceberg::Result<UnboundPartitionSpec> {
    let builder = UnboundPartitionSpec::builder();
    let (column, transform, suffix) = match &config.partition_by {
        PartitionBy::None => return Ok(builder.build()),
        PartitionBy::Day(column) => (column, Transform::Day, "day"),
        PartitionBy::Hour(column) => (column, Transform::Hour, "hour"),
    };
    let id = schema.field_id_by_name(column).ok_or_else(|| {
        let reason = format!("partition column {column} is not in the schema");
        iceberg::Error::new(iceberg::ErrorKind::DataInvalid, reason)
    })?;
    Ok(builder.add_partition_field(id, format!("{column}_{suffix}"), transform)?.build())
}

/// Compares a table with the configuration.
pub(crate) fn fit(
    table: &TableName,
    config: &Config,
    metadata: &TableMetadata,
) -> Result<Fit, LakeError> {
    let mismatch = |reason| LakeError::Mismatch { table: table.clone(), reason };
    let schema = metadata.current_schema();
    let mut missing: Vec<(String, PrimitiveType)> = Vec::new();
    for column in config.columns.columns() {
        let primitive = primitive(column.column_type);
        let Some(field) = schema.field_by_name(&column.name) else {
            if column.required {
                return Err(mismatch(format!(
                    "column `{}` is not in the table and required; rows that are there have no \
                     value for it: make it optional",
                    column.name
                )));
            }
            missing.push((column.name.clone(), primitive));
            continue;
        };
        let expected = Type::Primitive(primitive);
        if *field.field_type != expected {
            return Err(mismatch(format!(
                "column `{}` has type {} in the table, {expected} in the configuration; use \
                 another column name or another table",
                column.name, field.field_type
            )));
        }
        if field.required && !column.required {
            return Err(mismatch(format!(
                "column `{}` is required in the table; make it `required: true`",
                column.name
            )));
        }
    }
    for (name, primitive) in OURS {
        match schema.field_by_name(name) {
            None => missing.push((name.to_owned(), primitive)),
            Some(field) if *field.field_type == Type::Primitive(primitive) => {}
            Some(field) => {
                let reason = format!("our column `{name}` has type {} there", field.field_type);
                return Err(mismatch(reason));
            }
        }
    }
    check_partitioning(config, metadata).map_err(mismatch)?;
    if missing.is_empty() {
        let layout = layout(config, metadata).map_err(mismatch)?;
        return Ok(Fit::Fits(Box::new(layout)));
    }
    let extended = extend(metadata, missing);
    Ok(Fit::Extend(Box::new(extended.map_err(LakeError::table("extend schema", table))?)))
}

fn check_partitioning(config: &Config, metadata: &TableMetadata) -> Result<(), String> {
    let spec = metadata.default_partition_spec();
    let expected = partition_spec(config, metadata.current_schema());
    let expected = expected.map_err(|error| error.to_string())?;
    let found = spec.fields().iter().map(|field| (field.source_id, field.transform));
    let wanted = expected.fields().iter().map(|field| (field.source_id, field.transform));
    if found.eq(wanted) {
        return Ok(());
    }
    Err(format!(
        "it is partitioned by [{}], the configuration says `partition_by: {}`; the partitioning \
         of a table does not change: use that one, or another table",
        spec.fields().iter().map(|field| field.name.as_str()).collect::<Vec<_>>().join(", "),
        config.partition_by
    ))
}

/// Adds optional columns at the end; ids continue those ever given out.
fn extend(
    metadata: &TableMetadata,
    missing: Vec<(String, PrimitiveType)>,
) -> iceberg::Result<TableSchema> {
    let schema = metadata.current_schema();
    let mut fields = schema.as_struct().fields().to_vec();
    let ids = metadata.last_column_id() + 1..;
    for (id, (name, primitive)) in ids.zip(missing) {
        fields.push(Arc::new(NestedField::optional(id, name, Type::Primitive(primitive))));
    }
    TableSchema::builder()
        .with_schema_id(schema.schema_id() + 1)
        .with_identifier_field_ids(schema.identifier_field_ids())
        .with_fields(fields)
        .build()
}

fn layout(config: &Config, metadata: &TableMetadata) -> Result<Layout, String> {
    let columns: HashMap<&str, usize> = names(&config.columns);
    let schema = metadata.current_schema();
    let mut sources = Vec::new();
    for field in schema.as_struct().fields() {
        sources.push(match (columns.get(field.name.as_str()), field.name.as_str()) {
            (Some(place), _) => Source::Column(*place),
            (None, SOURCE_COLUMN) => Source::Topic,
            (None, PARTITION_COLUMN) => Source::Partition,
            (None, OFFSET_COLUMN) => Source::Offset,
            (None, _) if !field.required && field.field_type.is_primitive() => Source::Absent,
            (None, name) => {
                return Err(format!(
                    "the table's column `{name}` is required or nested and the configuration \
                     does not fill it"
                ));
            }
        });
    }
    let unit = match config.partition_by {
        PartitionBy::None => Unit::None,
        PartitionBy::Day(_) => Unit::Day,
        PartitionBy::Hour(_) => Unit::Hour,
    };
    Ok(Layout {
        location: metadata.location().to_owned(),
        schema: Arc::clone(schema),
        spec: Arc::clone(metadata.default_partition_spec()),
        sources,
        partition_column: config
            .partition_by
            .column()
            .and_then(|name| config.columns.index_of(name)),
        unit,
    })
}

fn names(columns: &Schema) -> HashMap<&str, usize> {
    columns.columns().iter().enumerate().map(|(place, c)| (c.name.as_str(), place)).collect()
}

fn primitive(column_type: ColumnType) -> PrimitiveType {
    match column_type {
        // JSON text: format version 2 has no type of its own for it.
        ColumnType::String | ColumnType::Json => PrimitiveType::String,
        ColumnType::Boolean => PrimitiveType::Boolean,
        ColumnType::Int => PrimitiveType::Int,
        ColumnType::Long => PrimitiveType::Long,
        ColumnType::Double => PrimitiveType::Double,
        ColumnType::Timestamptz => PrimitiveType::Timestamptz,
        ColumnType::Date => PrimitiveType::Date,
    }
}
