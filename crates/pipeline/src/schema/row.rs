//! Reads the typed values of a row out of an event.

use std::sync::Arc;

use super::convert::{Cell, convert};
use super::{Column, ColumnType, Misfit, Schema};
use crate::event::{Event, EventBuffers, Kind, Limits};

/// A typed value of one column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// The value is missing or null.
    Null,
    /// A string, unescaped.
    String(&'a str),
    /// A boolean.
    Boolean(bool),
    /// A 32-bit whole number.
    Int(i32),
    /// A 64-bit whole number.
    Long(i64),
    /// A finite double.
    Double(f64),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamptz(i64),
    /// Days since 1970-01-01.
    Date(i32),
    /// JSON text.
    Json(&'a str),
}

/// Reads events as rows of one schema; its buffers are used again for the next row.
///
/// A row is converted as a whole before its first value is handed out, so that a misfit never
/// leaves half a row in the caller's arrays.
#[derive(Debug)]
pub struct RowReader {
    schema: Arc<Schema>,
    buffers: EventBuffers,
    limits: Limits,
    cells: Vec<Cell>,
    /// The texts of string and JSON cells, back to back.
    texts: String,
}

impl RowReader {
    /// Reads rows of `schema`.
    pub fn new(schema: Arc<Schema>) -> Self {
        let cells = Vec::with_capacity(schema.columns().len());
        let buffers = EventBuffers::new();
        Self { schema, buffers, limits: Limits::default(), cells, texts: String::new() }
    }

    /// Converts the event in `json`; its values are there until the next call.
    ///
    /// The iterator yields exactly one value per column, in the schema's order.
    pub fn read<'s>(
        &'s mut self,
        json: &[u8],
    ) -> Result<impl ExactSizeIterator<Item = Value<'s>> + use<'s>, Misfit> {
        self.cells.clear();
        self.texts.clear();
        let mut event = self
            .buffers
            .read(json, self.limits)
            .map_err(|malformed| Misfit { field: None, reason: malformed.to_string() })?;
        for column in self.schema.columns() {
            self.cells.push(cell(&mut event, column, &mut self.texts)?);
        }
        let texts = self.texts.as_str();
        Ok(self.cells.iter().map(|cell| cell.value(texts)))
    }
}

impl Schema {
    /// Checks that `event` fits; says which field does not, and why.
    pub fn check(&self, event: &mut Event<'_>, texts: &mut String) -> Result<(), Misfit> {
        for column in self.columns() {
            // Any value fits: what it says need not be written out.
            let is_any = column.column_type == ColumnType::Json;
            if is_any && matches!(event.kind(&column.path), Ok(Some(kind)) if kind != Kind::Null) {
                continue;
            }
            texts.clear();
            cell(event, column, texts)?;
        }
        Ok(())
    }
}

fn cell(event: &mut Event<'_>, column: &Column, texts: &mut String) -> Result<Cell, Misfit> {
    let misfit = |reason: String| Misfit { field: Some(column.path.as_str().to_owned()), reason };
    let value = event.get(&column.path).map_err(|malformed| misfit(malformed.to_string()))?;
    let cell = match value {
        Some(value) => convert(value, column.column_type, texts).map_err(misfit)?,
        None => Cell::Null,
    };
    if column.required && matches!(cell, Cell::Null) {
        let reason = format!("column `{}` requires a value", column.name);
        return Err(misfit(reason));
    }
    Ok(cell)
}
