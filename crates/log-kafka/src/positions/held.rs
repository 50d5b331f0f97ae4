//! Why a partition could not be read to its end: which transaction holds it back, and
//! whether it can still end by itself.
//!
//! A transaction that its owner left is ended by the brokers, at the latest a clean-up interval
//! after its time-out. One that is open for longer lost its end marker: Kafka 4.3.1 forgets markers
//! for partitions that have no leader at that moment (`docs/decisions/0018`). Nobody ends it then
//! but a person, so the error names the place and the commands; it is said only of what was seen to
//! stay for so long.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::client::Isolation;
use crate::cluster::Cluster;
use crate::config::TRANSACTION_CLEANUP_INTERVAL;
use crate::error::{KafkaError, Reason};
use crate::ffi::admin::list_offsets;

/// How long one question of the search may take: it comes after a time-out already.
pub(super) const ASK_TIME_MAX: Duration = Duration::from_secs(1);

/// A partition that was not read to where it ended when the read began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missed {
    /// The topic, as Kafka names it.
    pub(crate) topic: String,
    /// The partition.
    pub(crate) partition: i32,
    /// Where it ended.
    pub(crate) high: i64,
}

/// Where a partition is held back, and since when that was seen.
#[derive(Debug, Clone, Copy)]
struct Held {
    offset: i64,
    since: Instant,
}

/// What was seen to hold back partitions.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    held: Mutex<BTreeMap<(String, i32), Held>>,
}

impl Watch {
    /// Explains why a read that began at some time did not reach the end of `missed`; `otherwise`
    /// where nothing holds them back.
    pub(crate) fn explain(
        &self,
        cluster: &Cluster,
        (began, missed): (Instant, &[Missed]),
        otherwise: KafkaError,
    ) -> KafkaError {
        let during = otherwise.during;
        if !matches!(otherwise.reason, Reason::TimedOut { .. }) {
            return otherwise;
        }
        for missed in missed {
            let stable = match stable_end(cluster, during, missed) {
                Ok(stable) => stable,
                // It was not another's transaction: the cluster does not answer.
                Err(error) => return error,
            };
            let Some(held) = self.look(missed, stable, began) else { continue };
            if held.since.elapsed() > longest(cluster) {
                return KafkaError::found(during, never_ends(cluster, missed, held));
            }
        }
        otherwise
    }

    /// Notes where a partition is held back; `None` when it is not, or no longer at that place.
    fn look(&self, missed: &Missed, stable: i64, began: Instant) -> Option<Held> {
        let mut all = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (missed.topic.clone(), missed.partition);
        // What ends before the old end was open when the read began, and has been since.
        if stable >= missed.high {
            all.remove(&place);
            return None;
        }
        let known = all.get(&place).filter(|held| held.offset == stable);
        let since = known.map_or(began, |held| held.since.min(began));
        let held = Held { offset: stable, since };
        all.insert(place, held);
        Some(held)
    }
}

/// Returns how long a transaction of a task may be open, whatever happens to its owner.
fn longest(cluster: &Cluster) -> Duration {
    cluster.config.transaction_timeout() + TRANSACTION_CLEANUP_INTERVAL
}

/// Asks how far readers of committed records may read.
fn stable_end(cluster: &Cluster, during: &'static str, missed: &Missed) -> Result<i64, KafkaError> {
    let of = (missed.topic.as_str(), missed.partition);
    let found = list_offsets(cluster.native(), of, Isolation::Committed, ASK_TIME_MAX);
    let end = cluster.outcome(during, found)?.1.offset;
    Ok(i64::try_from(end).unwrap_or(i64::MAX))
}

fn never_ends(cluster: &Cluster, missed: &Missed, held: Held) -> Reason {
    Reason::NeverEnds {
        brokers: cluster.config.brokers.join(","),
        topic: missed.topic.clone(),
        partition: missed.partition,
        offset: held.offset,
        seconds: held.since.elapsed().as_secs(),
    }
}

#[cfg(test)]
mod tests;
