//! Offsets: where a record stands in its partition.

use std::fmt;

/// The place of a record in its partition.
///
/// Offsets of a partition only grow and are never reused (L2). They may have gaps on Kafka
/// (control records, compaction); the embedded journal has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub u64);

impl Offset {
    /// The first offset a partition ever had.
    pub const ZERO: Self = Self(0);

    /// Returns the offset `count` records later.
    ///
    /// # Panics
    /// When a partition would hold more than 2^64 records.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.checked_add(count).expect("a partition never holds 2^64 records"))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A run of offsets, `end` exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetRange {
    start: Offset,
    end: Offset,
}

impl OffsetRange {
    /// Builds the range `start..end`.
    ///
    /// # Panics
    /// When `end` lies before `start` (L2).
    pub fn new(start: Offset, end: Offset) -> Self {
        assert!(start <= end, "L2: {start} > {end}");
        Self { start, end }
    }

    /// Returns the first offset.
    pub fn start(self) -> Offset {
        self.start
    }

    /// Returns the offset after the last.
    pub fn end(self) -> Offset {
        self.end
    }

    /// Returns how many offsets the range spans.
    pub fn len(self) -> u64 {
        self.end.0 - self.start.0
    }

    /// Returns whether the range spans nothing.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}
