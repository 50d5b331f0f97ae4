//! Converts one JSON value to the type of a column.

use super::{ColumnType, Value};
use crate::datetime::{parse_date, parse_rfc3339};
use crate::event::raw::{LoneSurrogate, unescape};
use crate::event::{Kind, RawValue};

/// A converted value; texts are a range of the row's texts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell {
    Null,
    Text(usize, usize),
    Json(usize, usize),
    Boolean(bool),
    Int(i32),
    Long(i64),
    Double(f64),
    Timestamptz(i64),
    Date(i32),
}

impl Cell {
    pub(super) fn value(self, texts: &str) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Text(start, end) => Value::String(&texts[start..end]),
            Self::Json(start, end) => Value::Json(&texts[start..end]),
            Self::Boolean(value) => Value::Boolean(value),
            Self::Int(value) => Value::Int(value),
            Self::Long(value) => Value::Long(value),
            Self::Double(value) => Value::Double(value),
            Self::Timestamptz(micros) => Value::Timestamptz(micros),
            Self::Date(days) => Value::Date(days),
        }
    }
}

/// Converts `value`; texts are appended to `texts`. Null fits every type.
pub(super) fn convert(
    value: RawValue<'_>,
    column_type: ColumnType,
    texts: &mut String,
) -> Result<Cell, String> {
    let kind = value.kind();
    if kind == Kind::Null {
        return Ok(Cell::Null);
    }
    let start = texts.len();
    if column_type == ColumnType::Json {
        texts.push_str(value.text());
        return Ok(Cell::Json(start, texts.len()));
    }
    let expected = expected_kind(column_type);
    if kind != expected {
        return Err(format!(
            "is {}, {} needs {}",
            kind.as_str(),
            column_type.as_str(),
            expected.as_str()
        ));
    }
    match column_type {
        ColumnType::String => {
            push_text(value, texts).map_err(|error| error.to_string())?;
            Ok(Cell::Text(start, texts.len()))
        }
        ColumnType::Boolean => Ok(Cell::Boolean(value.text() == "true")),
        ColumnType::Int | ColumnType::Long | ColumnType::Double => number(value, column_type),
        ColumnType::Timestamptz => moment(value).map(Cell::Timestamptz),
        ColumnType::Date => date(value).map(Cell::Date),
        ColumnType::Json => unreachable!("handled above"),
    }
}

fn expected_kind(column_type: ColumnType) -> Kind {
    match column_type {
        ColumnType::String | ColumnType::Timestamptz | ColumnType::Date => Kind::String,
        ColumnType::Boolean => Kind::Boolean,
        ColumnType::Int | ColumnType::Long | ColumnType::Double => Kind::Number,
        ColumnType::Json => Kind::Object,
    }
}

fn number(value: RawValue<'_>, column_type: ColumnType) -> Result<Cell, String> {
    let cell = match column_type {
        ColumnType::Double => value.as_f64().map(Cell::Double),
        ColumnType::Long => value.as_i64().map(Cell::Long),
        _ => value.as_i64().and_then(|number| i32::try_from(number).ok()).map(Cell::Int),
    };
    cell.ok_or_else(|| match column_type {
        ColumnType::Double => "number is out of a double's range".to_owned(),
        _ => format!("number is not a whole number in the range of {}", column_type.as_str()),
    })
}

fn moment(value: RawValue<'_>) -> Result<i64, String> {
    let text = value.string_body().unwrap_or_default();
    // No form of a timestamp needs an escape.
    let moment =
        parse_rfc3339(text).ok_or("is not an RFC 3339 timestamp; use the step `timestamp`")?;
    Ok(moment.as_micros())
}

fn date(value: RawValue<'_>) -> Result<i32, String> {
    let text = value.string_body().unwrap_or_default();
    parse_date(text).ok_or_else(|| "is not a date YYYY-MM-DD".to_owned())
}

fn push_text(value: RawValue<'_>, texts: &mut String) -> Result<(), LoneSurrogate> {
    let body = value.string_body().unwrap_or_default();
    if memchr::memchr(b'\\', body.as_bytes()).is_none() {
        texts.push_str(body);
        return Ok(());
    }
    unescape(body, texts)
}
