//! Schemas: the typed columns of a table, and how an event fits into them.
//!
//! One schema serves two places, so that they cannot disagree. The processor checks each event
//! against the schema of the sink behind its output topic (the last step, `schema`), and the sink
//! reads the values out of the events it stores ([`RowReader`]) with the same conversion.
//!
//! What fits a column is strict, so that a table holds what was sent: a string column takes
//! strings only, a number is never parsed out of a string (that is what the step `cast` is for).

mod convert;
mod row;

use thiserror::Error;

use crate::event::{Path, PathError};

pub use row::{RowReader, Value};

/// The most columns of a schema.
pub const COLUMNS_MAX: usize = 1000;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// A JSON string.
    String,
    /// `true` or `false`.
    Boolean,
    /// A whole number of 32 bits, written without fraction and exponent.
    Int,
    /// A whole number of 64 bits, written without fraction and exponent.
    Long,
    /// Any JSON number in a double's range.
    Double,
    /// A string in RFC 3339; stored as microseconds since 1970-01-01T00:00:00Z.
    Timestamptz,
    /// A string `YYYY-MM-DD`; stored as days since 1970-01-01.
    Date,
    /// Any JSON value; stored as its text.
    Json,
}

impl ColumnType {
    /// Every type, in the order of the reference.
    pub const ALL: [Self; 8] = [
        Self::String,
        Self::Boolean,
        Self::Int,
        Self::Long,
        Self::Double,
        Self::Timestamptz,
        Self::Date,
        Self::Json,
    ];

    /// Returns the name used in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Double => "double",
            Self::Timestamptz => "timestamptz",
            Self::Date => "date",
            Self::Json => "json",
        }
    }

    /// Returns the type called `name` in configuration.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column_type| column_type.as_str() == name)
    }
}

/// A column: where its value stands in an event, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The name in the table.
    pub name: String,
    /// The type in the table.
    pub column_type: ColumnType,
    /// Whether an event without it (or with null) is refused.
    pub required: bool,
    /// Where the value stands in an event.
    pub path: Path,
}

impl Column {
    /// Builds an optional column whose value stands under its own name.
    pub fn new(name: &str, column_type: ColumnType) -> Result<Self, PathError> {
        Ok(Self { name: name.to_owned(), column_type, required: false, path: Path::parse(name)? })
    }

    /// Makes the column required.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Takes the value from `path` instead.
    #[must_use]
    pub fn at(mut self, path: Path) -> Self {
        self.path = path;
        self
    }
}

/// The columns of a table, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Invariant: 1 to [`COLUMNS_MAX`], names differ also when case is ignored.
    columns: Vec<Column>,
}

/// Columns that make no schema.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SchemaError {
    /// There are none, or too many.
    #[error("a schema has 1 to {COLUMNS_MAX} columns, not {0}")]
    Count(usize),
    /// Two columns have one name.
    #[error("column `{0}` occurs twice (names differ in more than case)")]
    Duplicate(String),
    /// A name is empty or begins with the prefix kept for our own columns.
    #[error("column `{0}`: a name is not empty and does not begin with `_ms_`")]
    Name(String),
}

/// Why an event does not fit a schema.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason}")]
pub struct Misfit {
    /// The path of the field at fault; `None` when the event as a whole is.
    pub field: Option<String>,
    /// What is wrong, for people.
    pub reason: String,
}

impl Schema {
    /// Checks and takes columns.
    pub fn new(columns: Vec<Column>) -> Result<Self, SchemaError> {
        if !(1..=COLUMNS_MAX).contains(&columns.len()) {
            return Err(SchemaError::Count(columns.len()));
        }
        let mut names = std::collections::BTreeSet::new();
        for column in &columns {
            if column.name.is_empty() || column.name.starts_with("_ms_") {
                return Err(SchemaError::Name(column.name.clone()));
            }
            if !names.insert(column.name.to_lowercase()) {
                return Err(SchemaError::Duplicate(column.name.clone()));
            }
        }
        Ok(Self { columns })
    }

    /// Returns the columns in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Returns the place of the column called `name`.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

#[cfg(test)]
mod tests;
