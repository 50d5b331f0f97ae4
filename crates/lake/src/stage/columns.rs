//! Arrow columns that rows are pushed into.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int32Builder, Int64Builder,
    RecordBatch, StringBuilder, TimestampMicrosecondBuilder, new_null_array,
};
use arrow::datatypes::{DataType, SchemaRef};
use iceberg::arrow::schema_to_arrow_schema;
use iceberg::{Error, ErrorKind};
use millstream_model::{Offset, PartitionId};
use millstream_pipeline::schema::Value;

use crate::schema::{Layout, Source};

/// Where a row comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: PartitionId,
}

/// One set of columns, in the table's order.
#[derive(Debug)]
pub(super) struct Columns {
    schema: SchemaRef,
    columns: Vec<(Source, Column)>,
    rows: usize,
    bytes: usize,
}

#[derive(Debug)]
enum Column {
    String(StringBuilder),
    Boolean(BooleanBuilder),
    Int(Int32Builder),
    Long(Int64Builder),
    Double(Float64Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Date(Date32Builder),
    /// A column that we do not fill, of any type.
    Null(DataType),
}

impl Columns {
    pub(super) fn new(layout: &Layout) -> iceberg::Result<Self> {
        let schema = Arc::new(schema_to_arrow_schema(&layout.schema)?);
        let columns = schema.fields().iter().zip(&layout.sources);
        let columns =
            columns.map(|(field, source)| (*source, Column::new(*source, field.data_type())));
        Ok(Self { columns: columns.collect(), schema, rows: 0, bytes: 0 })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds one row: the values of the configuration's columns, and where it comes from.
    pub(super) fn push(&mut self, values: &[Value<'_>], origin: Origin<'_>, offset: Offset) {
        for (source, column) in &mut self.columns {
            self.bytes += match source {
                Source::Column(place) => column.push(values[*place]),
                Source::Topic => column.push(Value::String(origin.topic)),
                Source::Partition => column.push(Value::Int(narrow(origin.partition))),
                Source::Offset => column.push(Value::Long(signed(offset))),
                Source::Absent => 0,
            };
        }
        self.rows += 1;
    }

    /// Takes the rows out as one batch.
    pub(super) fn finish(&mut self) -> iceberg::Result<RecordBatch> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let arrays = self.columns.iter_mut().map(|(_, column)| column.finish(rows)).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
            .map_err(|error| Error::new(ErrorKind::Unexpected, "build rows").with_source(error))
    }
}

/// Kafka's partitions are 32-bit signed, and so is the column.
fn narrow(partition: PartitionId) -> i32 {
    i32::try_from(partition.0).expect("partition numbers stay below 2^31")
}

fn signed(offset: Offset) -> i64 {
    i64::try_from(offset.0).expect("offsets stay below 2^63")
}

impl Column {
    fn new(source: Source, data_type: &DataType) -> Self {
        if source == Source::Absent {
            return Self::Null(data_type.clone());
        }
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int32 => Self::Int(Int32Builder::new()),
            DataType::Int64 => Self::Long(Int64Builder::new()),
            DataType::Float64 => Self::Double(Float64Builder::new()),
            DataType::Date32 => Self::Date(Date32Builder::new()),
            DataType::Timestamp(..) => {
                let builder = TimestampMicrosecondBuilder::new();
                Self::Timestamp(builder.with_data_type(data_type.clone()))
            }
            // The layout was made from the types that the configuration knows.
            _ => Self::String(StringBuilder::new()),
        }
    }

    /// Adds one value; returns its bytes.
    fn push(&mut self, value: Value<'_>) -> usize {
        match (self, value) {
            (Self::String(column), Value::String(text) | Value::Json(text)) => {
                column.append_value(text);
                return text.len();
            }
            (Self::Boolean(column), Value::Boolean(value)) => column.append_value(value),
            (Self::Int(column), Value::Int(value)) => column.append_value(value),
            (Self::Long(column), Value::Long(value)) => column.append_value(value),
            (Self::Double(column), Value::Double(value)) => column.append_value(value),
            (Self::Timestamp(column), Value::Timestamptz(value)) => column.append_value(value),
            (Self::Date(column), Value::Date(value)) => column.append_value(value),
            (column, Value::Null) => column.push_null(),
            (column, value) => unreachable!("{value:?} for {column:?}: the layout was checked"),
        }
        8
    }

    fn push_null(&mut self) {
        match self {
            Self::String(column) => column.append_null(),
            Self::Boolean(column) => column.append_null(),
            Self::Int(column) => column.append_null(),
            Self::Long(column) => column.append_null(),
            Self::Double(column) => column.append_null(),
            Self::Timestamp(column) => column.append_null(),
            Self::Date(column) => column.append_null(),
            Self::Null(_) => {}
        }
    }

    fn finish(&mut self, rows: usize) -> ArrayRef {
        match self {
            Self::String(column) => Arc::new(column.finish()),
            Self::Boolean(column) => Arc::new(column.finish()),
            Self::Int(column) => Arc::new(column.finish()),
            Self::Long(column) => Arc::new(column.finish()),
            Self::Double(column) => Arc::new(column.finish()),
            Self::Timestamp(column) => Arc::new(column.finish()),
            Self::Date(column) => Arc::new(column.finish()),
            Self::Null(data_type) => new_null_array(data_type, rows),
        }
    }
}
