//! Builds a record batch in its encoded form, values written in place.

use bytes::Bytes;

use super::{Headers, NONE, RECORD_BYTES_MAX, RECORD_OVERHEAD_BYTES, Record, RecordBatch};
use crate::Timestamp;

/// Collects records into a batch.
#[derive(Debug, Default)]
pub struct RecordBatchBuilder {
    bytes: Vec<u8>,
    count: u32,
}

impl RecordBatchBuilder {
    /// Starts an empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts an empty batch with room for `bytes` encoded bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), count: 0 }
    }

    /// Returns the number of records so far.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Returns whether there are no records yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the encoded size so far, in bytes.
    pub fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a record.
    ///
    /// # Panics
    /// When the record exceeds [`RECORD_BYTES_MAX`]; callers refuse long before.
    pub fn push(&mut self, record: Record<'_>) {
        let Record { timestamp, key, value, headers } = record;
        match value {
            Some(value) => {
                self.push_with(timestamp, key, headers, |buf| buf.extend_from_slice(value));
            }
            None => self.push_parts(timestamp, key, headers, None::<fn(&mut Vec<u8>)>),
        }
    }

    /// Adds a record whose value `write` appends to the batch's own buffer: no copy in between.
    ///
    /// `write` must only append.
    ///
    /// # Panics
    /// When the record exceeds [`RECORD_BYTES_MAX`]; callers refuse long before.
    pub fn push_with(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        headers: Headers<'_>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        self.push_parts(timestamp, key, headers, Some(write));
    }

    fn push_parts(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        headers: Headers<'_>,
        write: Option<impl FnOnce(&mut Vec<u8>)>,
    ) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; RECORD_OVERHEAD_BYTES]);
        self.bytes.extend_from_slice(key.unwrap_or_default());
        let value_at = self.bytes.len();
        let has_value = write.is_some();
        if let Some(write) = write {
            write(&mut self.bytes);
        }
        let value_len = self.bytes.len() - value_at;
        self.bytes.extend_from_slice(headers.encoded());

        let length = self.bytes.len() - at - 4;
        assert!(length <= RECORD_BYTES_MAX, "record of {length} bytes passes every limit");
        let head = &mut self.bytes[at..at + RECORD_OVERHEAD_BYTES];
        head[..4].copy_from_slice(&fit(length).to_le_bytes());
        head[4..12].copy_from_slice(&timestamp.as_millis().to_le_bytes());
        head[12..16].copy_from_slice(&key.map_or(NONE, |key| fit(key.len())).to_le_bytes());
        let value_len = if has_value { fit(value_len) } else { NONE };
        head[16..20].copy_from_slice(&value_len.to_le_bytes());
        head[20..22].copy_from_slice(&headers.len().to_le_bytes());
        self.count += 1;
    }

    /// Adds every record of `batch`, bytes unchanged.
    pub fn extend(&mut self, batch: &RecordBatch) {
        self.bytes.extend_from_slice(batch.as_bytes());
        self.count += batch.len();
    }

    /// Ends the batch.
    pub fn finish(self) -> RecordBatch {
        RecordBatch { bytes: Bytes::from(self.bytes), count: self.count }
    }
}

/// Narrows a length that the record limit bounds.
fn fit(length: usize) -> u32 {
    u32::try_from(length).expect("bounded by RECORD_BYTES_MAX")
}
