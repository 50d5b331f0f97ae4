//! What one transaction wrote, format version 1; `docs/formats/positions.md` is the reference.
//!
//! Every transaction ends with such a record, under the key `<task>/` of the positions topic. Kafka
//! can end a transaction in some partitions with *commit* and in others with *abort*
//! (`docs/decisions/0019`); whoever opens the task next finds out by this list, and with it what is
//! missing.

use bytes::Bytes;
use millstream_model::TopicPartition;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::identity::{self, GroupOffset};
use super::record::{Malformed, Rest, VERSION};
use crate::ffi::partition_list::set_leader_epoch;
use crate::names::{Names, number};

/// The flag of a transaction that completes one that was committed in part.
const OWED: u8 = 1;

/// Stands for an offset or an epoch that there is not.
const NONE: i64 = -1;

/// What a transaction wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Whether it completes a transaction of which a part is committed: aborted, it is owed still.
    pub(crate) is_owed: bool,
    /// The records, but for the one that holds this.
    pub(crate) written: Vec<Written>,
    /// The offsets of each group.
    pub(crate) moved: Vec<Moved>,
}

/// Records of one partition that follow each other, named as Kafka names the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// The offset of the first one.
    pub(crate) first: i64,
    /// The offset of the last one.
    pub(crate) last: i64,
    /// The CRC32C of the last one's key and value: a topic that was created anew has other records.
    pub(crate) crc: u32,
}

impl Written {
    /// Tells whether both lie in the same partition.
    pub(crate) fn is_beside(&self, other: &Self) -> bool {
        self.partition == other.partition && self.topic == other.topic
    }
}

/// The offsets that a transaction commits for one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moved {
    /// What Kafka calls the group.
    pub(crate) group: String,
    /// The next offset of each input.
    pub(crate) offsets: Vec<MovedOffset>,
}

/// One committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MovedOffset {
    pub(crate) input: TopicPartition,
    pub(crate) offset: i64,
    /// What the task had committed before; -1 when nothing.
    pub(crate) before: i64,
    /// The leader epoch of the record before it; -1 when none is known.
    pub(crate) leader_epoch: i32,
    /// What stands beside it; see [`identity`].
    pub(crate) text: String,
}

impl MovedOffset {
    /// Returns what a group has where this was committed.
    pub(crate) fn committed(&self) -> GroupOffset {
        let offset = u64::try_from(self.offset).unwrap_or(0);
        identity::decode(millstream_model::Offset(offset), self.text.as_bytes())
    }
}

impl Moved {
    /// Returns the offsets as the client takes them.
    pub(crate) fn list(&self, names: &Names) -> TopicPartitionList {
        let mut list = TopicPartitionList::with_capacity(self.offsets.len());
        for MovedOffset { input, offset, leader_epoch, text, .. } in &self.offsets {
            let topic = names.topic(&input.topic);
            let mut element = list.add_partition(&topic, number(input));
            let set = element.set_offset(rdkafka::Offset::Offset(*offset));
            set.expect("an offset that is not negative can be set");
            element.set_metadata(text);
            // Kafka's own tools and consumers notice by it when the history before was cut.
            set_leader_epoch(&mut list, &topic, number(input), *leader_epoch);
        }
        list
    }
}

/// Returns the checksum that tells one record of a partition from another.
pub(crate) fn crc_of(key: Option<&[u8]>, value: Option<&[u8]>) -> u32 {
    let crc = crc32c::crc32c(key.unwrap_or_default());
    crc32c::crc32c_append(crc, value.unwrap_or_default())
}

impl Manifest {
    /// Writes the manifest; little-endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut buf = vec![VERSION, if self.is_owed { OWED } else { 0 }, 0, 0];
        push_count(&mut buf, self.written.len());
        for Written { topic, partition, first, last, crc } in &self.written {
            push_name(&mut buf, topic);
            buf.extend(partition.to_le_bytes());
            buf.extend(first.to_le_bytes());
            buf.extend(last.to_le_bytes());
            buf.extend(crc.to_le_bytes());
        }
        push_count(&mut buf, self.moved.len());
        for Moved { group, offsets } in &self.moved {
            push_text(&mut buf, group);
            push_count(&mut buf, offsets.len());
            for MovedOffset { input, offset, before, leader_epoch, text } in offsets {
                push_name(&mut buf, input.topic.as_str());
                buf.extend(input.partition.0.to_le_bytes());
                buf.extend(offset.to_le_bytes());
                buf.extend(before.to_le_bytes());
                buf.extend(leader_epoch.to_le_bytes());
                push_text(&mut buf, text);
            }
        }
        buf
    }

    /// Reads a manifest.
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut rest = Rest(bytes);
        rest.version()?;
        let [flags, zero @ ..] = rest.array::<3>()?;
        if flags & !OWED != 0 || zero != [0; 2] {
            return Err(Malformed("a field that must be zero is not"));
        }
        let mut manifest = Self { is_owed: flags & OWED != 0, ..Self::default() };
        for _ in 0..rest.u32()? {
            manifest.written.push(written(&mut rest)?);
        }
        for _ in 0..rest.u32()? {
            let group = text(&mut rest)?;
            let mut offsets = Vec::new();
            for _ in 0..rest.u32()? {
                offsets.push(moved_offset(&mut rest)?);
            }
            manifest.moved.push(Moved { group, offsets });
        }
        rest.end()?;
        Ok(manifest)
    }
}

fn push_count(buf: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("a transaction is bounded");
    buf.extend(count.to_le_bytes());
}

fn push_name(buf: &mut Vec<u8>, name: &str) {
    buf.push(u8::try_from(name.len()).expect("Kafka's names have at most 249 bytes"));
    buf.extend(name.as_bytes());
}

fn push_text(buf: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).expect("groups and identities are short");
    buf.extend(len.to_le_bytes());
    buf.extend(text.as_bytes());
}

fn text(rest: &mut Rest<'_>) -> Result<String, Malformed> {
    let len = usize::from(u16::from_le_bytes(rest.array()?));
    let text = std::str::from_utf8(rest.take(len)?).ok();
    let text = text.ok_or(Malformed("a text is not UTF-8"))?;
    // Kafka's client takes texts that end with a zero.
    if text.contains('\0') { Err(Malformed("a text holds a zero")) } else { Ok(text.to_owned()) }
}

fn written(rest: &mut Rest<'_>) -> Result<Written, Malformed> {
    let topic = rest.name()?;
    let is_named = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if topic.is_empty() || !topic.bytes().all(is_named) {
        return Err(Malformed("it names no topic"));
    }
    let topic = topic.to_owned();
    let partition = rest.i32()?;
    let (first, last) = (rest.i64()?, rest.i64()?);
    if partition < 0 || first < 0 || last < first {
        return Err(Malformed("it lists offsets that cannot be"));
    }
    Ok(Written { topic, partition, first, last, crc: rest.u32()? })
}

fn moved_offset(rest: &mut Rest<'_>) -> Result<MovedOffset, Malformed> {
    let input = rest.partition()?;
    let (offset, before, leader_epoch) = (rest.i64()?, rest.i64()?, rest.i32()?);
    let is_below = before < NONE || i64::from(leader_epoch) < NONE;
    if offset < 0 || is_below || i32::try_from(input.partition.0).is_err() {
        return Err(Malformed("it lists offsets that cannot be"));
    }
    Ok(MovedOffset { input, offset, before, leader_epoch, text: text(rest)? })
}

#[cfg(test)]
mod tests;
