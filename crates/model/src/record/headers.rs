//! Record headers, kept encoded so that passing them on is one copy.

use std::fmt;

/// The encoded headers of one record, borrowed.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    count: u16,
}

impl<'a> Headers<'a> {
    /// No headers.
    pub const EMPTY: Headers<'static> = Headers { bytes: &[], count: 0 };

    pub(super) fn from_encoded(bytes: &'a [u8], count: u16) -> Self {
        Self { bytes, count }
    }

    pub(super) fn encoded(self) -> &'a [u8] {
        self.bytes
    }

    /// Returns the number of headers.
    pub fn len(self) -> u16 {
        self.count
    }

    /// Returns whether there are none.
    pub fn is_empty(self) -> bool {
        self.count == 0
    }

    /// Returns the value of the first header called `name`.
    pub fn get(self, name: &str) -> Option<&'a [u8]> {
        self.iter().find(|(found, _)| *found == name).map(|(_, value)| value)
    }

    /// Iterates over names and values in the order they were written.
    pub fn iter(self) -> HeadersIter<'a> {
        HeadersIter { rest: self.bytes }
    }

    /// Tells whether walking the bytes yields exactly the claimed headers with UTF-8 names.
    pub(super) fn is_well_formed(self) -> bool {
        let mut iter = self.iter();
        let found = iter.by_ref().count();
        iter.rest.is_empty() && found == usize::from(self.count)
    }
}

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries = self.iter().map(|(name, value)| (name, String::from_utf8_lossy(value)));
        f.debug_map().entries(entries).finish()
    }
}

/// The headers of a record, in order.
#[derive(Debug, Clone)]
pub struct HeadersIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name_len, rest) = self.rest.split_first_chunk::<2>()?;
        let (value_len, rest) = rest.split_first_chunk::<4>()?;
        let (name, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*name_len)))?;
        let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*value_len) as usize)?;
        let name = std::str::from_utf8(name).ok()?;
        self.rest = rest;
        Some((name, value))
    }
}

/// Collects headers into their encoded form.
#[derive(Debug, Clone, Default)]
pub struct HeadersBuilder {
    bytes: Vec<u8>,
    count: u16,
}

impl HeadersBuilder {
    /// Starts with no headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a header; names are not unique.
    ///
    /// # Panics
    /// When the name exceeds 64 KiB, the value 4 GiB, or there are over 65,535 headers: header
    /// names are ours and values are bounded by the collector.
    #[must_use]
    pub fn with(mut self, name: &str, value: &[u8]) -> Self {
        self.push(name, value);
        self
    }

    /// Adds a header in place; see [`HeadersBuilder::with`].
    ///
    /// # Panics
    /// As [`HeadersBuilder::with`].
    pub fn push(&mut self, name: &str, value: &[u8]) {
        let name_len = u16::try_from(name.len()).expect("header names are below 64 KiB");
        let value_len = u32::try_from(value.len()).expect("header values are below 4 GiB");
        self.count = self.count.checked_add(1).expect("a record has at most 65,535 headers");
        self.bytes.extend_from_slice(&name_len.to_le_bytes());
        self.bytes.extend_from_slice(&value_len.to_le_bytes());
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(value);
    }

    /// Adds every header of `headers`.
    ///
    /// # Panics
    /// When there would be over 65,535 headers.
    pub fn extend(&mut self, headers: Headers<'_>) {
        let sum = self.count.checked_add(headers.count);
        self.count = sum.expect("a record has at most 65,535 headers");
        self.bytes.extend_from_slice(headers.bytes);
    }

    /// Returns the headers, borrowed.
    pub fn as_headers(&self) -> Headers<'_> {
        Headers { bytes: &self.bytes, count: self.count }
    }
}
