//! A task that goes on elsewhere than it committed, because a person said so.

use std::collections::BTreeMap;
use std::sync::Arc;

use millstream_log::{Consumed, OpenError, Reposition};
use millstream_model::{Epoch, LogPosition, TopicPartition};
use millstream_runtime::Context;

use super::{Completion, Tasks, failed};
use crate::positions::record::TaskRecord;
use crate::reader;
use crate::writer::batch::Batch;

impl Tasks {
    /// Lets a task go on elsewhere; see [`millstream_log::LogAdmin::reposition`].
    ///
    /// What stands there already is not compared with the log: that it does not fit is the reason.
    pub(crate) async fn reposition(
        self: &Arc<Self>,
        cx: &Context,
        to: &Reposition,
    ) -> Result<(), OpenError> {
        if self.is_closed() {
            return Err(OpenError::Closed);
        }
        let mut inputs: BTreeMap<TopicPartition, LogPosition> = BTreeMap::new();
        for Consumed { partition, next } in &to.consumed {
            reader::check_position(&self.cluster, cx, partition, *next).await?;
            inputs.insert(partition.clone(), *next);
        }
        let topic = self.positions.ensure_topic(cx).await?;
        let producer = self.fence(cx, topic, &to.task, Completion::GivenUp).await?;
        let partitions: Vec<_> = inputs.keys().cloned().collect();
        let standing = self.standing(cx, topic, &to.task, &partitions).await?;
        standing.check_name(&to.task)?;
        let epoch = Epoch(standing.epoch().0 + 1);
        let record = TaskRecord { epoch, began: true, is_released: false, inputs: inputs.clone() };
        let mut batch = Batch::new(&self.cluster.names, topic, &to.task);
        batch.set_task(&record);
        for (source, position) in &to.positions {
            batch.set_position(source, position);
        }
        batch.set_offsets(&standing.group, &inputs, &standing.committed_offsets());
        cx.run(producer.transact(batch)).await?.map_err(failed)
    }
}
