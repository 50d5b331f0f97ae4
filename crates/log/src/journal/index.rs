//! The index of a segment: where the records of each partition stand.
//!
//! In memory while the segment is written; afterwards a file beside it, read piecewise:
//!
//! ```text
//!  +---------+-----------------------------+------------------------------------+
//!  | head    | directory: per partition    | entries, by partition and offset   |
//!  | 64 B    | offsets, where its entries  | base, position, count, bytes, crc  |
//!  |         | stand; 44 B each            | 28 B each                          |
//!  +---------+-----------------------------+------------------------------------+
//! ```
//!
//! The file is a copy of what the segment says: it is written after the segment is durable, so
//! it never leads (L4), and when it is missing or damaged it is built again.

use std::collections::BTreeMap;

use millstream_model::{Incarnation, Offset, Timestamp};

use super::change::Section;
use super::codec::{PartitionKey, Put, Take};

const MAGIC: u32 = 0x494a_534d;
const VERSION: u8 = 1;

/// The bytes of the head of an index file.
pub(super) const HEAD_BYTES: usize = 64;
const DIRECTORY_ENTRY_BYTES: usize = 44;
/// The bytes of one entry.
pub(super) const ENTRY_BYTES: usize = 28;

/// Where the records of one section stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// The offset of the first record.
    pub base: Offset,
    /// Where the bytes begin in the segment.
    pub position: u64,
    pub count: u32,
    pub bytes: u32,
    pub crc: u32,
}

impl Entry {
    /// Returns the offset after the last record.
    pub(super) fn end(&self) -> Offset {
        self.base.plus(u64::from(self.count))
    }

    /// Returns where the bytes end in the segment.
    pub(super) fn position_end(&self) -> u64 {
        self.position + u64::from(self.bytes)
    }
}

/// Facts about a whole segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Summary {
    pub number: u64,
    pub incarnation: Incarnation,
    /// Where the segment ends.
    pub end: u64,
    /// When its last frame was written.
    pub time_last: Timestamp,
}

/// The index of a segment, in memory.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryIndex {
    partitions: BTreeMap<PartitionKey, Vec<Entry>>,
    entries: usize,
}

impl MemoryIndex {
    /// Adds the sections of a frame whose body begins at `body_at`.
    pub(super) fn add(&mut self, sections: &[Section], body_at: u64) {
        let mut position = body_at;
        for section in sections {
            let Section { key, base, count, bytes, crc } = *section;
            let entry = Entry { base, position, count, bytes, crc };
            self.partitions.entry(key).or_default().push(entry);
            self.entries += 1;
            position += u64::from(bytes);
        }
    }

    /// Returns the number of entries.
    pub(super) fn len(&self) -> usize {
        self.entries
    }

    /// Returns the offsets of a partition in this segment.
    pub(super) fn range(&self, key: PartitionKey) -> Option<(Offset, Offset)> {
        let entries = self.partitions.get(&key)?;
        Some((entries.first()?.base, entries.last()?.end()))
    }

    /// Returns every partition with its offsets.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (PartitionKey, Offset, Offset)> {
        self.partitions
            .iter()
            .filter_map(|(key, entries)| Some((*key, entries.first()?.base, entries.last()?.end())))
    }

    /// Returns up to `count_max` entries from the one that holds `offset` on.
    pub(super) fn entries_from(
        &self,
        key: PartitionKey,
        offset: Offset,
        count_max: usize,
    ) -> Vec<Entry> {
        let Some(entries) = self.partitions.get(&key) else { return Vec::new() };
        let from = entries.partition_point(|entry| entry.end() <= offset);
        entries[from..].iter().take(count_max).copied().collect()
    }

    /// Returns the directory that a file of this index has.
    pub(super) fn directory(&self, summary: Summary) -> Directory {
        let mut position = (HEAD_BYTES + self.partitions.len() * DIRECTORY_ENTRY_BYTES) as u64;
        let mut partitions = BTreeMap::new();
        for (key, entries) in &self.partitions {
            let (Some(first), Some(last)) = (entries.first(), entries.last()) else { continue };
            let crc = crc32c::crc32c(&encode_entries(entries));
            let count = entries.len() as u64;
            let listed = Listed { start: first.base, end: last.end(), position, count, crc };
            partitions.insert(*key, listed);
            position += count * ENTRY_BYTES as u64;
        }
        Directory { summary, partitions }
    }

    /// Encodes the index as a file.
    pub(super) fn encode(&self, summary: Summary) -> Vec<u8> {
        let directory = self.directory(summary);
        let mut buf = directory.encode();
        for entries in self.partitions.values() {
            buf.extend_from_slice(&encode_entries(entries));
        }
        buf
    }
}

fn encode_entries(entries: &[Entry]) -> Vec<u8> {
    let mut buf = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for entry in entries {
        buf.put_u64(entry.base.0);
        buf.put_u64(entry.position);
        buf.put_u32(entry.count);
        buf.put_u32(entry.bytes);
        buf.put_u32(entry.crc);
    }
    buf
}

/// Decodes entries that stand back to back; `None` when they contradict each other.
pub(super) fn decode_entries(bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut take = Take(bytes);
    let mut entries: Vec<Entry> = Vec::with_capacity(bytes.len() / ENTRY_BYTES);
    while !take.0.is_empty() {
        let entry = Entry {
            base: take.offset()?,
            position: take.u64()?,
            count: take.u32()?,
            bytes: take.u32()?,
            crc: take.u32()?,
        };
        entry.base.0.checked_add(u64::from(entry.count))?;
        entry.position.checked_add(u64::from(entry.bytes))?;
        if entry.count == 0 || entries.last().is_some_and(|last| last.end() > entry.base) {
            return None;
        }
        entries.push(entry);
    }
    Some(entries)
}

/// One partition in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    pub start: Offset,
    pub end: Offset,
    /// Where its entries begin in the index file.
    pub position: u64,
    /// How many there are.
    pub count: u64,
    /// The CRC32C of all of them.
    pub crc: u32,
}

/// The first part of an index file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directory {
    pub summary: Summary,
    pub partitions: BTreeMap<PartitionKey, Listed>,
}

impl Directory {
    fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.partitions.len() * DIRECTORY_ENTRY_BYTES);
        for (key, listed) in &self.partitions {
            body.put_key(*key);
            body.put_u64(listed.start.0);
            body.put_u64(listed.end.0);
            body.put_u64(listed.position);
            body.put_u64(listed.count);
            body.put_u32(listed.crc);
        }
        let mut buf = Vec::with_capacity(HEAD_BYTES + body.len());
        buf.put_u32(MAGIC);
        buf.put_u32(0);
        buf.put_u8(VERSION);
        buf.put(&[0; 3]);
        buf.put_count(self.partitions.len());
        buf.put_u64(self.summary.number);
        buf.put_u64(self.summary.incarnation.0);
        buf.put_u64(self.summary.end);
        buf.put_time(self.summary.time_last);
        buf.put(&[0; 16]);
        debug_assert_eq!(buf.len(), HEAD_BYTES);
        buf.extend_from_slice(&body);
        let crc = crc32c::crc32c(&buf[8..]);
        buf[4..8].copy_from_slice(&crc.to_le_bytes());
        buf
    }

    /// Returns the bytes of the directory that a file with this head has.
    pub(super) fn bytes_len(head: &[u8]) -> Option<usize> {
        let mut take = Take(head);
        if take.u32()? != MAGIC {
            return None;
        }
        take.u32()?;
        if take.u8()? != VERSION {
            return None;
        }
        take.bytes(3)?;
        (take.u32()? as usize).checked_mul(DIRECTORY_ENTRY_BYTES)?.checked_add(HEAD_BYTES)
    }

    /// Decodes head and directory; `None` when they are damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let len = Self::bytes_len(bytes)?;
        let bytes = bytes.get(..len)?;
        let mut take = Take(bytes);
        take.u32()?;
        if crc32c::crc32c(&bytes[8..]) != take.u32()? {
            return None;
        }
        take.bytes(4)?;
        let count = take.u32()?;
        let summary = Summary {
            number: take.u64()?,
            incarnation: take.incarnation()?,
            end: take.u64()?,
            time_last: take.time()?,
        };
        take.bytes(16)?;
        let mut partitions = BTreeMap::new();
        for _ in 0..count {
            let key = take.key()?;
            let listed = Listed {
                start: take.offset()?,
                end: take.offset()?,
                position: take.u64()?,
                count: take.u64()?,
                crc: take.u32()?,
            };
            let fits = listed.start < listed.end && listed.count > 0;
            if !fits || partitions.insert(key, listed).is_some() {
                return None;
            }
        }
        take.end()?;
        Some(Self { summary, partitions })
    }
}

#[cfg(test)]
mod tests;
