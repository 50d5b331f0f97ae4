//! Looks whether the cluster is there, for a node that takes events only when it is and may have no
//! task to show it: a collector with `durability: replicated`. Whoever balances between collectors
//! then hears of it before the events do.

use std::sync::Arc;
use std::time::Duration;

use millstream_log::Log as _;
use millstream_model::TopicPartition;
use millstream_runtime::{Clock, Context};
use tracing::{info, warn};

use crate::logs::{Away, ClusterLog};

/// How often it is looked: how old what is shown may be.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Asks where `partition` ends until `cx` ends, and notes in the cluster why there is no answer.
///
/// One partition stands for all: it is about the cluster as a whole.
pub(crate) async fn watch(cx: Context, cluster: Arc<ClusterLog>, partition: TopicPartition) {
    while cx.sleep(LOOK_INTERVAL).await.is_ok() {
        // Until it is open, whoever opens it notes why it is not.
        if !cluster.is_open() {
            continue;
        }
        let asked = cluster.bounds(&cx, &partition).await;
        if cx.is_cancelled() {
            return;
        }
        let was_away = cluster.away().is_some();
        match asked {
            Ok(_bounds) if was_away => {
                cluster.note_there();
                info!("kafka is there again");
            }
            Ok(_bounds) => {}
            Err(error) => {
                let reason = format!("{:#}", anyhow::Error::new(error));
                if !was_away {
                    warn!(%reason, "kafka is away: no event is taken");
                }
                let since = Clock::system().now();
                cluster.note_away(Away { since, is_refused: false, reason });
            }
        }
    }
}
