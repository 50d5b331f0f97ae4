//! Looks whether the cluster and its topics are there, while a node on Kafka runs.
//!
//! Tasks notice when they work, each in its own words and after a time-out of its own; a collector
//! without tasks notices with the next event; and whose topic was deleted has no task any more to
//! notice anything. This notices within seconds, once, whatever runs here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use millstream_log_kafka::{CallError, KafkaLog, is_away};
use millstream_model::TopicName;
use millstream_runtime::{Clock, Context};
use tracing::{error, info, warn};

use crate::logs::{Away, ClusterLog};

/// How often it is looked: about how old what is shown may be.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// After how many looks in a row a topic counts as deleted: a broker that has just started may not
/// know it yet.
const MISSING_LOOKS: usize = 3;

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
        let mut absence = Absence::default();
        while cx.sleep(LOOK_INTERVAL).await.is_ok() {
            // Until it is open, whoever opens it notes why it is not.
            let Some(log) = self.cluster.opened() else { continue };
            let looked = self.look(&cx, log).await;
            if cx.is_cancelled() {
                return;
            }
            match looked {
                Ok(missing) => self.note_there(absence.judge(missing)),
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

/// Believes that a topic is missing only when several looks in a row say so.
#[derive(Debug, Default)]
struct Absence {
    /// What the last looks found missing, the newest last.
    looks: VecDeque<Vec<TopicName>>,
}

impl Absence {
    /// Takes what one more look found missing; returns what is.
    fn judge(&mut self, missing: Vec<TopicName>) -> Vec<TopicName> {
        self.looks.push_back(missing);
        if self.looks.len() > MISSING_LOOKS {
            self.looks.pop_front();
        }
        if self.looks.len() < MISSING_LOOKS {
            return Vec::new();
        }
        let is_missing = |topic: &&TopicName| self.looks.iter().all(|look| look.contains(topic));
        self.looks[0].iter().filter(is_missing).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_missing_once_three_looks_in_a_row_do_not_find_it() {
        let [a, b] = ["a", "b"].map(|name| TopicName::new(name).unwrap());
        let mut absence = Absence::default();
        let both = vec![a.clone(), b.clone()];
        let (only_a, only_b, none) = (vec![a], vec![b], Vec::new());
        let mut judge = |missing: &Vec<TopicName>| absence.judge(missing.clone());
        assert_eq!(judge(&only_a), none);
        assert_eq!(judge(&both), none);
        assert_eq!(judge(&both), only_a);
        assert_eq!(judge(&only_b), only_b, "the other is there again");
        assert_eq!(judge(&none), none);
        assert_eq!(judge(&only_b), none, "it counts anew");
    }
}
