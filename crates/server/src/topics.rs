//! The topics of a log: what they are for, where they begin and end, how long they are kept.

use std::sync::Arc;

use millstream_log::{AdminError, Log, ReaderError, Topic, TopicKind};
use millstream_model::{Classify, ErrorClass, TopicPartition};
use millstream_runtime::Context;
use thiserror::Error;

use crate::reading::each;
use crate::status::{PartitionRow, TopicInfo, Unit};

/// Why the topics could not be listed.
#[derive(Debug, Error)]
pub(crate) enum TopicsError {
    /// The log does not say which there are.
    #[error("list the topics")]
    Topics(#[from] AdminError),
    /// The log does not say how far one goes.
    #[error("look up where a topic begins and ends")]
    Bounds(#[from] ReaderError),
}

impl Classify for TopicsError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Topics(error) => error.class(),
            Self::Bounds(error) => error.class(),
        }
    }
}

/// Returns every topic of the log, by name.
pub(crate) async fn list(cx: &Context, log: Arc<dyn Log>) -> Result<Vec<TopicInfo>, TopicsError> {
    let topics = log.admin().topics(cx).await?;
    let mut rows = Vec::with_capacity(topics.len());
    for topic in topics {
        rows.push(row(cx, &*log, topic).await?);
    }
    Ok(rows)
}

async fn row(cx: &Context, log: &dyn Log, topic: Topic) -> Result<TopicInfo, TopicsError> {
    let Topic { name, id, config } = topic;
    let partitions = each(0..config.partitions, async |number| {
        let bounds = log.bounds(cx, &TopicPartition::new(name.clone(), number)).await?;
        let (start, end) = (bounds.start.offset.0, bounds.end.offset.0);
        Ok::<_, ReaderError>(PartitionRow { partition: number, start, end })
    });
    let partitions = partitions.await?;
    Ok(TopicInfo {
        id: id.to_string(),
        kind: kind(config.kind).to_owned(),
        unit: Unit::of(log),
        count: partitions.iter().map(|row| row.end.saturating_sub(row.start)).sum(),
        retention_ms: config.retention.and_then(|kept| u64::try_from(kept.as_millis()).ok()),
        name: name.to_string(),
        partitions,
    })
}

fn kind(kind: TopicKind) -> &'static str {
    match kind {
        TopicKind::Events => "events",
        TopicKind::DeadLetters => "dead letters",
        TopicKind::Changelog => "changelog",
    }
}
