//! What stands beside a committed offset: whose it is, and what it belongs to.
//!
//! Kafka keeps a short text with each offset of a group. Ours names the task, the log, the topic
//! and the incarnation, because an offset alone fits any topic of that name, also one that was
//! created anew. It is committed with the offset, in the same transaction.

use millstream_model::{Incarnation, LogId, LogPosition, Offset, TaskId, TopicId};
use uuid::Uuid;

/// The version that is written.
const VERSION: &str = "millstream/1";

/// The mark of an offset that no longer counts: its task was renamed.
const RENAMED: &str = "renamed";

/// An offset of a group, with what stands beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GroupOffset {
    /// Nothing is committed.
    None,
    /// It no longer counts: its task goes on under another name.
    Renamed,
    /// A task of ours committed it.
    Ours(TaskId, LogPosition),
    /// It does not say what it belongs to: somebody else committed it, or moved it.
    Foreign(Offset),
}

/// Writes what stands beside an offset that `task` commits.
pub(crate) fn encode(task: &TaskId, position: &LogPosition) -> String {
    let (log, topic) = (position.log.0.simple(), position.topic.0.simple());
    format!("{VERSION} task={task} log={log} topic={topic} incarnation={}", position.incarnation)
}

/// Writes what stands beside an offset of a task that goes on under another name.
pub(crate) fn encode_renamed() -> String {
    format!("{VERSION} {RENAMED}")
}

/// Reads what stands beside `offset`.
pub(crate) fn decode(offset: Offset, text: &[u8]) -> GroupOffset {
    let ours = std::str::from_utf8(text).ok().and_then(|text| decode_ours(offset, text));
    ours.unwrap_or(GroupOffset::Foreign(offset))
}

fn decode_ours(offset: Offset, text: &str) -> Option<GroupOffset> {
    let mut words = text.split(' ');
    if words.next()? != VERSION {
        return None;
    }
    let mut field = |name| words.next()?.strip_prefix(name)?.strip_prefix('=');
    if text.ends_with(RENAMED) && text == encode_renamed() {
        return Some(GroupOffset::Renamed);
    }
    let task = TaskId::new(field("task")?).ok()?;
    let log = LogId(Uuid::try_parse(field("log")?).ok()?);
    let topic = TopicId(Uuid::try_parse(field("topic")?).ok()?);
    let incarnation = Incarnation(u64::from_str_radix(field("incarnation")?, 16).ok()?);
    let position = LogPosition { log, topic, incarnation, offset };
    // One writing only: what was changed by hand is not ours any more.
    (encode(&task, &position) == text).then_some(GroupOffset::Ours(task, position))
}

#[cfg(test)]
mod tests;
