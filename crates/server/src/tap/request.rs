//! What is asked of a tap, as a query says it and as it is done.

use std::sync::Arc;

use millstream_log::{AdminError, Log};
use millstream_model::{TopicName, TopicPartition};
use millstream_runtime::Context;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Filter, From};

/// A tap as the query of `/api/v1/tap` has it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Ask {
    /// The topic.
    pub(crate) topic: String,
    /// Only this partition.
    pub(crate) partition: Option<u32>,
    /// Where to begin.
    pub(crate) from: Option<String>,
    /// Only these records.
    pub(crate) filter: Option<String>,
    /// How many records at most.
    pub(crate) limit: Option<u64>,
    /// Whether to wait for what comes when all that is there was shown.
    pub(crate) follow: Option<bool>,
}

/// A tap, its topic found.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// What to read.
    pub(crate) partitions: Vec<TopicPartition>,
    /// Where to begin.
    pub(crate) from: From,
    /// Which records to show; `None`: all.
    pub(crate) filter: Option<Filter>,
    /// How many to show at most.
    pub(crate) limit: u64,
    /// When to end.
    pub(crate) until: Until,
}

/// When a tap ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// When all is shown that was there when it began.
    End,
    /// Never.
    Forever,
}

/// Why a tap cannot be.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    /// The query says nothing that could be done.
    #[error("`{name}`: {reason}")]
    Query {
        /// What is wrong.
        name: &'static str,
        /// Why, and what to write.
        reason: String,
    },
    /// There is no such topic.
    #[error("there is no topic `{topic}`; there are {}", .known.join(", "))]
    NoTopic {
        /// What was asked for.
        topic: String,
        /// Those that are there.
        known: Vec<String>,
    },
    /// There is no such partition.
    #[error("topic {topic} has partitions 0 to {last}, not {partition}")]
    NoPartition {
        /// The topic.
        topic: String,
        /// What was asked for.
        partition: u32,
        /// The last that is there.
        last: u32,
    },
    /// The log does not say which topics there are.
    #[error("list the topics")]
    Topics(#[from] AdminError),
}

impl Ask {
    /// Finds what is asked for in a log.
    pub(crate) async fn find(&self, cx: &Context, log: &Arc<dyn Log>) -> Result<Request, AskError> {
        let wrong = |name| move |reason| AskError::Query { name, reason };
        let from = self.from.as_deref().map(str::parse).transpose().map_err(wrong("from"))?;
        let filter = self.filter.as_deref().map(str::parse).transpose().map_err(wrong("filter"))?;
        let topics = log.admin().topics(cx).await?;
        let Some(topic) = topics.iter().find(|topic| topic.name.as_str() == self.topic) else {
            let known = topics.iter().map(|topic| topic.name.to_string()).collect();
            return Err(AskError::NoTopic { topic: self.topic.clone(), known });
        };
        Ok(Request {
            partitions: self.partitions(&topic.name, topic.config.partitions)?,
            from: from.unwrap_or_default(),
            filter,
            limit: self.limit.unwrap_or(u64::MAX),
            until: if self.follow.unwrap_or(true) { Until::Forever } else { Until::End },
        })
    }

    fn partitions(&self, topic: &TopicName, count: u32) -> Result<Vec<TopicPartition>, AskError> {
        let partition = |number| TopicPartition::new(topic.clone(), number);
        match self.partition {
            None => Ok((0..count).map(partition).collect()),
            Some(number) if number < count => Ok(vec![partition(number)]),
            Some(number) => Err(AskError::NoPartition {
                topic: topic.to_string(),
                partition: number,
                last: count.saturating_sub(1),
            }),
        }
    }
}
