//! What topics are made with, and what is left to whoever set it.

use std::time::Duration;

use anyhow::{Result, ensure};
use millstream_log::{Log as _, TopicConfig, TopicKind};
use millstream_log_kafka::{Config, KafkaLog};
use millstream_model::TopicName;
use millstream_runtime::Context;

use crate::{block_on, broker};

/// How long everything may take.
const TEST_TIME_MAX: Duration = Duration::from_secs(120);
const DAY: Duration = Duration::from_secs(86_400);

/// Reaches the broker with a retention for dead letters.
async fn log(cx: &Context, config: &Config, dead_letters_retention: Duration) -> Result<KafkaLog> {
    broker::connect(cx, &Config { dead_letters_retention, ..config.clone() }).await
}

/// Makes or finds a topic, and returns how long it keeps its records by its own word.
async fn kept(
    cx: &Context,
    log: &KafkaLog,
    name: &str,
    (kind, retention): (TopicKind, Option<Duration>),
) -> Result<Option<Duration>> {
    let wanted = TopicConfig { partitions: 1, kind, retention };
    Ok(log.admin().ensure_topic(cx, &TopicName::new(name)?, &wanted).await?.config.retention)
}

#[test]
fn dead_letters_are_kept_longer_than_events_unless_their_topic_says_otherwise() -> Result<()> {
    let Some(bootstrap) = broker::bootstrap() else { return Ok(()) };
    block_on(async {
        let cx = Context::background().with_timeout(TEST_TIME_MAX);
        let config = broker::config(&bootstrap);
        let first = log(&cx, &config, 9 * DAY).await?;
        let (dead, events) = (TopicKind::DeadLetters, TopicKind::Events);
        let cases = [
            ("dead", (dead, None), Some(9 * DAY)),
            ("told", (dead, Some(2 * DAY)), Some(2 * DAY)),
            // What the broker does by default.
            ("events", (events, None), None),
        ];
        for (name, asked, expected) in cases {
            let found = kept(&cx, &first, name, asked).await?;
            ensure!(found == expected, "{name}: {found:?}");
        }
        // A topic that is there is left as it is.
        let second = log(&cx, &config, DAY).await?;
        let found = kept(&cx, &second, "dead", (dead, None)).await?;
        ensure!(found == Some(9 * DAY), "{found:?}");
        Ok(())
    })
}
