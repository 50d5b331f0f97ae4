//! Query answers as a table for people.

use std::fmt::Write as _;

use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::Rows;

/// The widest column; longer values are cut and end in an ellipsis.
const WIDTH_MAX: usize = 60;

impl Rows {
    /// Returns the first `rows_max` rows as an aligned table, and a line that counts them.
    pub fn to_text(&self, rows_max: usize) -> String {
        let mut table = vec![self.schema.fields().iter().map(|f| cell(f.name())).collect()];
        table.extend(self.text_rows(rows_max));
        let widths: Vec<usize> = (0..self.schema.fields().len())
            .map(|column| table.iter().map(|row| width(&row[column])).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for (number, row) in table.iter().enumerate() {
            self.push_row(&mut text, row, &widths);
            if number == 0 {
                let rules: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
                text.push_str(&rules.join("  "));
                text.push('\n');
            }
        }
        let (shown, all) = (table.len() - 1, self.len());
        let counted = match (shown, all) {
            (_, 1) => "1 row".to_owned(),
            (shown, all) if shown < all => format!("{shown} of {all} rows"),
            (_, all) => format!("{all} rows"),
        };
        text.push_str(&counted);
        text.push('\n');
        text
    }

    fn text_rows(&self, rows_max: usize) -> Vec<Vec<String>> {
        let mut rows = Vec::new();
        for batch in &self.batches {
            let formatters: Vec<_> = batch
                .columns()
                .iter()
                .map(|column| {
                    let options = options_of(column.data_type());
                    ArrayFormatter::try_new(column.as_ref(), &options).ok()
                })
                .collect();
            for row in 0..batch.num_rows() {
                if rows.len() == rows_max {
                    return rows;
                }
                let texts = formatters.iter().map(|formatter| match formatter {
                    Some(formatter) => cell(&formatter.value(row).to_string()),
                    None => "?".to_owned(),
                });
                rows.push(texts.collect());
            }
        }
        rows
    }

    fn push_row(&self, text: &mut String, row: &[String], widths: &[usize]) {
        let start = text.len();
        for (column, (value, wide)) in row.iter().zip(widths).enumerate() {
            if column > 0 {
                text.push_str("  ");
            }
            let padding = wide - width(value);
            let written = match is_number(self.schema.field(column).data_type()) {
                true => write!(text, "{}{value}", " ".repeat(padding)),
                false => write!(text, "{value}{}", " ".repeat(padding)),
            };
            written.expect("writing to a string cannot fail");
        }
        let end = text[start..].trim_end().len();
        text.truncate(start + end);
        text.push('\n');
    }
}

/// Says how values of a type are shown: all times to the millisecond, so that they have one width.
fn options_of(data_type: &DataType) -> FormatOptions<'static> {
    let is_utc = |zone: &str| matches!(zone, "UTC" | "Z" | "+00:00");
    let zoned = match data_type {
        DataType::Timestamp(_, Some(zone)) if is_utc(zone) => "%Y-%m-%dT%H:%M:%S%.3fZ",
        _ => "%Y-%m-%dT%H:%M:%S%.3f%:z",
    };
    FormatOptions::new()
        .with_null("")
        .with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.3f"))
        .with_timestamp_tz_format(Some(zoned))
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Makes a value fit one line: control characters shown, long text cut.
fn cell(text: &str) -> String {
    let shown: String = text
        .chars()
        .take(WIDTH_MAX + 1)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if width(&shown) <= WIDTH_MAX {
        return shown;
    }
    shown.chars().take(WIDTH_MAX - 1).chain(['…']).collect()
}
