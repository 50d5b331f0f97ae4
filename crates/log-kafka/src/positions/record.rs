//! The records of the positions topic, format version 1; `docs/formats/positions.md` is the
//! reference.
//!
//! A key is text: `<task>` for what is known of a task, `<task>/<source>` for the position of one
//! of its sources, `<task>/` for what its last transaction wrote ([`super::manifest`]). All lie in
//! the partition of the task's id, so that one partition tells all of a task. A value without bytes
//! is a tombstone: the key is gone.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_model::position::SOURCE_POSITION_BYTES_MAX;
use millstream_model::{
    Epoch, Incarnation, LogId, LogPosition, Offset, SourceId, TaskId, TopicId, TopicName,
    TopicPartition,
};
use thiserror::Error;
use uuid::Uuid;

/// The version that is written.
pub(super) const VERSION: u8 = 1;

/// The flag of a task that committed a transaction.
const BEGAN: u8 = 1;
/// The flag of a task that left the configuration long ago.
const RELEASED: u8 = 2;
/// The flag of a name whose task goes on under another one; it stands alone.
const RENAMED: u8 = 4;

/// The most inputs a task may name: far more than one process can own partitions.
const INPUTS_MAX: u32 = 1 << 16;

/// What a key is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// A task as a whole.
    Task(TaskId),
    /// A source of a task.
    Source(TaskId, SourceId),
    /// The last transaction of a task.
    Manifest(TaskId),
}

impl Key {
    /// Returns the key's bytes.
    pub(crate) fn encode(&self) -> String {
        match self {
            Self::Task(task) => task.to_string(),
            // A task's id holds no slash: the first one ends it.
            Self::Source(task, source) => format!("{task}/{source}"),
            Self::Manifest(task) => format!("{task}/"),
        }
    }

    /// Reads a key.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(bytes).ok().ok_or(Malformed("the key is no text"))?;
        let task = |id| TaskId::new(id).ok().ok_or(Malformed("the key names no task"));
        match text.split_once('/') {
            None => Ok(Self::Task(task(text)?)),
            Some((id, "")) => Ok(Self::Manifest(task(id)?)),
            Some((id, source)) => {
                let source = SourceId::new(source).ok();
                Ok(Self::Source(task(id)?, source.ok_or(Malformed("the key names no source"))?))
            }
        }
    }

    /// Returns the task it is about.
    pub(crate) fn task(&self) -> &TaskId {
        match self {
            Self::Task(task) | Self::Source(task, _) | Self::Manifest(task) => task,
        }
    }
}

/// What is known of a task as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskRecord {
    /// The fencing number of the owner that wrote it.
    pub(crate) epoch: Epoch,
    /// Whether the task ever committed a transaction.
    pub(crate) began: bool,
    /// Whether the task left the configuration long ago and holds back no records.
    pub(crate) is_released: bool,
    /// What the owner reads, and where it began or stood when this was written. The group's
    /// offsets go on from here; this tells what they must belong to.
    pub(crate) inputs: BTreeMap<TopicPartition, LogPosition>,
}

/// What the key of a task says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// What is known of the task.
    Task(TaskRecord),
    /// Under which name the task goes on: whoever opens it under the old one would begin anew.
    Renamed(TaskId),
}

/// Bytes that are no record of this topic.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

impl Told {
    /// Reads what stands under a task's key.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.get(1) != Some(&RENAMED) {
            return TaskRecord::decode(bytes).map(Self::Task);
        }
        let mut rest = Rest(bytes);
        rest.version()?;
        if rest.array::<3>()? != [RENAMED, 0, 0] {
            return Err(Malformed("a field that must be zero is not"));
        }
        let len = usize::from(rest.array::<1>()?[0]);
        let name = std::str::from_utf8(rest.take(len)?).ok();
        let name = name.and_then(|name| TaskId::new(name).ok());
        rest.end()?;
        Ok(Self::Renamed(name.ok_or(Malformed("it names no task"))?))
    }
}

/// Writes under which name a task goes on.
pub(crate) fn encode_renamed(to: &TaskId) -> Vec<u8> {
    let name = to.as_str().as_bytes();
    let mut buf = vec![VERSION, RENAMED, 0, 0];
    buf.push(u8::try_from(name.len()).expect("a task's id has at most 249 bytes"));
    buf.extend(name);
    buf
}

impl TaskRecord {
    /// Writes the record; little-endian.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut buf = vec![VERSION];
        let began = if self.began { BEGAN } else { 0 };
        buf.push(began | if self.is_released { RELEASED } else { 0 });
        buf.extend([0; 2]);
        buf.extend(self.epoch.0.to_le_bytes());
        let count = u32::try_from(self.inputs.len()).expect("a process owns far fewer partitions");
        buf.extend(count.to_le_bytes());
        for (input, position) in &self.inputs {
            let name = input.topic.as_str().as_bytes();
            buf.push(u8::try_from(name.len()).expect("a topic's name has at most 249 bytes"));
            buf.extend(name);
            buf.extend(input.partition.0.to_le_bytes());
            buf.extend(position.log.0.as_bytes());
            buf.extend(position.topic.0.as_bytes());
            buf.extend(position.incarnation.0.to_le_bytes());
            buf.extend(position.offset.0.to_le_bytes());
        }
        buf
    }

    /// Reads a record.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut rest = Rest(bytes);
        rest.version()?;
        let flags = rest.array::<1>()?[0];
        if flags & !(BEGAN | RELEASED) != 0 || rest.array::<2>()? != [0; 2] {
            return Err(Malformed("a field that must be zero is not"));
        }
        let epoch = Epoch(rest.u64()?);
        let count = rest.u32()?;
        if count > INPUTS_MAX {
            return Err(Malformed("it names too many inputs"));
        }
        let mut inputs = BTreeMap::new();
        for _ in 0..count {
            let (input, position) = rest.input()?;
            inputs.insert(input, position);
        }
        rest.end()?;
        if inputs.len() != count as usize {
            return Err(Malformed("it names an input twice"));
        }
        let (began, is_released) = (flags & BEGAN != 0, flags & RELEASED != 0);
        Ok(Self { epoch, began, is_released, inputs })
    }
}

/// Writes the position of a source.
pub(crate) fn encode_position(position: &Bytes) -> Vec<u8> {
    let mut buf = Vec::with_capacity(1 + position.len());
    buf.push(VERSION);
    buf.extend(position);
    buf
}

/// Reads the position of a source.
pub(crate) fn decode_position(bytes: &[u8]) -> Result<Bytes, Malformed> {
    let mut rest = Rest(bytes);
    rest.version()?;
    if rest.0.len() > SOURCE_POSITION_BYTES_MAX {
        return Err(Malformed("a position is longer than 4 KiB"));
    }
    Ok(Bytes::copy_from_slice(rest.0))
}

/// The bytes that were not read yet.
pub(super) struct Rest<'a>(pub(super) &'a [u8]);

impl<'a> Rest<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed("it is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("exactly so many were taken"))
    }

    pub(super) fn version(&mut self) -> Result<(), Malformed> {
        match self.array::<1>()?[0] {
            VERSION => Ok(()),
            _ => Err(Malformed("it has another version; a newer program wrote it")),
        }
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    pub(super) fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// Reads a name of at most 255 bytes.
    pub(super) fn name(&mut self) -> Result<&'a str, Malformed> {
        let len = usize::from(self.array::<1>()?[0]);
        let name = std::str::from_utf8(self.take(len)?);
        name.ok().ok_or(Malformed("a name is not UTF-8"))
    }

    pub(super) fn partition(&mut self) -> Result<TopicPartition, Malformed> {
        let name = TopicName::new(self.name()?).ok().ok_or(Malformed("it names no topic"))?;
        Ok(TopicPartition::new(name, self.u32()?))
    }

    fn input(&mut self) -> Result<(TopicPartition, LogPosition), Malformed> {
        let partition = self.partition()?;
        let position = LogPosition {
            log: LogId(Uuid::from_bytes(self.array()?)),
            topic: TopicId(Uuid::from_bytes(self.array()?)),
            incarnation: Incarnation(self.u64()?),
            offset: Offset(self.u64()?),
        };
        Ok((partition, position))
    }

    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("bytes follow its end")) }
    }
}

#[cfg(test)]
mod tests;
