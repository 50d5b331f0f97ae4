//! What a partition holds now, and whether a position fits it.
//!
//! Kafka's leader epoch is the incarnation of a position, plus one, so that zero stays "before the
//! first record". It is the epoch of the record before the offset or a later one, up to the
//! leader's: brokers say where an epoch ended, so any of these tells a history that was cut.

use std::sync::Arc;
use std::time::Duration;

use millstream_log::{Bounds, PositionRefused, ReaderError, check};
use millstream_model::{
    Incarnation, LogId, LogPosition, Offset, Timestamp, TopicId, TopicPartition,
};
use millstream_runtime::{Context, TaskKind};
use rdkafka::error::RDKafkaErrorCode as Code;
use tokio::time::Instant;

use crate::call::{self, CallError};
use crate::client::Isolation;
use crate::cluster::Cluster;
use crate::error::{Reason, is_moving};
use crate::ffi::admin::{self, EpochOffset, list_offsets};
use crate::names::number;

/// How often it is asked again when a topic is created anew meanwhile.
const ATTEMPTS_MAX: usize = 3;

/// How long to wait before asking for a partition's leader again.
const LEADER_PAUSE: Duration = Duration::from_millis(50);

/// An offset with the leader epoch that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: Offset,
    pub(super) epoch: Option<i32>,
}

impl Place {
    /// Takes a position apart.
    pub(super) fn of(position: LogPosition) -> Self {
        let epoch = position.incarnation.0.checked_sub(1).and_then(|epoch| epoch.try_into().ok());
        Self { offset: position.offset, epoch }
    }

    /// Puts a position together; before the first offset nothing was ever written.
    pub(super) fn position(self, log: LogId, topic: TopicId) -> LogPosition {
        let epoch = self.epoch.and_then(|epoch| u64::try_from(epoch).ok()).unwrap_or(0);
        let incarnation =
            if self.offset == Offset(0) { Incarnation::NONE } else { Incarnation(epoch + 1) };
        LogPosition { log, topic, incarnation, offset: self.offset }
    }
}

/// What a partition holds now, as readers of committed records see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Observed {
    pub(super) topic: TopicId,
    pub(super) start: Place,
    pub(super) end: Place,
}

impl Observed {
    fn new(topic: TopicId, start: EpochOffset, end: EpochOffset) -> Self {
        let place = |found: EpochOffset| Place {
            offset: Offset(found.offset),
            epoch: (found.epoch >= 0).then_some(found.epoch),
        };
        let (mut start, end) = (place(start), place(end));
        // An empty partition has no epoch at its start: the end's holds there too.
        start.epoch = start.epoch.or(end.epoch);
        Self { topic, start, end }
    }

    /// Stands for an incarnation that the brokers do not tell.
    pub(super) fn unknown_incarnation() -> Incarnation {
        Incarnation(u64::MAX)
    }

    /// Returns the first readable position and the end.
    fn bounds(&self, log: LogId) -> Bounds {
        let position = |place: Place| place.position(log, self.topic);
        Bounds { start: position(self.start), end: position(self.end) }
    }

    /// Refuses a position that does not fit.
    pub(super) fn check(
        &self,
        log: LogId,
        partition: &TopicPartition,
        position: LogPosition,
    ) -> Result<(), PositionRefused> {
        check::position(partition, &position, &self.bounds(log))?;
        match self.contradiction(position) {
            None => Ok(()),
            Some(found) => check::history(partition, &position, found),
        }
    }

    /// Returns the incarnation that the bounds alone prove to stand before a position, when it is
    /// another; histories in between are the brokers' to check, when reading begins.
    fn contradiction(&self, position: LogPosition) -> Option<Incarnation> {
        let of = |place: Place| place.position(position.log, position.topic).incarnation;
        let LogPosition { offset, incarnation, .. } = position;
        if offset == Offset(0) {
            return (incarnation != Incarnation::NONE).then_some(Incarnation::NONE);
        }
        if incarnation > of(self.end) {
            return Some(of(self.end));
        }
        // What stood before the first readable offset may be older than it.
        let oldest = if offset > self.start.offset {
            of(Place { offset, ..self.start })
        } else {
            Incarnation(1)
        };
        (incarnation < oldest).then(|| of(Place { offset, ..self.start }))
    }
}

/// Asks what a partition holds, and of which topic.
pub(super) async fn observe(
    cluster: &Arc<Cluster>,
    cx: &Context,
    partition: &TopicPartition,
) -> Result<Observed, ReaderError> {
    for _ in 0..ATTEMPTS_MAX {
        let before = cluster.topic(cx, &partition.topic).await?;
        let known = before.filter(|topic| partition.partition.0 < topic.partitions);
        let Some(before) = known else {
            // What was remembered may be from before the topic was made.
            let now = cluster.describe(cx, &partition.topic).await?;
            match now {
                Some(topic) if partition.partition.0 < topic.partitions => continue,
                _ => return Err(ReaderError::UnknownPartition(partition.clone())),
            }
        };
        let (start, end) = match offsets(cluster, cx, partition).await {
            Ok(found) => found,
            Err(CallError::Kafka(error)) if matches!(error.reason, Reason::UnknownTopic { .. }) => {
                return Err(ReaderError::UnknownPartition(partition.clone()));
            }
            // Nobody leads a topic that is gone either.
            Err(CallError::Kafka(error)) if matches!(error.reason, Reason::NoLeader { .. }) => {
                match cluster.describe(cx, &partition.topic).await? {
                    Some(_without_leader) => return Err(CallError::from(error).into()),
                    None => return Err(ReaderError::UnknownPartition(partition.clone())),
                }
            }
            Err(error) => return Err(error.into()),
        };
        // The same before and after: the offsets are those of this topic.
        let after = cluster.describe(cx, &partition.topic).await?;
        if after.is_some_and(|after| after.id == before.id) {
            return Ok(Observed::new(before.id, start, end));
        }
    }
    Err(ReaderError::UnknownPartition(partition.clone()))
}

async fn offsets(
    cluster: &Arc<Cluster>,
    cx: &Context,
    partition: &TopicPartition,
) -> Result<(EpochOffset, EpochOffset), CallError> {
    let deadline = Instant::now() + cluster.config.request_time_max;
    loop {
        let (name, number) = (cluster.names.topic(&partition.topic), number(partition));
        let asking = Arc::clone(cluster);
        let ask = move || {
            let time_max = asking.config.request_time_max;
            let of = (name.as_str(), number);
            let found = list_offsets(asking.native(), of, Isolation::Committed, time_max);
            let found = asking.outcome("ask for the bounds", found);
            if found.as_ref().is_err_and(|error| error.code().is_some_and(is_moving)) {
                asking.ask_for_leaders(&name);
            }
            found
        };
        match call::run(cx, cluster.config.hang_time_max(), TaskKind("kafka_bounds"), ask).await {
            // Of a topic that is gone this is said too, and then waiting is in vain.
            Err(CallError::Kafka(error))
                if error.code() == Some(Code::NoEnt)
                    && cluster.describe(cx, &partition.topic).await?.is_none() =>
            {
                return Err(error.into());
            }
            // The leader of a topic that was just made, or of a broker that just started, is known
            // to the brokers one after the other.
            Err(CallError::Kafka(error))
                if error.code().is_some_and(is_moving) && Instant::now() < deadline =>
            {
                cx.sleep(LEADER_PAUSE).await?;
            }
            answer => return answer,
        }
    }
}

/// Returns the first readable position of a partition and the end that a reader may see now.
pub(crate) async fn bounds(
    cluster: &Arc<Cluster>,
    cx: &Context,
    partition: &TopicPartition,
) -> Result<Bounds, ReaderError> {
    Ok(observe(cluster, cx, partition).await?.bounds(cluster.log_id))
}

/// Returns the first offset whose record was accepted at `since` or later; the end when there is
/// none. The brokers find it in their index by time.
pub(crate) async fn offset_at(
    cluster: &Arc<Cluster>,
    cx: &Context,
    partition: &TopicPartition,
    since: Timestamp,
) -> Result<Offset, ReaderError> {
    let end = observe(cluster, cx, partition).await?.end.offset;
    let (name, number) = (cluster.names.topic(&partition.topic), number(partition));
    let asking = Arc::clone(cluster);
    let ask = move || {
        let time_max = asking.config.request_time_max;
        let of = (name.as_str(), number);
        let found = admin::offset_at(asking.native(), of, since.as_millis(), time_max);
        asking.outcome("ask for the offset of a time", found)
    };
    let found =
        call::run(cx, cluster.config.hang_time_max(), TaskKind("kafka_offset_at"), ask).await?;
    Ok(found.map_or(end, Offset))
}

/// Refuses a position that does not fit the partition as it is now.
pub(crate) async fn check_position(
    cluster: &Arc<Cluster>,
    cx: &Context,
    partition: &TopicPartition,
    position: LogPosition,
) -> Result<(), ReaderError> {
    let observed = observe(cluster, cx, partition).await?;
    Ok(observed.check(cluster.log_id, partition, position)?)
}

#[cfg(test)]
mod tests;
