//! All that a journal knows besides records: topics, ends of partitions, tasks and positions.
//!
//! Plain and synchronous: the writer and recovery apply the same changes through
//! [`State::apply`], so what is recovered is what was committed. A snapshot of the state heads
//! each segment, which is why recovery reads one segment only.

use millstream_model::{Incarnation, LogId, LogPosition, Timestamp, TopicPartition};

use super::change::{
    Change, NumberedTopic, Place, put_keys, put_places, put_positions, take_place, take_position,
};
use super::codec::{Put, Take};
use super::task_table::{Task, TaskTable};
use super::topic_table::{Span, TopicTable};
use crate::contract::Bounds;

/// All that a journal knows besides records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub log: LogId,
    pub topics: TopicTable,
    pub tasks: TaskTable,
}

/// Where a segment stands in the chain of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    /// The segment's own number.
    pub number: u64,
    /// The segment before it, zero if there is none.
    pub predecessor: u64,
    /// Where the segment before ends: bytes behind it do not exist.
    pub predecessor_end: u64,
}

impl State {
    /// The state of a log without history.
    pub(super) fn new(log: LogId) -> Self {
        Self { log, topics: TopicTable::default(), tasks: TaskTable::default() }
    }

    /// Returns the readable part of a partition as positions.
    pub(super) fn bounds(&self, partition: &TopicPartition) -> Option<Bounds> {
        let key = self.topics.key(partition)?;
        let topic = self.topics.numbered(key.topic)?.topic.id;
        let span = self.topics.span(key)?;
        let position =
            |incarnation, offset| LogPosition { log: self.log, topic, incarnation, offset };
        Some(Bounds {
            start: position(span.start_incarnation, span.start),
            end: position(span.end_incarnation, span.end),
        })
    }

    /// Applies one change; says why it contradicts the state.
    pub(super) fn apply(
        &mut self,
        change: &Change,
        incarnation: Incarnation,
        time: Timestamp,
    ) -> Result<(), &'static str> {
        match change {
            Change::Commit(commit) => {
                self.tasks.commit(commit, time)?;
                for section in &commit.sections {
                    self.topics.append(section, incarnation)?;
                }
                Ok(())
            }
            Change::Open(open) => {
                self.tasks.open(open, time)?;
                let topics = &self.topics;
                self.tasks.begin_at(open.number, |input| {
                    topics.span(input).map(|span| (span.start_incarnation, span.start))
                });
                Ok(())
            }
            Change::Topic(topic) => self.topics.set(topic),
            Change::Trim(places) => places.iter().try_for_each(|place| self.topics.trim(place)),
            Change::Release(number) => self.tasks.release(*number),
            Change::Close => Ok(()),
        }
    }

    /// Writes the snapshot that heads segment `link`.
    pub(super) fn encode(&self, link: Link, buf: &mut Vec<u8>) {
        buf.put_u64(link.number);
        buf.put_u64(link.predecessor);
        buf.put_u64(link.predecessor_end);
        buf.put(self.log.0.as_bytes());
        buf.put_u64(self.tasks.next_number());
        buf.put_count(self.topics.len());
        for entry in self.topics.iter() {
            NumberedTopic { number: entry.number, topic: entry.topic.clone() }.encode(buf);
            for span in &entry.spans {
                buf.put_u64(span.start.0);
                buf.put_u64(span.start_incarnation.0);
                buf.put_u64(span.end.0);
                buf.put_u64(span.end_incarnation.0);
            }
        }
        buf.put_count(self.tasks.len());
        for task in self.tasks.iter() {
            encode_task(task, buf);
        }
    }

    /// Reads a snapshot; `None` when its fields do not add up.
    pub(super) fn decode(fields: &[u8]) -> Option<(Link, Self)> {
        let mut take = Take(fields);
        let link = decode_link(&mut take)?;
        let mut state = Self::new(LogId(take.uuid()?));
        state.tasks.set_next_number(take.u64()?);
        for _ in 0..take.u32()? {
            let topic = NumberedTopic::decode(&mut take)?;
            state.topics.set(&topic).ok()?;
            for partition in 0..topic.topic.config.partitions {
                let span = Span {
                    start: take.offset()?,
                    start_incarnation: take.incarnation()?,
                    end: take.offset()?,
                    end_incarnation: take.incarnation()?,
                };
                let partition = millstream_model::PartitionId(partition);
                let key = super::codec::PartitionKey { topic: topic.number, partition };
                state.topics.set_span(key, span).ok()?;
            }
        }
        for _ in 0..take.u32()? {
            state.tasks.restore(decode_task(&mut take)?).ok()?;
        }
        take.end()?;
        Some((link, state))
    }
}

/// Reads the link that a snapshot begins with.
pub(super) fn decode_link(take: &mut Take<'_>) -> Option<Link> {
    let link = Link { number: take.u64()?, predecessor: take.u64()?, predecessor_end: take.u64()? };
    (link.predecessor < link.number).then_some(link)
}

fn encode_task(task: &Task, buf: &mut Vec<u8>) {
    buf.put_u64(task.number);
    buf.put_name(task.name.as_str());
    buf.put_u64(task.epoch.0);
    buf.put_u64(task.sequence);
    buf.put_u8(u8::from(task.began));
    buf.put_time(task.active);
    put_keys(buf, &task.inputs);
    let consumed: Vec<Place> = task
        .consumed
        .iter()
        .map(|(key, (incarnation, offset))| Place {
            key: *key,
            incarnation: *incarnation,
            offset: *offset,
        })
        .collect();
    put_places(buf, &consumed);
    put_positions(buf, task.positions.iter());
}

fn decode_task(take: &mut Take<'_>) -> Option<Task> {
    Some(Task {
        number: take.u64()?,
        name: take.task_id()?,
        epoch: millstream_model::Epoch(take.u64()?),
        sequence: take.u64()?,
        began: match take.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        },
        active: take.time()?,
        inputs: take.list(Take::key)?,
        consumed: take
            .list(take_place)?
            .into_iter()
            .map(|place| (place.key, (place.incarnation, place.offset)))
            .collect(),
        positions: take.list(take_position)?.into_iter().collect(),
    })
}
