//! What one transaction sends, in Kafka's terms.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millstream_model::{LogPosition, Offset, RecordBatch, SourceId, TaskId, TopicPartition};
use rdkafka::message::{Message as _, OwnedMessage, Timestamp};
use rdkafka::producer::BaseRecord;

use crate::names::{Names, number};
use crate::positions::manifest::{Manifest, Moved, MovedOffset, Written};
use crate::positions::record::{Key, TaskRecord, encode_position, encode_renamed};
use crate::positions::{Group, PositionsTopic, identity};

/// The key of records that tell nothing: nobody who reads what is committed sees them.
const TOUCH: &str = "millstream.touch";

/// One transaction of a task, ready to be sent.
pub(crate) struct Batch {
    names: Names,
    topic: PositionsTopic,
    task: TaskId,
    /// Whether it completes a transaction that is committed in part.
    pub(crate) is_owed: bool,
    /// Topic, partition and records.
    pub(crate) records: Vec<(String, i32, RecordBatch)>,
    /// Messages that were written before and count no more.
    pub(crate) copies: Vec<OwnedMessage>,
    /// Keys and values: what goes to the positions topic, and what only touches a partition.
    pub(crate) entries: Vec<Entry>,
    /// The offsets of each group.
    pub(crate) offsets: Vec<Offsets>,
}

/// A record with a key of ours.
pub(crate) struct Entry {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) key: String,
    /// Nothing deletes the key.
    pub(crate) value: Option<Vec<u8>>,
}

/// The offsets of one group.
pub(crate) struct Offsets {
    pub(crate) group: Arc<Group>,
    pub(crate) moved: Moved,
}

/// Builds the message that was written before once more.
pub(crate) fn copy_of(written: &OwnedMessage) -> BaseRecord<'_, [u8], [u8]> {
    let mut message = BaseRecord::to(written.topic()).partition(written.partition());
    message.key = written.key();
    message.payload = written.payload();
    message.headers = written.headers().cloned();
    match written.timestamp() {
        Timestamp::CreateTime(millis) if millis > 0 => message.timestamp(millis),
        _ => message,
    }
}

impl Batch {
    /// Starts an empty transaction of `task`.
    pub(crate) fn new(names: &Names, topic: PositionsTopic, task: &TaskId) -> Self {
        let (names, task) = (names.clone(), task.clone());
        let (records, copies) = (Vec::new(), Vec::new());
        let (entries, offsets) = (Vec::new(), Vec::new());
        Self { names, topic, task, is_owed: false, records, copies, entries, offsets }
    }

    /// Lends what Kafka's names are made from.
    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// Returns the transaction's last record: where all others stand, and its offsets.
    pub(crate) fn manifest(&self, written: Vec<Written>) -> Entry {
        let moved = self.offsets.iter().map(|offsets| offsets.moved.clone()).collect();
        let manifest = Manifest { is_owed: self.is_owed, written, moved };
        self.entry(&Key::Manifest(self.task.clone()), Some(manifest.encode()))
    }

    /// Adds a record that tells nothing, for a transaction that is aborted.
    pub(crate) fn touch(&mut self, topic: &str, partition: i32) {
        let (topic, key) = (topic.to_owned(), TOUCH.to_owned());
        self.entries.push(Entry { topic, partition, key, value: None });
    }

    /// Adds records of topics of ours.
    pub(crate) fn append(&mut self, records: &[(TopicPartition, RecordBatch)]) {
        for (partition, batch) in records {
            let (topic, number) = (self.names.topic(&partition.topic), number(partition));
            self.records.push((topic, number, batch.clone()));
        }
    }

    /// Sets what is known of the task.
    pub(crate) fn set_task(&mut self, record: &TaskRecord) {
        self.set(&Key::Task(self.task.clone()), Some(record.encode()));
    }

    /// Sets the position of one source of the task.
    pub(crate) fn set_position(&mut self, source: &SourceId, position: &Bytes) {
        let key = Key::Source(self.task.clone(), source.clone());
        self.set(&key, Some(encode_position(position)));
    }

    /// Deletes all that is known of `task`, which has positions of `sources`.
    pub(crate) fn forget<'a>(
        &mut self,
        task: &TaskId,
        sources: impl IntoIterator<Item = &'a SourceId>,
    ) {
        self.forget_sources(task, sources);
        self.set(&Key::Task(task.clone()), None);
    }

    /// Says that `old`, which has positions of `sources`, goes on as the task of this transaction.
    pub(crate) fn rename<'a>(
        &mut self,
        old: &TaskId,
        sources: impl IntoIterator<Item = &'a SourceId>,
    ) {
        self.forget_sources(old, sources);
        self.set(&Key::Task(old.clone()), Some(encode_renamed(&self.task)));
    }

    fn forget_sources<'a>(
        &mut self,
        task: &TaskId,
        sources: impl IntoIterator<Item = &'a SourceId>,
    ) {
        for source in sources {
            self.set(&Key::Source(task.clone(), source.clone()), None);
        }
    }

    fn set(&mut self, key: &Key, value: Option<Vec<u8>>) {
        let entry = self.entry(key, value);
        self.entries.push(entry);
    }

    fn entry(&self, key: &Key, value: Option<Vec<u8>>) -> Entry {
        let (topic, partition) = (self.names.positions(), self.topic.partition(key.task()));
        Entry { topic, partition, key: key.encode(), value }
    }

    /// Sets the next position of some inputs, as offsets of `group`; `before` is what the task has
    /// committed there so far.
    pub(crate) fn set_offsets(
        &mut self,
        group: &Arc<Group>,
        moved: &BTreeMap<TopicPartition, LogPosition>,
        before: &BTreeMap<TopicPartition, Offset>,
    ) {
        let task = self.task.clone();
        let beside = |position: &LogPosition| identity::encode(&task, position);
        let of = |input: &TopicPartition| before.get(input).copied();
        self.push_offsets(group, moved, (of, beside));
    }

    /// Says beside offsets of another group that their task goes on under another name.
    pub(crate) fn mark_renamed(
        &mut self,
        group: &Arc<Group>,
        inputs: &BTreeMap<TopicPartition, LogPosition>,
    ) {
        self.push_offsets(group, inputs, (|_| None, |_| identity::encode_renamed()));
    }

    fn push_offsets(
        &mut self,
        group: &Arc<Group>,
        moved: &BTreeMap<TopicPartition, LogPosition>,
        (before, beside): (
            impl Fn(&TopicPartition) -> Option<Offset>,
            impl Fn(&LogPosition) -> String,
        ),
    ) {
        if moved.is_empty() {
            return;
        }
        let raw = |offset: Offset| i64::try_from(offset.0).unwrap_or(i64::MAX);
        let offset_of = |(input, position): (&TopicPartition, &LogPosition)| {
            let epoch = position.incarnation.0.checked_sub(1);
            MovedOffset {
                input: input.clone(),
                offset: raw(position.offset),
                before: before(input).map_or(-1, raw),
                leader_epoch: epoch.and_then(|epoch| i32::try_from(epoch).ok()).unwrap_or(-1),
                text: beside(position),
            }
        };
        let offsets = moved.iter().map(offset_of).collect();
        let moved = Moved { group: group.name.clone(), offsets };
        self.offsets.push(Offsets { group: group.clone(), moved });
    }
}
