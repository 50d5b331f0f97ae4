//! The six classes of error that callers act on.
//!
//! Retrying, dead-lettering and status codes look only at the class, never at a message or at a
//! concrete variant: each error type of each crate answers [`Classify::class`].

use std::fmt;

/// Tells a caller what to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The same call may succeed later: back off and try again (or reopen).
    Transient,
    /// A bound was reached: slow down, answer 503, wait for room.
    Overloaded,
    /// The input is wrong and stays wrong: dead-letter it, answer 400, never retry.
    Invalid,
    /// Stored data contradicts itself: stop, a person must look.
    Corrupt,
    /// The caller gave up: deadline or cancellation.
    Cancelled,
    /// A broken invariant of ours.
    Bug,
}

impl ErrorClass {
    /// Returns the lower-case name used in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Overloaded => "overloaded",
            Self::Invalid => "invalid",
            Self::Corrupt => "corrupt",
            Self::Cancelled => "cancelled",
            Self::Bug => "bug",
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error that knows its [`ErrorClass`].
pub trait Classify {
    /// Returns the class that decides what the caller does next.
    fn class(&self) -> ErrorClass;
}
