//! The topics of a journal and how far each of their partitions reaches.

use std::collections::{BTreeMap, HashMap};

use millstream_model::{Incarnation, Offset, TopicName, TopicPartition};

use super::change::{NumberedTopic, Place, Section};
use super::codec::PartitionKey;
use crate::check::PARTITIONS_MAX;
use crate::topic::Topic;

/// The readable part of a partition, as far as it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// The first readable offset.
    pub start: Offset,
    /// The incarnation of the record before it.
    pub start_incarnation: Incarnation,
    /// The offset after the last record.
    pub end: Offset,
    /// The incarnation of the last record.
    pub end_incarnation: Incarnation,
}

impl Span {
    const EMPTY: Self = Self {
        start: Offset::ZERO,
        start_incarnation: Incarnation::NONE,
        end: Offset::ZERO,
        end_incarnation: Incarnation::NONE,
    };
}

/// One topic and its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicEntry {
    pub number: u32,
    pub topic: Topic,
    pub spans: Vec<Span>,
}

/// All topics, by number and by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TopicTable {
    by_number: BTreeMap<u32, TopicEntry>,
    by_name: HashMap<TopicName, u32>,
}

impl TopicTable {
    /// Returns the topics in order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &TopicEntry> {
        self.by_number.values()
    }

    /// Returns how many topics there are.
    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Returns a topic by its name.
    pub(super) fn named(&self, name: &TopicName) -> Option<&TopicEntry> {
        self.by_number.get(self.by_name.get(name)?)
    }

    /// Returns a topic by its number.
    pub(super) fn numbered(&self, number: u32) -> Option<&TopicEntry> {
        self.by_number.get(&number)
    }

    /// Returns the number that the next topic gets.
    pub(super) fn next_number(&self) -> u32 {
        self.by_number.last_key_value().map_or(1, |(number, _)| number.saturating_add(1))
    }

    /// Returns the numbers of a partition.
    pub(super) fn key(&self, partition: &TopicPartition) -> Option<PartitionKey> {
        let entry = self.named(&partition.topic)?;
        let exists = partition.partition.0 < entry.topic.config.partitions;
        exists.then_some(PartitionKey { topic: entry.number, partition: partition.partition })
    }

    /// Returns the name of a partition.
    pub(super) fn name(&self, key: PartitionKey) -> Option<TopicPartition> {
        let entry = self.numbered(key.topic)?;
        Some(TopicPartition { topic: entry.topic.name.clone(), partition: key.partition })
    }

    /// Returns the readable part of a partition.
    pub(super) fn span(&self, key: PartitionKey) -> Option<&Span> {
        self.by_number.get(&key.topic)?.spans.get(key.partition.0 as usize)
    }

    fn span_mut(&mut self, key: PartitionKey) -> Option<&mut Span> {
        self.by_number.get_mut(&key.topic)?.spans.get_mut(key.partition.0 as usize)
    }

    /// Returns every partition with its readable part.
    pub(super) fn spans(&self) -> impl Iterator<Item = (PartitionKey, &Span)> {
        self.by_number.values().flat_map(|entry| {
            (0..).zip(&entry.spans).map(|(partition, span)| {
                let partition = millstream_model::PartitionId(partition);
                (PartitionKey { topic: entry.number, partition }, span)
            })
        })
    }

    /// Creates a topic or alters it; says why it cannot.
    pub(super) fn set(&mut self, change: &NumberedTopic) -> Result<(), &'static str> {
        let NumberedTopic { number, topic } = change;
        // Also bounds what a damaged frame can make us allocate.
        if !(1..=PARTITIONS_MAX).contains(&topic.config.partitions) {
            return Err("topic has an impossible number of partitions");
        }
        if let Some(entry) = self.by_number.get_mut(number) {
            let same = entry.topic.id == topic.id
                && entry.topic.name == topic.name
                && entry.topic.config.partitions == topic.config.partitions;
            entry.topic = topic.clone();
            return same.then_some(()).ok_or("topic changes its identity");
        }
        if *number != self.next_number() || self.by_name.contains_key(&topic.name) {
            return Err("topic is numbered or named twice");
        }
        let spans = vec![Span::EMPTY; topic.config.partitions as usize];
        self.by_number.insert(*number, TopicEntry { number: *number, topic: topic.clone(), spans });
        self.by_name.insert(topic.name.clone(), *number);
        Ok(())
    }

    /// Replaces the readable part of a partition, when a snapshot is read.
    pub(super) fn set_span(&mut self, key: PartitionKey, span: Span) -> Result<(), &'static str> {
        if span.start > span.end {
            return Err("partition ends before it starts");
        }
        *self.span_mut(key).ok_or("snapshot names an unknown partition")? = span;
        Ok(())
    }

    /// Moves the end of a partition past a section (L2).
    pub(super) fn append(
        &mut self,
        section: &Section,
        incarnation: Incarnation,
    ) -> Result<(), &'static str> {
        let span = self.span_mut(section.key).ok_or("section names an unknown partition")?;
        if span.end != section.base || section.count == 0 {
            return Err("section does not begin where its partition ends");
        }
        let end = section.base.0.checked_add(u64::from(section.count));
        span.end = Offset(end.ok_or("partition holds more than 2^64 records")?);
        span.end_incarnation = incarnation;
        Ok(())
    }

    /// Moves the start of a partition.
    pub(super) fn trim(&mut self, place: &Place) -> Result<(), &'static str> {
        let span = self.span_mut(place.key).ok_or("trim names an unknown partition")?;
        if place.offset < span.start || place.offset > span.end {
            return Err("trim lies outside its partition");
        }
        span.start = place.offset;
        span.start_incarnation = place.incarnation;
        Ok(())
    }
}
