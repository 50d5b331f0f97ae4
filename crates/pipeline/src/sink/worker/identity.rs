//! Whether what a commit is about to store still comes from the topics that are there.
//!
//! A topic may be deleted and created anew under a sink that runs: a reader that is waiting notices
//! late, or never. So each partition that moved is asked for just before the sink commits. A topic
//! with another id is refused with the remedy, and opening the sink again refuses it in the same
//! words; nothing of the old topic is taken for the new one, and nothing is skipped.

use futures::future::try_join_all;
use millstream_log::{Log, ReaderError, check};
use millstream_model::{LogPosition, TopicPartition};
use millstream_runtime::Context;

/// Refuses positions whose topic is not the one that is there now.
pub(super) async fn check(
    log: &dyn Log,
    cx: &Context,
    moved: Vec<(TopicPartition, LogPosition)>,
) -> Result<(), ReaderError> {
    let check_one = async |(partition, position): (TopicPartition, LogPosition)| {
        let found = log.bounds(cx, &partition).await?.end;
        Ok::<_, ReaderError>(check::identity(&partition, &position, &found)?)
    };
    try_join_all(moved.into_iter().map(check_one)).await?;
    Ok(())
}
