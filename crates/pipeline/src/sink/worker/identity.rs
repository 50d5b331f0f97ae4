//! Whether what a commit is about to store still comes from the topics that are there.
//!
//! A topic may be deleted and created anew under a sink that runs: a reader that is waiting notices
//! late, or never. So each partition that moved is asked for just before the sink commits. A topic
//! with another id is refused with the remedy, and opening the sink again refuses it in the same
//! words; nothing of the old topic is taken for the new one, and nothing is skipped.

use futures::future::try_join_all;
use millstream_log::{Log, PositionRefused, ReaderError};
use millstream_model::{LogPosition, TopicPartition};
use millstream_runtime::Context;

/// Refuses positions whose topic is not the one that is there now.
pub(super) async fn check(
    log: &dyn Log,
    cx: &Context,
    moved: Vec<(TopicPartition, LogPosition)>,
) -> Result<(), ReaderError> {
    let check = async |(partition, position): (TopicPartition, LogPosition)| {
        let found = log.bounds(cx, &partition).await?.end;
        if found.log != position.log {
            let (named, found) = (position.log, found.log);
            return Err(PositionRefused::OtherLog { partition, named, found }.into());
        }
        if found.topic != position.topic {
            let (named, found) = (position.topic, found.topic);
            return Err(PositionRefused::OtherTopic { partition, named, found }.into());
        }
        Ok::<_, ReaderError>(())
    };
    try_join_all(moved.into_iter().map(check)).await?;
    Ok(())
}
