//! What a frame changes: the fields of each kind, encoded and decoded.

use bytes::Bytes;
use millstream_model::{Epoch, Incarnation, Offset, SourceId, TaskId, TopicName};
use std::time::Duration;

use super::codec::{PartitionKey, Put, Take};
use super::frame::Kind;
use crate::topic::{Topic, TopicConfig, TopicKind};

/// One change of the journal's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Records, and for a task what it consumed and its positions.
    Commit(Commit),
    /// A task's new owner.
    Open(OpenTask),
    /// A topic, created or altered.
    Topic(NumberedTopic),
    /// First readable offsets that moved.
    Trim(Vec<Trim>),
    /// A task that is registered no longer.
    Release(u64),
    /// The orderly end of a run; changes nothing.
    Close,
}

/// A commit: of a task, or of records without an owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Commit {
    pub producer: Option<Producer>,
    pub sections: Vec<Section>,
    pub consumed: Vec<Place>,
    pub positions: Vec<(SourceId, Bytes)>,
}

/// Who commits, and its how manieth commit this is (L6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Producer {
    /// The task's number within this journal.
    pub task: u64,
    /// Its ownership.
    pub epoch: Epoch,
    /// Counts the commits of one ownership, from 1.
    pub sequence: u64,
}

/// The records of one partition in a frame's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Section {
    pub key: PartitionKey,
    /// The offset of the first record.
    pub base: Offset,
    /// How many records.
    pub count: u32,
    /// How many bytes.
    pub bytes: u32,
    /// The CRC32C of these bytes.
    pub crc: u32,
}

/// A place between two records of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub key: PartitionKey,
    /// The incarnation of the record before.
    pub incarnation: Incarnation,
    /// The offset of the record after.
    pub offset: Offset,
}

/// A first readable offset that moved: the place where reading begins now.
pub(super) type Trim = Place;

/// A task's new owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenTask {
    /// The task's number within this journal.
    pub number: u64,
    /// The fencing number of the new owner.
    pub epoch: Epoch,
    pub name: TaskId,
    /// The name under which its positions stood.
    pub renamed_from: Option<TaskId>,
    pub inputs: Vec<PartitionKey>,
}

/// A topic and the number that frames use for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NumberedTopic {
    pub number: u32,
    pub topic: Topic,
}

/// Stands for "the journal's default" in a retention field.
const RETENTION_DEFAULT: u64 = u64::MAX;

impl Change {
    /// Returns the kind of frame that carries the change.
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Commit(commit) if commit.producer.is_none() => Kind::Append,
            Self::Commit(_) => Kind::Transaction,
            Self::Open(_) => Kind::Open,
            Self::Topic(_) => Kind::Topic,
            Self::Trim(_) => Kind::Trim,
            Self::Release(_) => Kind::Release,
            Self::Close => Kind::Close,
        }
    }

    /// Returns the sections of the body.
    pub(super) fn sections(&self) -> &[Section] {
        match self {
            Self::Commit(commit) => &commit.sections,
            _ => &[],
        }
    }

    /// Writes the fields of the kind.
    pub(super) fn encode(&self, buf: &mut Vec<u8>) {
        match self {
            Self::Commit(commit) => commit.encode(buf),
            Self::Open(open) => open.encode(buf),
            Self::Topic(topic) => topic.encode(buf),
            Self::Trim(places) => put_places(buf, places),
            Self::Release(number) => buf.put_u64(*number),
            Self::Close => {}
        }
    }

    /// Reads the fields of `kind`; `None` when they do not add up, or the kind heads a file.
    pub(super) fn decode(kind: Kind, fields: &[u8]) -> Option<Self> {
        let mut take = Take(fields);
        let change = match kind {
            Kind::Append => Self::Commit(Commit::decode(&mut take, Kind::Append)?),
            Kind::Transaction => Self::Commit(Commit::decode(&mut take, Kind::Transaction)?),
            Kind::Open => Self::Open(OpenTask::decode(&mut take)?),
            Kind::Topic => Self::Topic(NumberedTopic::decode(&mut take)?),
            Kind::Trim => Self::Trim(take.list(take_place)?),
            Kind::Release => Self::Release(take.u64()?),
            Kind::Close => Self::Close,
            Kind::Snapshot | Kind::Archive => return None,
        };
        take.end()?;
        Some(change)
    }
}

impl Commit {
    fn encode(&self, buf: &mut Vec<u8>) {
        let (task, epoch, sequence) =
            self.producer.map_or((0, 0, 0), |of| (of.task, of.epoch.0, of.sequence));
        buf.put_u64(task);
        buf.put_u64(epoch);
        buf.put_u64(sequence);
        buf.put_count(self.sections.len());
        for section in &self.sections {
            buf.put_key(section.key);
            buf.put_u64(section.base.0);
            buf.put_u32(section.count);
            buf.put_u32(section.bytes);
            buf.put_u32(section.crc);
        }
        put_places(buf, &self.consumed);
        put_positions(buf, self.positions.iter().map(|(source, value)| (source, value)));
    }

    fn decode(take: &mut Take<'_>, kind: Kind) -> Option<Self> {
        let (task, epoch, sequence) = (take.u64()?, take.u64()?, take.u64()?);
        let producer = Producer { task, epoch: Epoch(epoch), sequence };
        let owned = kind == Kind::Transaction;
        let nobody = (task, epoch, sequence) == (0, 0, 0);
        if owned == nobody || (owned && task == 0) {
            return None;
        }
        let sections = take.list(|take| {
            let section = Section {
                key: take.key()?,
                base: take.offset()?,
                count: take.u32()?,
                bytes: take.u32()?,
                crc: take.u32()?,
            };
            section.base.0.checked_add(u64::from(section.count))?;
            Some(section)
        })?;
        let consumed = take.list(take_place)?;
        let positions = take.list(take_position)?;
        Some(Self { producer: owned.then_some(producer), sections, consumed, positions })
    }
}

impl OpenTask {
    fn encode(&self, buf: &mut Vec<u8>) {
        buf.put_u64(self.number);
        buf.put_u64(self.epoch.0);
        buf.put_name(self.name.as_str());
        buf.put_name(self.renamed_from.as_ref().map_or("", TaskId::as_str));
        put_keys(buf, &self.inputs);
    }

    fn decode(take: &mut Take<'_>) -> Option<Self> {
        Some(Self {
            number: take.u64()?,
            epoch: Epoch(take.u64()?),
            name: take.task_id()?,
            renamed_from: take.optional_task_id()?,
            inputs: take.list(Take::key)?,
        })
    }
}

impl NumberedTopic {
    pub(super) fn encode(&self, buf: &mut Vec<u8>) {
        buf.put_u32(self.number);
        buf.put(self.topic.id.0.as_bytes());
        buf.put_u8(match self.topic.config.kind {
            TopicKind::Events => 1,
            TopicKind::DeadLetters => 2,
            TopicKind::Changelog => 3,
        });
        buf.put_u32(self.topic.config.partitions);
        let retention = self.topic.config.retention.map_or(RETENTION_DEFAULT, |retention| {
            u64::try_from(retention.as_millis()).unwrap_or(RETENTION_DEFAULT - 1)
        });
        buf.put_u64(retention);
        buf.put_name(self.topic.name.as_str());
    }

    pub(super) fn decode(take: &mut Take<'_>) -> Option<Self> {
        let number = take.u32()?;
        let id = take.topic_id()?;
        let kind = match take.u8()? {
            1 => TopicKind::Events,
            2 => TopicKind::DeadLetters,
            3 => TopicKind::Changelog,
            _ => return None,
        };
        let partitions = take.u32()?;
        let retention = match take.u64()? {
            RETENTION_DEFAULT => None,
            millis => Some(Duration::from_millis(millis)),
        };
        let name: TopicName = take.topic_name()?;
        let config = TopicConfig { partitions, kind, retention };
        Some(Self { number, topic: Topic { name, id, config } })
    }
}

pub(super) fn put_keys(buf: &mut Vec<u8>, keys: &[PartitionKey]) {
    buf.put_count(keys.len());
    for key in keys {
        buf.put_key(*key);
    }
}

pub(super) fn put_places(buf: &mut Vec<u8>, places: &[Place]) {
    buf.put_count(places.len());
    for place in places {
        buf.put_key(place.key);
        buf.put_u64(place.incarnation.0);
        buf.put_u64(place.offset.0);
    }
}

pub(super) fn take_place(take: &mut Take<'_>) -> Option<Place> {
    Some(Place { key: take.key()?, incarnation: take.incarnation()?, offset: take.offset()? })
}

pub(super) fn put_positions<'a>(
    buf: &mut Vec<u8>,
    positions: impl ExactSizeIterator<Item = (&'a SourceId, &'a Bytes)>,
) {
    buf.put_count(positions.len());
    for (source, value) in positions {
        buf.put_name(source.as_str());
        buf.put_count(value.len());
        buf.put(value);
    }
}

pub(super) fn take_position(take: &mut Take<'_>) -> Option<(SourceId, Bytes)> {
    let source = take.source_id()?;
    let len = take.u32()? as usize;
    Some((source, Bytes::copy_from_slice(take.bytes(len)?)))
}
