//! A task that goes on under a new name: what stands under the old one moves in one transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_log::OpenError;
use millstream_model::{LogPosition, TaskId, TopicPartition};
use millstream_runtime::Context;

use super::complete::Patience;
use super::{Completion, Opening, Standing};
use crate::call::CallError;
use crate::positions::Group;
use crate::positions::record::TaskRecord;
use crate::writer::batch::Batch;
use crate::writer::producer::Producer;

/// The old name of a task, whose owner is fenced.
pub(super) struct Renamed {
    old: TaskId,
    group: Arc<Group>,
    /// Whether the old name's offsets lie in another group than the new one's.
    is_other_group: bool,
    /// Commits the move: who opens the old name meanwhile fences it, and then nothing moves.
    producer: Producer,
}

impl Opening<'_> {
    /// Looks up what stands under the old name. One that was never opened is marked all the same:
    /// a worker that still knows it must not open it from now on.
    ///
    /// `own` is the producer of the new name.
    pub(super) async fn look_under(
        &self,
        cx: &Context,
        old: &TaskId,
        own: &Producer,
    ) -> Result<(Standing, Option<Renamed>), OpenError> {
        let (tasks, inputs) = (self.tasks, &self.owner.inputs);
        let producer = tasks.fence(cx, self.topic, old, Completion::Required).await?;
        // Another worker may have moved the task with the old name's producer, which only now is
        // fenced: what it left is looked at afresh.
        let of = (self.topic, &self.owner.task, Patience::Full);
        if let Some(error) = tasks.complete(cx, of, own, Completion::Required).await? {
            return Err(CallError::from(error).into());
        }
        let new = tasks.standing(cx, self.topic, &self.owner.task, inputs).await?;
        if new.entry.record.is_some() {
            return Ok((new, None));
        }
        let standing = tasks.standing(cx, self.topic, old, inputs).await?;
        let is_there = standing.entry.record.is_some();
        let is_moved = standing.entry.renamed_to.is_some() || new.entry.renamed_to.is_some();
        if !is_there && is_moved {
            return Ok((new, None));
        }
        let names = &tasks.cluster.names;
        let is_other_group = names.group(old) != names.group(&self.owner.task);
        let (old, group) = (old.clone(), standing.group.clone());
        let renamed = Renamed { old, group, is_other_group, producer };
        let standing = if is_there { Standing { group: new.group, ..standing } } else { new };
        Ok((standing, Some(renamed)))
    }
}

impl Renamed {
    /// Returns what commits the move.
    pub(super) fn producer(&self) -> &Producer {
        &self.producer
    }

    /// Adds what moves: everything is written under the new name, and the old one says so.
    pub(super) fn take_over(
        &self,
        batch: &mut Batch,
        standing: &Standing,
        record: &TaskRecord,
        inputs: &BTreeMap<TopicPartition, LogPosition>,
    ) {
        for (source, position) in &standing.entry.positions {
            batch.set_position(source, position);
        }
        batch.rename(&self.old, standing.entry.positions.keys());
        if record.began {
            batch.set_offsets(&standing.group, inputs, &BTreeMap::new());
            if self.is_other_group {
                batch.mark_renamed(&self.group, inputs);
            }
        }
    }
}
