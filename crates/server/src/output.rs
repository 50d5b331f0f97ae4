//! What commands print: data on stdout, talk on stderr.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use chrono::{DateTime, SecondsFormat, Utc};
use millstream_model::Timestamp;
use serde::Serialize;

use crate::exit::Failure;

/// The widest cell of a table; longer text is cut with `…`.
const CELL_CHARS_MAX: usize = 60;

/// Whether somebody still reads stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Somebody does.
    There,
    /// The reader went away (`| head`).
    Gone,
}

/// Writes text to stdout. A reader that went away is no failure.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    print_to(text).map(|_whoever_reads| ())
}

/// Writes text to stdout and tells whether somebody reads on.
pub(crate) fn print_to(text: &str) -> Result<Audience, Failure> {
    let written = io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
    match written {
        Ok(()) => Ok(Audience::There),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Audience::Gone),
        Err(error) => Err(Failure::io(error, "write to standard output")),
    }
}

/// Writes one value as one line of JSON to stdout.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut line = serde_json::to_string(value)
        .map_err(|error| Failure::new(crate::exit::Code::Bug, error))?;
    line.push('\n');
    print(&line)
}

/// Says something to people, on stderr.
pub(crate) fn say(text: &str) {
    // Chatter that nobody reads is not worth failing for.
    drop(writeln!(io::stderr(), "{text}"));
}

/// Writes a time as RFC 3339 has it, to the millisecond, in UTC.
pub(crate) fn utc(time: Timestamp) -> String {
    let time = DateTime::<Utc>::from_timestamp_millis(time.as_millis()).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Lays rows out in columns, numbers to the right.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    let mut numeric = vec![!rows.is_empty(); headings.len()];
    for row in rows {
        for (column, cell) in row.iter().enumerate().take(widths.len()) {
            widths[column] = widths[column].max(cell.chars().count().min(CELL_CHARS_MAX));
            numeric[column] &= cell.is_empty() || cell.parse::<f64>().is_ok();
        }
    }
    let mut out = String::new();
    let headings: Vec<String> = headings.iter().map(ToString::to_string).collect();
    let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
    for row in [&headings, &rule].into_iter().chain(rows) {
        push_row(&mut out, row, &widths, &numeric);
    }
    out
}

fn push_row(out: &mut String, row: &[String], widths: &[usize], numeric: &[bool]) {
    let mut line = String::new();
    for ((cell, width), numeric) in row.iter().zip(widths).zip(numeric) {
        let cell = cut(cell);
        let written = if *numeric {
            write!(line, "{cell:>width$}  ")
        } else {
            write!(line, "{cell:<width$}  ")
        };
        written.expect("writing to a string does not fail");
    }
    out.push_str(line.trim_end());
    out.push('\n');
}

/// Tells whether a table would cut this cell.
pub(crate) fn is_cut(cell: &str) -> bool {
    cell.chars().nth(CELL_CHARS_MAX).is_some()
}

/// Cuts a cell and keeps it on one line.
fn cut(cell: &str) -> String {
    one_line(cell, CELL_CHARS_MAX)
}

/// Keeps a text on one line, without what a terminal would obey, and cuts it with `…`.
pub(crate) fn one_line(text: &str, chars_max: usize) -> String {
    let mut line: String = text.chars().take(chars_max).map(visible).collect();
    if text.chars().nth(chars_max).is_some() {
        line.pop();
        line.push('…');
    }
    line
}

fn visible(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// Writes a number with a thin gap between thousands, as in `12 345`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// Writes milliseconds as people say them: `0 s`, `250 ms`, `12.3 s`, `4 m 5 s`, `3 h 20 m`.
pub(crate) fn seconds(millis: u64) -> String {
    let (s, m, h) = (millis / 1_000, millis / 60_000, millis / 3_600_000);
    match millis {
        0 => "0 s".to_owned(),
        1..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{s}.{} s", millis % 1_000 / 100),
        60_000..3_600_000 => format!("{m} m {} s", s % 60),
        3_600_000..172_800_000 => format!("{h} h {} m", m % 60),
        _ => format!("{} d {} h", h / 24, h % 24),
    }
}

#[cfg(test)]
mod tests;
