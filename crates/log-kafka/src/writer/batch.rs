//! What one transaction sends, in Kafka's terms.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use millstream_model::{LogPosition, RecordBatch, SourceId, TaskId, TopicPartition};
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::ffi::partition_list::set_leader_epoch;
use crate::names::Names;
use crate::positions::record::{Key, TaskRecord, encode_position, encode_renamed};
use crate::positions::{PositionsTopic, identity, number};

/// One transaction of a task, ready to be sent.
pub(crate) struct Batch {
    names: Names,
    topic: PositionsTopic,
    task: TaskId,
    /// Topic, partition and records.
    pub(crate) records: Vec<(String, i32, RecordBatch)>,
    /// What goes to the positions topic.
    pub(crate) positions: Vec<Entry>,
    /// The offsets of each group.
    pub(crate) offsets: Vec<Offsets>,
}

/// A record of the positions topic.
pub(crate) struct Entry {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) key: String,
    /// Nothing deletes the key.
    pub(crate) value: Option<Vec<u8>>,
}

/// The offsets of one group.
pub(crate) struct Offsets {
    pub(crate) group: Arc<ConsumerGroupMetadata>,
    pub(crate) offsets: TopicPartitionList,
}

impl Batch {
    /// Starts an empty transaction of `task`.
    pub(crate) fn new(names: &Names, topic: PositionsTopic, task: &TaskId) -> Self {
        let (names, task) = (names.clone(), task.clone());
        let (records, positions, offsets) = (Vec::new(), Vec::new(), Vec::new());
        Self { names, topic, task, records, positions, offsets }
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
        let (topic, partition) = (self.names.positions(), self.topic.partition(key.task()));
        self.positions.push(Entry { topic, partition, key: key.encode(), value });
    }

    /// Sets the next position of some inputs, as offsets of `group`.
    pub(crate) fn set_offsets(
        &mut self,
        group: &Arc<ConsumerGroupMetadata>,
        moved: &BTreeMap<TopicPartition, LogPosition>,
    ) {
        let task = self.task.clone();
        self.push_offsets(group, moved, |position| identity::encode(&task, position));
    }

    /// Says beside offsets of another group that their task goes on under another name.
    pub(crate) fn mark_renamed(
        &mut self,
        group: &Arc<ConsumerGroupMetadata>,
        inputs: &BTreeMap<TopicPartition, LogPosition>,
    ) {
        self.push_offsets(group, inputs, |_| identity::encode_renamed());
    }

    fn push_offsets(
        &mut self,
        group: &Arc<ConsumerGroupMetadata>,
        moved: &BTreeMap<TopicPartition, LogPosition>,
        beside: impl Fn(&LogPosition) -> String,
    ) {
        if moved.is_empty() {
            return;
        }
        let mut offsets = TopicPartitionList::with_capacity(moved.len());
        for (input, position) in moved {
            let topic = self.names.topic(&input.topic);
            let mut element = offsets.add_partition(&topic, number(input));
            let offset = i64::try_from(position.offset.0).unwrap_or(i64::MAX);
            let set = element.set_offset(rdkafka::Offset::Offset(offset));
            set.expect("an offset that is not negative can be set");
            element.set_metadata(beside(position));
            // Kafka's own tools and consumers notice by it when the history before was cut.
            let epoch = position.incarnation.0.checked_sub(1);
            if let Some(epoch) = epoch.and_then(|epoch| i32::try_from(epoch).ok()) {
                set_leader_epoch(&mut offsets, &topic, number(input), epoch);
            }
        }
        self.offsets.push(Offsets { group: group.clone(), offsets });
    }
}
