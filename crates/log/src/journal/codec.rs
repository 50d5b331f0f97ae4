//! Little-endian integers and strings, written to and read from byte strings.
//!
//! Reading never panics: whatever the bytes are, a field that does not fit is `None`.

use millstream_model::{
    Incarnation, Offset, PartitionId, SourceId, TaskId, Timestamp, TopicId, TopicName,
};
use uuid::Uuid;

/// One partition by the numbers that frames use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct PartitionKey {
    /// The topic's number within this journal.
    pub topic: u32,
    /// The partition of it.
    pub partition: PartitionId,
}

/// Appends fields to a byte string.
pub(super) trait Put {
    fn put(&mut self, bytes: &[u8]);

    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }
    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }
    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }
    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }
    fn put_time(&mut self, value: Timestamp) {
        self.put(&value.as_millis().to_le_bytes());
    }
    fn put_key(&mut self, key: PartitionKey) {
        self.put_u32(key.topic);
        self.put_u32(key.partition.0);
    }
    /// Writes a count; every list in a frame is bounded far below 2^32.
    fn put_count(&mut self, count: usize) {
        self.put_u32(u32::try_from(count).expect("lists in frames are bounded by Config"));
    }
    /// Writes a name with its length; names are at most 249 bytes.
    fn put_name(&mut self, name: &str) {
        self.put_u16(u16::try_from(name.len()).expect("names are at most 249 bytes"));
        self.put(name.as_bytes());
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Reads fields off the front of a byte string.
#[derive(Debug, Clone, Copy)]
pub(super) struct Take<'a>(pub &'a [u8]);

impl<'a> Take<'a> {
    pub(super) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(front)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*front)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|bytes| bytes[0])
    }
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }
    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
    pub(super) fn uuid(&mut self) -> Option<Uuid> {
        self.array().map(Uuid::from_bytes)
    }
    pub(super) fn topic_id(&mut self) -> Option<TopicId> {
        self.uuid().map(TopicId)
    }
    pub(super) fn time(&mut self) -> Option<Timestamp> {
        self.array().map(|bytes| Timestamp::from_millis(i64::from_le_bytes(bytes)))
    }
    pub(super) fn offset(&mut self) -> Option<Offset> {
        self.u64().map(Offset)
    }
    pub(super) fn incarnation(&mut self) -> Option<Incarnation> {
        self.u64().map(Incarnation)
    }
    pub(super) fn key(&mut self) -> Option<PartitionKey> {
        Some(PartitionKey { topic: self.u32()?, partition: PartitionId(self.u32()?) })
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = usize::from(self.u16()?);
        std::str::from_utf8(self.bytes(len)?).ok()
    }
    pub(super) fn topic_name(&mut self) -> Option<TopicName> {
        TopicName::new(self.text()?).ok()
    }
    pub(super) fn task_id(&mut self) -> Option<TaskId> {
        TaskId::new(self.text()?).ok()
    }
    /// Reads a task name or nothing, which is written as an empty name.
    pub(super) fn optional_task_id(&mut self) -> Option<Option<TaskId>> {
        match self.text()? {
            "" => Some(None),
            name => TaskId::new(name).ok().map(Some),
        }
    }
    pub(super) fn source_id(&mut self) -> Option<SourceId> {
        SourceId::new(self.text()?).ok()
    }

    /// Reads a list: its count, then each item. Allocates only for items that are there.
    pub(super) fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = self.u32()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(item(self)?);
        }
        Some(items)
    }

    /// Succeeds when everything was read.
    pub(super) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}
