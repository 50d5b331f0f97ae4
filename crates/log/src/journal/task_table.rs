//! The registered tasks of a journal: who owns each, what it committed, when it was last active.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use millstream_model::{Epoch, Incarnation, Offset, SourceId, TaskId, Timestamp};

use super::change::{Commit, OpenTask, Producer};
use super::codec::PartitionKey;
use crate::check::Standing;

/// One task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    pub number: u64,
    pub name: TaskId,
    /// The fencing number of the owner (P5).
    pub epoch: Epoch,
    /// How many transactions this owner committed (L6).
    pub sequence: u64,
    /// Whether any owner ever committed one.
    pub began: bool,
    /// When it was last opened or committed.
    pub active: Timestamp,
    /// What it reads, and holds back until it has; nothing once the task is released.
    pub inputs: Vec<PartitionKey>,
    /// The next offset of each input and the incarnation of the record before it.
    pub consumed: BTreeMap<PartitionKey, (Incarnation, Offset)>,
    pub positions: BTreeMap<SourceId, Bytes>,
}

impl Task {
    /// Returns where the task stands in a partition.
    pub(super) fn standing(&self, key: PartitionKey) -> Standing {
        match self.consumed.get(&key) {
            _ if !self.inputs.contains(&key) => Standing::NotAnInput,
            Some((_, offset)) => Standing::At(*offset),
            None => Standing::Begins,
        }
    }

    /// Returns whether releasing the task would let go of anything.
    pub(super) fn is_releasable(&self) -> bool {
        !self.began || !self.inputs.is_empty()
    }

    /// Returns whether the task was released and not opened since.
    pub(super) fn is_released(&self) -> bool {
        self.began && self.inputs.is_empty() && !self.consumed.is_empty()
    }
}

/// All tasks, by number and by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TaskTable {
    by_number: BTreeMap<u64, Task>,
    by_name: HashMap<TaskId, u64>,
    next_number: u64,
}

impl Default for TaskTable {
    fn default() -> Self {
        Self { by_number: BTreeMap::new(), by_name: HashMap::new(), next_number: 1 }
    }
}

impl TaskTable {
    /// Returns the tasks in order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Task> {
        self.by_number.values()
    }

    /// Returns how many tasks are registered.
    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Returns a task by its name.
    pub(super) fn named(&self, name: &TaskId) -> Option<&Task> {
        self.by_number.get(self.by_name.get(name)?)
    }

    /// Returns a task by its number.
    pub(super) fn numbered(&self, number: u64) -> Option<&Task> {
        self.by_number.get(&number)
    }

    /// Returns the number that the next task gets; numbers are never reused.
    pub(super) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Takes the counter over, when a snapshot is read.
    pub(super) fn set_next_number(&mut self, next: u64) {
        self.next_number = self.next_number.max(next);
    }

    /// Adds a task, when a snapshot is read.
    pub(super) fn restore(&mut self, task: Task) -> Result<(), &'static str> {
        if task.number == 0 || self.by_number.contains_key(&task.number) {
            return Err("snapshot numbers a task twice");
        }
        if self.by_name.insert(task.name.clone(), task.number).is_some() {
            return Err("snapshot names a task twice");
        }
        self.next_number = self.next_number.max(task.number.saturating_add(1));
        self.by_number.insert(task.number, task);
        Ok(())
    }

    /// Gives a task its new owner; a renamed task takes over what stood under the old name.
    pub(super) fn open(&mut self, open: &OpenTask, time: Timestamp) -> Result<(), &'static str> {
        let known = self.by_name.get(&open.name).copied();
        let renamed = open.renamed_from.as_ref().and_then(|old| self.by_name.get(old).copied());
        let number = known.or(renamed).unwrap_or(self.next_number);
        if number != open.number {
            return Err("task is opened under another number");
        }
        if known.is_none()
            && let Some(old) = open.renamed_from.as_ref().filter(|_| renamed.is_some())
        {
            self.by_name.remove(old);
        }
        let task = self.by_number.entry(number).or_insert_with(|| Task {
            number,
            name: open.name.clone(),
            epoch: Epoch(0),
            sequence: 0,
            began: false,
            active: time,
            inputs: Vec::new(),
            consumed: BTreeMap::new(),
            positions: BTreeMap::new(),
        });
        if open.epoch <= task.epoch {
            return Err("task is opened with an epoch that is not higher");
        }
        task.name = open.name.clone();
        task.epoch = open.epoch;
        task.sequence = 0;
        task.active = time;
        task.inputs.clone_from(&open.inputs);
        self.by_name.insert(open.name.clone(), number);
        self.next_number = self.next_number.max(number.saturating_add(1));
        Ok(())
    }

    /// Gives a task that has not begun a position in each input: where it begins is thereby
    /// registered, and an input that its first transaction leaves out does not count as lost.
    pub(super) fn begin_at(
        &mut self,
        number: u64,
        start_of: impl Fn(PartitionKey) -> Option<(Incarnation, Offset)>,
    ) {
        let Some(task) = self.by_number.get_mut(&number).filter(|task| !task.began) else { return };
        for input in &task.inputs {
            if let Some(start) = start_of(*input) {
                task.consumed.insert(*input, start);
            }
        }
    }

    /// Checks that a producer may commit next: the newest owner, nothing twice (P5, L6).
    pub(super) fn check(&self, producer: Producer) -> Result<&Task, &'static str> {
        let task = self.by_number.get(&producer.task).ok_or("commit of an unknown task")?;
        if producer.epoch != task.epoch {
            return Err("commit of a fenced owner");
        }
        if Some(producer.sequence) != task.sequence.checked_add(1) {
            return Err("commit out of sequence");
        }
        Ok(task)
    }

    /// Takes over what a task committed.
    pub(super) fn commit(&mut self, commit: &Commit, time: Timestamp) -> Result<(), &'static str> {
        let Some(producer) = commit.producer else { return Ok(()) };
        self.check(producer)?;
        let task = self.by_number.get_mut(&producer.task).ok_or("commit of an unknown task")?;
        task.sequence = producer.sequence;
        task.began = true;
        task.active = time;
        for place in &commit.consumed {
            task.consumed.insert(place.key, (place.incarnation, place.offset));
        }
        for (source, value) in &commit.positions {
            task.positions.insert(source.clone(), value.clone());
        }
        Ok(())
    }

    /// Lets go of a task: from now on it holds back no records.
    ///
    /// What it committed stays, without an end: forgotten, a task that comes back would do again
    /// whatever is still readable. A task that never began has nothing to remember.
    pub(super) fn release(&mut self, number: u64) -> Result<(), &'static str> {
        let task = self.by_number.get_mut(&number).ok_or("release of an unknown task")?;
        task.inputs.clear();
        if !task.began {
            let name = task.name.clone();
            self.by_number.remove(&number);
            self.by_name.remove(&name);
        }
        Ok(())
    }
}
