//! The bytes of a snapshot; the reference is `docs/formats/snapshot.md`.
//!
//! ```text
//!   | "MSSTATE1" | head: len u32, crc32c u32, fields |
//!   | block: len u32 > 0, crc32c u32, entries | … | end: 0 u32, crc32c u32, entries u64 |
//!   an entry: | family u16 | key len u32 | value len u32 | flags u8 | due i64, if flag 1 | key | value |
//! ```
//!
//! Little-endian. Blocks are bounded, so that neither writing nor reading needs a second copy of
//! the state in memory.

use std::io;
use std::path::Path;

use millstream_model::{Incarnation, LogId, LogPosition, Offset, Timestamp, TopicId};
use millstream_runtime::DiskFile;
use uuid::Uuid;

use crate::batch::WriteBatch;
use crate::store::{Entry, FamilyId, Key, Label, StoreError};

pub(super) const MAGIC: &[u8; 8] = b"MSSTATE1";

/// A block is closed when it has grown to this.
const BLOCK_BYTES: usize = 256 << 10;

/// The largest block that is read: one that an entry of the largest size was put into.
const BLOCK_BYTES_MAX: usize = 64 << 20;

/// The largest head that is read.
const HEAD_BYTES_MAX: usize = 4096;

const FLAG_DUE: u8 = 1;

/// Writes a snapshot in order.
pub(super) struct Writer<'f> {
    file: &'f dyn DiskFile,
    at: u64,
    block: Vec<u8>,
    entries: u64,
}

impl<'f> Writer<'f> {
    pub(super) fn new(file: &'f dyn DiskFile) -> Self {
        Self { file, at: 0, block: Vec::with_capacity(BLOCK_BYTES * 2), entries: 0 }
    }

    pub(super) fn head(&mut self, position: &LogPosition, label: &Label) -> io::Result<()> {
        self.write(MAGIC)?;
        let mut head = Vec::new();
        head.extend_from_slice(position.log.0.as_bytes());
        head.extend_from_slice(position.topic.0.as_bytes());
        head.extend_from_slice(&label.partition.to_le_bytes());
        head.extend_from_slice(&position.incarnation.0.to_le_bytes());
        head.extend_from_slice(&position.offset.0.to_le_bytes());
        head.extend_from_slice(&label.written.as_millis().to_le_bytes());
        head.extend_from_slice(label.fingerprint.as_bytes());
        self.framed(&head)
    }

    pub(super) fn entry(&mut self, family: FamilyId, key: &Key, entry: &Entry) -> io::Result<()> {
        let block = &mut self.block;
        block.extend_from_slice(&family.0.to_le_bytes());
        block.extend_from_slice(&narrow(key.len()).to_le_bytes());
        block.extend_from_slice(&narrow(entry.value.len()).to_le_bytes());
        match entry.due {
            Some(due) => {
                block.push(FLAG_DUE);
                block.extend_from_slice(&due.as_millis().to_le_bytes());
            }
            None => block.push(0),
        }
        block.extend_from_slice(key);
        block.extend_from_slice(&entry.value);
        self.entries += 1;
        if self.block.len() >= BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    pub(super) fn finish(&mut self) -> io::Result<()> {
        if !self.block.is_empty() {
            self.flush()?;
        }
        let entries = self.entries.to_le_bytes();
        self.write(&0_u32.to_le_bytes())?;
        self.write(&crc32c::crc32c(&entries).to_le_bytes())?;
        self.write(&entries)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut block = std::mem::take(&mut self.block);
        self.framed(&block)?;
        block.clear();
        self.block = block;
        Ok(())
    }

    fn framed(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(&narrow(bytes.len()).to_le_bytes())?;
        self.write(&crc32c::crc32c(bytes).to_le_bytes())?;
        self.write(bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(())
    }
}

/// Reads a snapshot in order.
pub(super) struct Reader<'f> {
    file: &'f dyn DiskFile,
    path: &'f Path,
    at: u64,
    entries: u64,
    /// The last entry: what follows must lie behind it.
    last: Option<(FamilyId, Key)>,
}

impl<'f> Reader<'f> {
    pub(super) fn new(file: &'f dyn DiskFile, path: &'f Path) -> Self {
        Self { file, path, at: 0, entries: 0, last: None }
    }

    pub(super) fn head(&mut self) -> Result<(LogPosition, Label), StoreError> {
        if self.take(MAGIC.len())? != MAGIC {
            return Err(self.damaged("not a snapshot of a version that this program knows"));
        }
        let (len, crc) = self.frame()?;
        if len > HEAD_BYTES_MAX {
            return Err(self.damaged("head is too long"));
        }
        let head = self.checked(len, crc)?;
        let mut fields = Fields(&head);
        decode_head(&mut fields).ok_or_else(|| self.damaged("head is damaged"))
    }

    /// Returns the entries of the next block; `None` at the end.
    pub(super) fn entries(&mut self) -> Result<Option<WriteBatch>, StoreError> {
        let (len, crc) = self.frame()?;
        if len == 0 {
            return self.end(crc).map(|()| None);
        }
        if len > BLOCK_BYTES_MAX {
            return Err(self.damaged("block is too long"));
        }
        let block = self.checked(len, crc)?;
        let mut fields = Fields(&block);
        let mut batch = WriteBatch::new();
        while !fields.0.is_empty() {
            let Some((family, key, entry)) = decode_entry(&mut fields) else {
                return Err(self.damaged("entry is damaged"));
            };
            let place = (family, Key::clone(&key));
            if self.last.as_ref().is_some_and(|last| *last >= place) {
                return Err(self.damaged("entries are out of order"));
            }
            self.last = Some(place);
            self.entries += 1;
            batch.put(family, key, entry);
        }
        Ok(Some(batch))
    }

    fn end(&mut self, crc: u32) -> Result<(), StoreError> {
        let entries = self.checked(8, crc)?;
        if entries != self.entries.to_le_bytes() {
            return Err(self.damaged("entries are missing"));
        }
        let len = self.file.len().map_err(super::at(self.path))?;
        if len == self.at { Ok(()) } else { Err(self.damaged("file goes on behind its end")) }
    }

    fn frame(&mut self) -> Result<(usize, u32), StoreError> {
        let frame = self.take(8)?;
        let mut fields = Fields(&frame);
        let (Some(len), Some(crc)) = (fields.u32(), fields.u32()) else {
            return Err(self.damaged("frame is cut short"));
        };
        Ok((len as usize, crc))
    }

    fn checked(&mut self, len: usize, crc: u32) -> Result<Vec<u8>, StoreError> {
        let bytes = self.take(len)?;
        if crc32c::crc32c(&bytes) == crc {
            Ok(bytes)
        } else {
            Err(self.damaged("checksum does not match"))
        }
    }

    fn take(&mut self, len: usize) -> Result<Vec<u8>, StoreError> {
        // A length that the file cannot hold is not worth the memory.
        let file_len = self.file.len().map_err(super::at(self.path))?;
        if file_len.saturating_sub(self.at) < len as u64 {
            return Err(self.damaged("file is cut short"));
        }
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, self.at).map_err(super::at(self.path))?;
        self.at += len as u64;
        Ok(bytes)
    }

    fn damaged(&self, reason: &'static str) -> StoreError {
        StoreError::Damaged { path: self.path.to_owned(), at: self.at, reason }
    }
}

/// Takes fields from the front; `None` when the bytes end before.
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn bytes(&mut self, len: u32) -> Option<&'b [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len as usize)?;
        self.0 = rest;
        Some(bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn timestamp(&mut self) -> Option<Timestamp> {
        self.array().map(|bytes| Timestamp::from_millis(i64::from_le_bytes(bytes)))
    }
}

fn decode_head(fields: &mut Fields<'_>) -> Option<(LogPosition, Label)> {
    let log = LogId(Uuid::from_bytes(fields.array()?));
    let topic = TopicId(Uuid::from_bytes(fields.array()?));
    let partition = fields.u32()?;
    let incarnation = Incarnation(fields.u64()?);
    let offset = Offset(fields.u64()?);
    let written = fields.timestamp()?;
    let fingerprint = std::str::from_utf8(fields.0).ok()?.to_owned();
    let position = LogPosition { log, topic, incarnation, offset };
    Some((position, Label { partition, written, fingerprint }))
}

fn decode_entry(fields: &mut Fields<'_>) -> Option<(FamilyId, Key, Entry)> {
    let family = FamilyId(fields.array().map(u16::from_le_bytes)?);
    let (key_len, value_len) = (fields.u32()?, fields.u32()?);
    let due = match fields.array()? {
        [0] => None,
        [FLAG_DUE] => Some(fields.timestamp()?),
        _ => return None,
    };
    let key = fields.bytes(key_len)?.into();
    let value = fields.bytes(value_len)?.into();
    Some((family, key, Entry { value, due }))
}

/// Narrows a length that the limits of records bound.
fn narrow(len: usize) -> u32 {
    u32::try_from(len).expect("keys, values and blocks are far below 4 GiB")
}
