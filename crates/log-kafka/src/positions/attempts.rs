//! The last transaction that each task attempted, committed or not.
//!
//! What was not committed is still there to be read: a client that sees everything finds the
//! manifest of the last transaction, also where it was aborted. Whoever reads it has fenced the
//! task, so that nothing comes after it.

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_model::TaskId;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as ClientError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::time::Instant;

use super::manifest::{Manifest, Written, crc_of};
use super::reading::{AGE_MAX, POLL, READING};
use super::record::{Key, Malformed};
use crate::client::Observer;
use crate::error::{KafkaError, is_passing, time_left};

/// The last transaction of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Where the manifest itself stands.
    pub(crate) own: Written,
    /// What it says.
    pub(crate) manifest: Manifest,
}

/// One partition of the topic, as far as it was read.
#[derive(Debug)]
struct Part {
    next: i64,
    read_at: Instant,
    last: BTreeMap<TaskId, (i64, Bytes)>,
}

/// What was read of the manifests.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    parts: BTreeMap<i32, Part>,
}

/// A partition of the topic as it is now, and how long reading it may take.
pub(super) struct Stretch<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: i32,
    /// The first offset and the end.
    pub(super) bounds: (i64, i64),
    pub(super) deadline: Instant,
}

/// Why a partition could not be read.
pub(super) enum Unread {
    /// A call failed, or no time was left.
    Kafka(KafkaError),
    /// The client says so.
    Client(ClientError),
    /// A record is no record of ours.
    Malformed(i64, Malformed),
}

impl From<ClientError> for Unread {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl Attempts {
    /// Forgets everything: it is another topic now.
    pub(super) fn clear(&mut self) {
        self.parts.clear();
    }

    /// Returns the last transaction that a task attempted in its partition.
    pub(super) fn last(
        &mut self,
        everything: &BaseConsumer<Observer>,
        stretch: &Stretch<'_>,
        task: &TaskId,
    ) -> Result<Option<Attempt>, Unread> {
        let Stretch { topic, partition, bounds: (low, high), deadline } = *stretch;
        // Taken out while it is read: what was applied in part is read again.
        let kept = self
            .parts
            .remove(&partition)
            .filter(|part| part.read_at.elapsed() < AGE_MAX && (low..=high).contains(&part.next));
        let read_at = Instant::now();
        let fresh = || Part { next: low, read_at, last: BTreeMap::new() };
        let mut part = kept.unwrap_or_else(fresh);
        if part.next < high {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(topic, partition, rdkafka::Offset::Offset(part.next))?;
            everything.assign(&list)?;
            let read = read_on(everything, &mut part, high, deadline);
            everything.unassign()?;
            read?;
        }
        part.read_at = read_at;
        let part = self.parts.entry(partition).or_insert(part);
        let Some((offset, value)) = part.last.get(task) else { return Ok(None) };
        let malformed = |reason| Unread::Malformed(*offset, reason);
        let manifest = Manifest::decode(value).map_err(malformed)?;
        let key = Key::Manifest(task.clone()).encode();
        let crc = crc_of(Some(key.as_bytes()), Some(value));
        let own =
            Written { topic: topic.to_owned(), partition, first: *offset, last: *offset, crc };
        Ok(Some(Attempt { own, manifest }))
    }
}

fn read_on(
    everything: &BaseConsumer<Observer>,
    part: &mut Part,
    high: i64,
    deadline: Instant,
) -> Result<(), Unread> {
    while part.next < high {
        match everything.poll(POLL.min(time_left(READING, deadline).map_err(Unread::Kafka)?)) {
            Some(Ok(message)) => part.apply(&message)?,
            Some(Err(error)) if is_passing(&error) => {}
            Some(Err(error)) => return Err(error.into()),
            // The client's position also passes control records, and gaps that compaction left.
            None => {
                let positions = everything.position()?;
                let offset = positions.elements().first().and_then(|found| found.offset().to_raw());
                part.next = part.next.max(offset.unwrap_or(-1));
            }
        }
    }
    Ok(())
}

impl Part {
    fn apply(&mut self, message: &BorrowedMessage<'_>) -> Result<(), Unread> {
        self.next = message.offset() + 1;
        let malformed = |reason| Unread::Malformed(message.offset(), reason);
        let key = message.key().ok_or(malformed(Malformed("it has no key")))?;
        if let Key::Manifest(task) = Key::decode(key).map_err(malformed)? {
            let value = message.payload().ok_or(malformed(Malformed("it has no value")))?;
            self.last.insert(task, (message.offset(), Bytes::copy_from_slice(value)));
        }
        Ok(())
    }
}
