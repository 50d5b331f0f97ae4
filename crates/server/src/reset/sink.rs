//! The sink's half: what its table says, and what the log knows of it, go on from one place.

use std::collections::BTreeMap;

use millstream_lake::position::PartitionPosition;
use millstream_lake::{Counting, IcebergSink, Lake, Reposition, TableName};
use millstream_log::Log;
use millstream_model::{LogPosition, PartitionId, TaskId, TopicName, TopicPartition};
use millstream_pipeline::Counts;
use millstream_pipeline::sink::{Sink as _, SinkPosition, place};
use millstream_runtime::Context;

use super::{Place, ResetError, Step, move_task, open, unreadable};

/// The tasks and the table of a sink that is to go on elsewhere.
#[derive(Debug)]
pub(crate) struct SinkReset<'r> {
    /// The log.
    pub(crate) log: &'r dyn Log,
    /// The tables.
    pub(crate) lake: &'r Lake,
    /// The sink's name.
    pub(crate) name: &'r str,
    /// Its table.
    pub(crate) table: &'r TableName,
    /// The topic it reads.
    pub(crate) topic: &'r TopicName,
    /// Its tasks, one for each partition.
    pub(crate) tasks: Vec<TaskId>,
    /// Where they are to go on.
    pub(crate) place: Place,
}

/// What a sink is to go on with.
#[derive(Debug)]
pub(crate) struct SinkPlan {
    /// Each partition that goes on elsewhere.
    pub(crate) steps: Vec<Step>,
    /// Why the table itself is refused, if it is.
    pub(crate) refused: Option<String>,
    /// Whether there is a table.
    has_table: bool,
    counting: Counting,
    /// What the table says of each partition.
    stored: BTreeMap<PartitionId, (LogPosition, PartitionPosition)>,
}

impl SinkPlan {
    /// Returns whether nothing is to be done.
    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.refused.is_none()
    }
}

impl SinkReset<'_> {
    /// Finds what cannot go on. Takes the tasks over from whoever owns them, who opens again.
    pub(crate) async fn plan(&self, cx: &Context) -> Result<SinkPlan, ResetError> {
        let mut plan = self.look(cx).await?;
        for (number, task) in (0..).zip(&self.tasks) {
            let input = TopicPartition::new(self.topic.clone(), number);
            let stored = plan.stored.get(&input.partition).map(|(next, _)| *next);
            let Some(why) = self.refusal(cx, task, &input, &plan).await? else { continue };
            let bounds = self.log.bounds(cx, &input).await?;
            let to = match (self.place, stored) {
                (Place::Table, Some(stored)) => {
                    if let Some(why) = unreadable(cx, self.log, &input, stored).await? {
                        let offset = stored.offset;
                        return Err(ResetError::NotInLog { input, offset, why });
                    }
                    stored
                }
                // A table without a position has nothing of the partition.
                (Place::Beginning | Place::Table, _) => bounds.start,
                (Place::End, _) => bounds.end,
            };
            let is_new_topic = stored.is_some_and(|at| at.log == to.log && at.topic != to.topic);
            if is_new_topic && !self.log.admin().is_gapless() {
                plan.counting = Counting::Kept;
            }
            let (task, start) = (task.clone(), bounds.start.offset);
            plan.steps.push(Step { task, input, why, stood: stored, to, start });
        }
        Ok(plan)
    }

    /// Moves the table first, then the tasks: a crash between leaves the sink refused as before.
    pub(crate) async fn apply(
        &self,
        cx: &Context,
        plan: &SinkPlan,
        mut sink: IcebergSink,
    ) -> Result<(), ResetError> {
        if !plan.has_table {
            sink.open(cx, &[]).await?;
        }
        let is_moved = |step: &&Step| step.stood != Some(step.to);
        let places = plan.steps.iter().filter(is_moved);
        let places = places.map(|step| (step.input.partition, step.to)).collect();
        let (sink, topic, counting) = (self.name, self.topic, plan.counting);
        let to = Reposition { sink, topic, places, counting };
        self.lake.reposition_sink(cx, self.table, &to).await?;
        for step in &plan.steps {
            let counts = plan.counts_after(step);
            move_task(cx, self.log, step, vec![(Counts::source_id(), counts.encode())]).await?;
        }
        Ok(())
    }

    /// Reads what the table says.
    async fn look(&self, cx: &Context) -> Result<SinkPlan, ResetError> {
        cx.check().map_err(millstream_lake::LakeError::from)?;
        let (steps, counting) = (Vec::new(), Counting::Anew);
        let found = self.lake.snapshot_standing(self.table).await?;
        let has_table = found.is_some();
        let (mut stored, mut refused) = (BTreeMap::new(), None);
        if let Some(found) = found {
            let map = found.standing.map;
            refused = found.refused.map(|refused| refused.to_string());
            let partitions = map.sinks.get(self.name).map(|sink| &sink.partitions);
            for (partition, position) in partitions.into_iter().flatten() {
                if let Some(next) = map.get(self.name, *partition) {
                    stored.insert(*partition, (next, *position));
                }
            }
        }
        Ok(SinkPlan { steps, refused, has_table, counting, stored })
    }

    /// Returns why the sink cannot go on in one partition, if that is so.
    async fn refusal(
        &self,
        cx: &Context,
        task: &TaskId,
        input: &TopicPartition,
        plan: &SinkPlan,
    ) -> Result<Option<String>, ResetError> {
        let stored = plan.stored.get(&input.partition);
        let position = stored.map(|(next, counts)| SinkPosition {
            partition: input.clone(),
            next: *next,
            rows: counts.rows,
            rejected: counts.rejected,
        });
        let (_, refused) = open(cx, self.log, task, input).await?;
        if refused.is_some() {
            return Ok(refused);
        }
        let committed = self.log.committed(cx, task).await?.unwrap_or_default();
        let start = self.log.bounds(cx, input).await?.start;
        match place(input, &committed, position.as_ref(), start) {
            Ok(from) => unreadable(cx, self.log, input, from).await,
            Err(refused) => Ok(Some(refused.to_string())),
        }
    }
}

impl SinkPlan {
    /// Returns what the log counts of a partition once it has moved: what the table counts.
    fn counts_after(&self, step: &Step) -> Counts {
        let stays = step.stood == Some(step.to) || self.counting == Counting::Kept;
        let stored = self.stored.get(&step.input.partition).filter(|_| stays);
        stored.map_or_else(Counts::default, |(_, counts)| Counts {
            read: counts.rows + counts.rejected,
            written: counts.rows,
            rejected: counts.rejected,
            ..Counts::default()
        })
    }
}
