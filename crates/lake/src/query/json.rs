//! Query answers as JSON for programs.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::{Map, Number, Value};

use super::Rows;

impl Rows {
    /// Returns an array of objects, one a row; times are ISO 8601, what JSON cannot say is text.
    pub fn to_json(&self) -> Value {
        let mut rows: Vec<Map<String, Value>> = Vec::with_capacity(self.len());
        for batch in &self.batches {
            let first = rows.len();
            rows.resize_with(first + batch.num_rows(), Map::new);
            for (field, column) in self.schema.fields().iter().zip(batch.columns()) {
                let values = values(column.as_ref());
                for (row, value) in rows[first..].iter_mut().zip(values) {
                    row.insert(field.name().clone(), value);
                }
            }
        }
        Value::Array(rows.into_iter().map(Value::Object).collect())
    }
}

fn values(column: &dyn Array) -> Vec<Value> {
    let options = FormatOptions::new();
    let formatter = ArrayFormatter::try_new(column, &options).ok();
    let value = |row: usize| {
        if column.is_null(row) {
            return Value::Null;
        }
        let text = || match &formatter {
            Some(formatter) => formatter.value(row).to_string(),
            None => "?".to_owned(),
        };
        match column.data_type() {
            DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
            DataType::Float32 => float(f64::from(column.as_primitive::<Float32Type>().value(row))),
            DataType::Float64 => float(column.as_primitive::<Float64Type>().value(row)),
            data_type if data_type.is_integer() => {
                // An integer's text is a JSON number by definition.
                text().parse().map_or(Value::Null, Value::Number)
            }
            _ => Value::String(text()),
        }
    };
    (0..column.len()).map(value).collect()
}

/// JSON has no infinities and no NaN.
fn float(value: f64) -> Value {
    Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number)
}

#[cfg(test)]
mod tests;
