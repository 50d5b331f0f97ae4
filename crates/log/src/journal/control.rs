//! What is done alone, between groups: owners, topics, trims.

use std::collections::BTreeSet;
use std::io;

use millstream_model::{
    Epoch, LogPosition, Offset, TaskId, Timestamp, TopicId, TopicName, TopicPartition,
};
use uuid::Builder;

use super::change::{Change, Commit, NumberedTopic, OpenTask, Place, Producer};
use super::codec::PartitionKey;
use super::positions::committed_of;
use super::request::{Control, Moved, OpenedTask, answer};
use super::state::State;
use super::task_table::Task;
use super::writer::{CommitError, JournalThread};
use crate::check;
use crate::contract::Owner;
use crate::error::{AdminError, OpenError};
use crate::topic::{Topic, TopicConfig};
use crate::transaction::Committed;

/// What happened since the journal was opened.
#[derive(Debug)]
pub(super) struct Run {
    /// When it was opened: before, nobody could open a task.
    pub start: Timestamp,
    /// The tasks opened in this run, by number.
    pub opened: BTreeSet<u64>,
    /// The registered tasks that somebody asked for in this run, by number. Those whose open was
    /// refused are here as well: they are in use, and forgetting them would let them begin anew.
    pub wanted: BTreeSet<u64>,
}

impl Run {
    pub(super) fn new(start: Timestamp) -> Self {
        Self { start, opened: BTreeSet::new(), wanted: BTreeSet::new() }
    }
}

impl JournalThread {
    /// Does what was asked and answers it; a caller that gave up has nobody to tell.
    pub(super) fn control(&mut self, control: Control) {
        match control {
            Control::Open { owner, done } => {
                answer(done, self.open_task(&owner));
            }
            Control::Reposition { to, done } => {
                answer(done, self.reposition(to));
            }
            Control::Topic { name, config, done } => {
                answer(done, self.ensure_topic(&name, config));
            }
            Control::Trim { partition, before, done } => {
                answer(done, self.trim(&partition, before));
            }
            Control::Maintain { done } => {
                self.maintain();
                answer(done, ());
            }
        }
    }

    /// Gives a task a new owner. Requests are done in order, so whatever an older owner had on
    /// its way is settled by now, and whatever it sends later carries the older epoch.
    fn open_task(&mut self, owner: &Owner) -> Result<OpenedTask, OpenError> {
        let known = known_task(&self.shared.state(), owner).map(|task| task.number);
        self.run.wanted.extend(known);
        self.check_resumable(owner)?;
        let open = self.prepare_open(owner)?;
        let number = open.number;
        let epoch = open.epoch;
        self.commit_change(Change::Open(open))?;
        self.run.opened.insert(number);
        self.run.wanted.insert(number);
        let state = self.shared.state();
        let task = state.tasks.numbered(number).expect("it was opened just now");
        Ok(OpenedTask { number, epoch, committed: committed_of(task, &state) })
    }

    /// Lets a task go on elsewhere: a new owner, who commits the new places at once. A crash between
    /// the two leaves the old places.
    fn reposition(&mut self, to: Moved) -> Result<(), OpenError> {
        let open = self.prepare_open(&to.owner)?;
        let producer = Producer { task: open.number, epoch: open.epoch, sequence: 1 };
        self.commit_change(Change::Open(open))?;
        self.run.opened.insert(producer.task);
        self.run.wanted.insert(producer.task);
        let Moved { consumed, positions, .. } = to;
        let (producer, sections) = (Some(producer), Vec::new());
        Ok(self.commit_change(Change::Commit(Commit {
            producer,
            sections,
            consumed,
            positions,
        }))?)
    }

    /// Refuses a task that cannot go on from what it committed.
    fn check_resumable(&self, owner: &Owner) -> Result<(), OpenError> {
        let state = self.shared.state();
        let Some(task) = known_task(&state, owner) else { return Ok(()) };
        let committed = committed_of(task, &state);
        for input in &owner.inputs {
            check_resume(&state, &owner.task, &committed, input)?;
        }
        Ok(())
    }

    fn prepare_open(&self, owner: &Owner) -> Result<OpenTask, OpenError> {
        let state = self.shared.state();
        let mut inputs: Vec<PartitionKey> = Vec::with_capacity(owner.inputs.len());
        for input in &owner.inputs {
            let key = state.topics.key(input);
            inputs.push(key.ok_or_else(|| OpenError::UnknownPartition(input.clone()))?);
        }
        inputs.sort_unstable();
        inputs.dedup();
        let task = known_task(&state, owner);
        let number = task.map_or_else(|| state.tasks.next_number(), |task| task.number);
        let tasks_max = self.shared.config.tasks_max;
        if !self.run.opened.contains(&number) {
            check::one_task_more(&owner.task, self.run.opened.len(), tasks_max)?;
        }
        Ok(OpenTask {
            number,
            epoch: Epoch(task.map_or(0, |task| task.epoch.0).saturating_add(1)),
            name: owner.task.clone(),
            renamed_from: owner.renamed_from.clone(),
            inputs,
        })
    }

    fn ensure_topic(&mut self, name: &TopicName, config: TopicConfig) -> Result<Topic, AdminError> {
        let found = {
            let state = self.shared.state();
            state.topics.named(name).map(|entry| (entry.number, entry.topic.clone()))
        };
        check::topic(name, &config, found.as_ref().map(|(_, found)| &found.config))?;
        let (number, id) = match found {
            Some((_, found)) if found.config == config => return Ok(found),
            Some((number, found)) => (number, found.id),
            None => {
                let random = self.rng.next_u128().to_le_bytes();
                let id = TopicId(Builder::from_random_bytes(random).into_uuid());
                (self.shared.state().topics.next_number(), id)
            }
        };
        let topic = Topic { name: name.clone(), id, config };
        self.commit_change(Change::Topic(NumberedTopic { number, topic: topic.clone() }))?;
        self.shared.show_new_partitions();
        Ok(topic)
    }

    /// Moves the start of a partition. The incarnation before it was looked up by the caller.
    fn trim(&mut self, partition: &TopicPartition, before: LogPosition) -> Result<(), AdminError> {
        let place = {
            let state = self.shared.state();
            let key = state.topics.key(partition);
            let key = key.ok_or_else(|| AdminError::UnknownPartition(partition.clone()))?;
            let span = state.topics.span(key);
            if span.is_some_and(|span| before.offset <= span.start) {
                return Ok(());
            }
            let readers = state.tasks.iter().filter(|task| task.inputs.contains(&key));
            let positions = readers.map(|task| {
                let consumed = task.consumed.get(&key).map_or(Offset::ZERO, |(_, offset)| *offset);
                (task.name.clone(), consumed)
            });
            let slowest = positions.min_by_key(|(_, position)| *position);
            let end = span.map_or(Offset::ZERO, |span| span.end);
            check::trim(partition, before.offset, end, slowest)?;
            Place { key, incarnation: before.incarnation, offset: before.offset }
        };
        self.commit_change(Change::Trim(vec![place]))?;
        self.shared.publish([place.key].into_iter());
        Ok(())
    }
}

/// Returns what is registered for a task, if need be under its old name.
fn known_task<'a>(state: &'a State, owner: &Owner) -> Option<&'a Task> {
    let renamed = || owner.renamed_from.as_ref().and_then(|old| state.tasks.named(old));
    state.tasks.named(&owner.task).or_else(renamed)
}

/// Checks that a task can go on in one input from what it committed: never skipped, never rounded.
fn check_resume(
    state: &State,
    task: &TaskId,
    committed: &Committed,
    input: &TopicPartition,
) -> Result<(), OpenError> {
    let Some(position) = check::resume(task, committed, input)? else { return Ok(()) };
    let bounds = state.bounds(input).ok_or_else(|| OpenError::UnknownPartition(input.clone()))?;
    Ok(check::position(input, &position, &bounds)?)
}

impl From<CommitError> for OpenError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Full => Self::Full,
            CommitError::Storage(source) => Self::Storage(source),
        }
    }
}

impl From<CommitError> for AdminError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Full => Self::Full,
            CommitError::Storage(source) => Self::Storage(source),
        }
    }
}

impl From<CommitError> for io::Error {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Full => Self::from(io::ErrorKind::StorageFull),
            CommitError::Storage(source) => source,
        }
    }
}
