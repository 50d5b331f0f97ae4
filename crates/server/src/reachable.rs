//! Looks whether the cluster and its topics are there, while a node on Kafka runs.
//!
//! Tasks notice when they work, each in its own words and after a time-out of its own; a collector
//! without tasks notices with the next event; and whose topic was deleted has no task any more to
//! notice anything. This notices within seconds, once, whatever runs here.

use std::sync::Arc;
use std::time::Duration;

use millstream_log_kafka::{CallError, KafkaLog, is_away};
use millstream_model::TopicName;
use millstream_runtime::{Clock, Context};
use tracing::{error, info, warn};

use crate::logs::{Away, ClusterLog};

/// How often it is looked: about how old what is shown may be.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// What is looked at, and what to say of it.
#[derive(Debug)]
pub(crate) struct Watch {
    /// The cluster.
    pub(crate) cluster: Arc<ClusterLog>,
    /// The topics that must be there.
    pub(crate) topics: Vec<TopicName>,
    /// What this node does without a cluster.
    pub(crate) meanwhile: &'static str,
}

impl Watch {
    /// Looks until `cx` ends, and notes in the cluster what is not as it should be.
    pub(crate) async fn run(self, cx: Context) {
        while cx.sleep(LOOK_INTERVAL).await.is_ok() {
            // Until it is open, whoever opens it notes why it is not.
            let Some(log) = self.cluster.opened() else { continue };
            let looked = self.look(&cx, log).await;
            if cx.is_cancelled() {
                return;
            }
            match looked {
                Ok(missing) => self.note_there(missing),
                Err(error) => self.note_away(error),
            }
        }
    }

    async fn look(&self, cx: &Context, log: &KafkaLog) -> Result<Vec<TopicName>, CallError> {
        log.cluster().missing(cx, self.topics.clone()).await
    }

    fn note_there(&self, missing: Vec<TopicName>) {
        if self.cluster.away().is_some() {
            info!("kafka is there again");
        }
        self.cluster.note_there();
        if missing != self.cluster.missing() {
            match missing.as_slice() {
                [] => info!("all topics are there again"),
                topics => error!(?topics, "topics are not in Kafka any more"),
            }
            self.cluster.note_missing(missing);
        }
    }

    fn note_away(&self, error: CallError) {
        let is_refused = !is_away(&error);
        let reason = format!("{:#}", anyhow::Error::new(error));
        if self.cluster.away().is_none_or(|away| away.is_refused != is_refused) {
            let meanwhile = self.meanwhile;
            if is_refused {
                error!(%reason, meanwhile, "kafka refuses this node; it is tried again");
            } else {
                warn!(%reason, meanwhile, "kafka is away; it is tried again");
            }
        }
        self.cluster.note_away(Away { since: Clock::system().now(), is_refused, reason });
    }
}
