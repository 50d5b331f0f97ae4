//! Administration: topics, tasks, trimming.

use std::sync::Arc;

use async_trait::async_trait;
use millstream_model::{LogId, Offset, TaskId, TopicName, TopicPartition};
use millstream_runtime::Context;

use super::partition::Partition;
use super::state::{State, StoredTopic};
use super::{Gaps, Shared};
use crate::check;
use crate::contract::{LogAdmin, Reposition};
use crate::error::{AdminError, OpenError};
use crate::topic::{Topic, TopicConfig};

#[derive(Debug)]
pub(super) struct MemoryAdmin {
    shared: Arc<Shared>,
}

impl MemoryAdmin {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[async_trait]
impl LogAdmin for MemoryAdmin {
    fn log_id(&self) -> LogId {
        self.shared.state().id
    }

    fn is_gapless(&self) -> bool {
        self.shared.state().gaps == Gaps::None
    }

    async fn ensure_topic(
        &self,
        cx: &Context,
        name: &TopicName,
        config: &TopicConfig,
    ) -> Result<Topic, AdminError> {
        cx.check()?;
        self.shared.change(|state| state.ensure_topic(name, config))
    }

    async fn topics(&self, cx: &Context) -> Result<Vec<Topic>, AdminError> {
        cx.check()?;
        let state = self.shared.state();
        state.check_administrable()?;
        Ok(state.topics.values().map(|stored| stored.topic.clone()).collect())
    }

    async fn tasks(&self, cx: &Context) -> Result<Vec<TaskId>, AdminError> {
        cx.check()?;
        let state = self.shared.state();
        state.check_administrable()?;
        Ok(state.tasks.ids())
    }

    async fn trim(
        &self,
        cx: &Context,
        partition: &TopicPartition,
        before: Offset,
    ) -> Result<(), AdminError> {
        cx.check()?;
        self.shared.change(|state| state.trim(partition, before))
    }

    async fn reposition(&self, cx: &Context, to: &Reposition) -> Result<(), OpenError> {
        cx.check()?;
        let mut changes = self.shared.changes.subscribe();
        let owner = to.owner();
        self.shared.change(|state| {
            state.check_places(&to.consumed)?;
            state.fence(&owner)
        })?;
        // What an earlier owner has on its way comes before it.
        while !self.shared.change(|state| state.reposition(to)) {
            // The sender lives as long as this log: an error cannot come.
            let (Ok(()) | Err(_)) = cx.run(changes.changed()).await?;
        }
        Ok(())
    }
}

impl State {
    fn check_administrable(&self) -> Result<(), AdminError> {
        if self.closed { Err(AdminError::Closed) } else { Ok(()) }
    }

    fn ensure_topic(
        &mut self,
        name: &TopicName,
        config: &TopicConfig,
    ) -> Result<Topic, AdminError> {
        self.check_administrable()?;
        check::topic(name, config, self.topics.get(name).map(|stored| &stored.topic.config))?;
        if let Some(stored) = self.topics.get_mut(name) {
            stored.topic.config = config.clone();
            return Ok(stored.topic.clone());
        }
        let id = self.new_topic_id();
        let topic = Topic { name: name.clone(), id, config: config.clone() };
        let partitions = (0..config.partitions).map(|_| Partition::new()).collect();
        self.topics.insert(name.clone(), StoredTopic { topic: topic.clone(), partitions });
        Ok(topic)
    }

    fn trim(&mut self, name: &TopicPartition, before: Offset) -> Result<(), AdminError> {
        self.check_administrable()?;
        let slowest = self.tasks.slowest(name);
        let Some(partition) = self.partition_mut(name) else {
            return Err(AdminError::UnknownPartition(name.clone()));
        };
        check::trim(name, before, partition.end(), slowest)?;
        partition.trim(before);
        Ok(())
    }
}
