//! Tasks: who owns them, what they committed, and how far that lets retention go.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use millstream_model::{Epoch, LogPosition, Offset, SourceId, TaskId, TopicPartition};

use super::state::{Pending, State};
use crate::check::{self, Standing};
use crate::contract::{Owner, Reposition};
use crate::error::{OpenError, PositionRefused};
use crate::transaction::{Committed, Consumed};

/// Every task, by id.
#[derive(Default)]
pub(super) struct Tasks {
    tasks: BTreeMap<TaskId, Task>,
    /// The tasks that this opening of the log has seen.
    open: BTreeSet<TaskId>,
}

#[derive(Clone)]
struct Task {
    epoch: Epoch,
    /// What the owner reads, and where it starts as long as it committed nothing.
    inputs: BTreeMap<TopicPartition, LogPosition>,
    committed: Committed,
    /// Whether it left the configuration long ago: it holds back no records.
    is_released: bool,
    /// Whether its last transaction is committed in part.
    is_torn: bool,
}

impl Task {
    /// Returns where the task stands in one partition.
    fn position(&self, partition: &TopicPartition) -> Option<LogPosition> {
        self.committed.consumed.get(partition).or_else(|| self.inputs.get(partition)).copied()
    }
}

/// One owner of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ownership {
    pub(super) task: TaskId,
    pub(super) epoch: Epoch,
}

impl Tasks {
    pub(super) fn reopened(&self) -> Self {
        Self { tasks: self.tasks.clone(), open: BTreeSet::new() }
    }

    pub(super) fn ids(&self) -> Vec<TaskId> {
        let registered = self.tasks.iter().filter(|(_, task)| !task.is_released);
        registered.map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn is_owner(&self, owner: &Ownership) -> bool {
        self.tasks.get(&owner.task).is_some_and(|task| task.epoch == owner.epoch)
    }

    /// Returns where a task stands in one partition.
    pub(super) fn standing(&self, task: &TaskId, input: &TopicPartition) -> Standing {
        let reading = self.tasks.get(task).filter(|task| task.inputs.contains_key(input));
        match reading.and_then(|task| task.position(input)) {
            Some(position) => Standing::At(position.offset),
            None => Standing::NotAnInput,
        }
    }

    /// Returns the task that holds a partition back most, and where it stands.
    pub(super) fn slowest(&self, partition: &TopicPartition) -> Option<(TaskId, Offset)> {
        let holding = self.tasks.iter().filter(|(_, task)| !task.is_released);
        let positions = holding.filter_map(|(id, task)| {
            task.position(partition).map(|position| (id.clone(), position.offset))
        });
        positions.min_by_key(|(_, offset)| *offset)
    }

    /// Lets go of a task; see [`super::MemoryLog::release_task`].
    pub(super) fn release(&mut self, id: &TaskId) {
        let Some(task) = self.tasks.get_mut(id) else { return };
        // The next owner is fenced off from this one, and the numbers go on.
        task.epoch = Epoch(task.epoch.0 + 1);
        task.is_released = true;
        self.open.remove(id);
        if !task.committed.began {
            self.tasks.remove(id);
        }
    }

    /// Tears a task's last transaction; see [`super::MemoryLog::tear`].
    pub(super) fn tear(&mut self, id: &TaskId) {
        if let Some(task) = self.tasks.get_mut(id) {
            task.is_torn = true;
        }
    }

    /// Takes over what a committed transaction says.
    pub(super) fn commit(
        &mut self,
        task: &TaskId,
        consumed: Vec<Consumed>,
        positions: Vec<(SourceId, Bytes)>,
    ) {
        let task = self.tasks.get_mut(task).expect("a task is opened before it commits");
        if !task.committed.began {
            // The mark says that a missing position was lost: from now on each input has one.
            task.committed.began = true;
            for (input, start) in &task.inputs {
                task.committed.consumed.entry(input.clone()).or_insert(*start);
            }
        }
        for Consumed { partition, next } in consumed {
            task.committed.consumed.insert(partition, next);
        }
        task.committed.positions.extend(positions);
    }
}

impl State {
    /// Makes `owner` the only owner of its task.
    pub(super) fn fence(&mut self, owner: &Owner) -> Result<Epoch, OpenError> {
        if self.closed {
            return Err(OpenError::Closed);
        }
        for input in &owner.inputs {
            if self.partition(input).is_none() {
                return Err(OpenError::UnknownPartition(input.clone()));
            }
        }
        let tasks_max = self.limits.tasks_max;
        if !self.tasks.open.contains(&owner.task) {
            check::one_task_more(&owner.task, self.tasks.open.len(), tasks_max)?;
        }
        self.take_over_old_name(owner);
        self.tasks.open.insert(owner.task.clone());
        let task = self.tasks.tasks.entry(owner.task.clone()).or_insert_with(|| Task {
            epoch: Epoch(0),
            inputs: BTreeMap::new(),
            committed: Committed::default(),
            is_released: false,
            is_torn: false,
        });
        task.epoch = Epoch(task.epoch.0 + 1);
        Ok(task.epoch)
    }

    /// Moves what stands under the old name; the owner there is fenced, its task is gone.
    fn take_over_old_name(&mut self, owner: &Owner) {
        let Some(old) = &owner.renamed_from else { return };
        if self.tasks.tasks.contains_key(&owner.task) {
            return;
        }
        if let Some(task) = self.tasks.tasks.remove(old) {
            self.tasks.open.remove(old);
            self.tasks.tasks.insert(owner.task.clone(), task);
        }
    }

    /// Returns what the task committed once no transaction of an earlier owner is on its way.
    pub(super) fn settled(&mut self, owner: &Owner) -> Result<Option<Committed>, OpenError> {
        if self.closed {
            return Err(OpenError::Closed);
        }
        if self.is_on_its_way(owner) {
            return Ok(None);
        }
        let mut inputs = BTreeMap::new();
        for input in &owner.inputs {
            inputs.insert(input.clone(), self.start_of(owner, input)?);
        }
        let task = self.tasks.tasks.get_mut(&owner.task);
        let task = task.expect("nobody removes a task between its fence and here");
        if task.is_torn {
            let (task, place) = (owner.task.clone(), "the log in memory".to_owned());
            return Err(PositionRefused::Torn { task, place }.into());
        }
        task.inputs = inputs;
        task.is_released = false;
        Ok(Some(task.committed.clone()))
    }

    /// Returns whether a transaction of an earlier owner is not settled yet.
    fn is_on_its_way(&self, owner: &Owner) -> bool {
        self.queue.iter().any(|pending| match pending {
            Pending::Append { .. } => false,
            Pending::Transaction(pending) => {
                pending.owner.task == owner.task
                    || Some(&pending.owner.task) == owner.renamed_from.as_ref()
            }
        })
    }

    /// Refuses places that do not fit this log.
    pub(super) fn check_places(&self, consumed: &[Consumed]) -> Result<(), OpenError> {
        for Consumed { partition, next } in consumed {
            self.check_position(partition, *next)?;
        }
        Ok(())
    }

    /// Lets a task, whose owner is fenced, go on elsewhere; false while a transaction of an earlier
    /// owner is on its way.
    pub(super) fn reposition(&mut self, to: &Reposition) -> bool {
        if self.is_on_its_way(&to.owner()) {
            return false;
        }
        let task = self.tasks.tasks.get_mut(&to.task);
        let task = task.expect("nobody removes a task between its fence and here");
        let places = to.consumed.iter().map(|place| (place.partition.clone(), place.next));
        task.inputs = places.collect();
        task.committed.began = true;
        task.committed.consumed.clone_from(&task.inputs);
        task.committed.positions.extend(to.positions.iter().cloned());
        (task.is_released, task.is_torn) = (false, false);
        true
    }

    /// Returns where the task goes on in one input, and refuses a position that does not fit.
    fn start_of(&self, owner: &Owner, input: &TopicPartition) -> Result<LogPosition, OpenError> {
        let committed = self.committed(&owner.task).unwrap_or_default();
        let Some(position) = check::resume(&owner.task, &committed, input)? else {
            return Ok(self.bounds(input)?.start);
        };
        self.check_position(input, position)?;
        Ok(position)
    }

    pub(super) fn committed(&self, task: &TaskId) -> Option<Committed> {
        self.tasks.tasks.get(task).map(|task| task.committed.clone())
    }

    /// Trims what is older than its topic's retention, up to the slowest task.
    pub(super) fn maintain(&mut self) {
        let now = self.clock.now();
        for (name, topic) in &mut self.topics {
            let Some(retention) = topic.topic.config.retention else { continue };
            let millis = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
            let until = now.as_millis().saturating_sub(millis);
            for (index, partition) in (0..).zip(&mut topic.partitions) {
                let expired = partition.expired(millstream_model::Timestamp::from_millis(until));
                let slowest = self.tasks.slowest(&TopicPartition::new(name.clone(), index));
                partition.trim(slowest.map_or(expired, |(_, position)| expired.min(position)));
            }
        }
    }
}
