//! Moments in UTC: reading the usual forms of a time, and writing ISO 8601.
//!
//! The calendar is the proleptic Gregorian one, years 0000 to 9999. The parsers read bytes at
//! fixed places and never allocate; [`forms`] tries them in turn.
//!
//! A leap second (`23:59:60` UTC, and nothing else with second 60) is read as the first moment of
//! the next day, as POSIX time has it.

mod civil;
pub mod forms;
mod iso;
mod rfc2822;

pub use civil::Moment;
pub use iso::{parse_date, parse_rfc3339};

#[cfg(test)]
mod tests;
