//! Ranges into the record, the overlay, or the names of keys that were written with escapes.

use std::ops::Range;

/// A text that borrows from nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::event) struct Text {
    start: u32,
    end: u32,
    pub(super) source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Record,
    Overlay,
    Names,
}

impl Text {
    #[inline]
    pub(super) fn new(source: Source, range: &Range<usize>) -> Self {
        let fit = |at| u32::try_from(at).expect("events and overlays are far below 4 GiB");
        Self { start: fit(range.start), end: fit(range.end), source }
    }

    pub(in crate::event) fn in_overlay(range: &Range<usize>) -> Self {
        Self::new(Source::Overlay, range)
    }

    /// Returns the text within its quotes.
    pub(super) fn unquoted(self) -> Self {
        Self { start: self.start + 1, end: self.end - 1, ..self }
    }

    #[inline]
    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}
