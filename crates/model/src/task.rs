//! Tasks: the units of ownership.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// The longest task id, in bytes.
pub const TASK_ID_BYTES_MAX: usize = 249;

/// The name of a task, `<app>.<pipeline>.<task>.<partition>`, taken from the configuration's names.
///
/// It is the transactional id on Kafka and the key of the committed positions on both logs, so
/// it must stay the same for the life of the positions.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(Arc<str>);

/// A text that is no task id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a task id; use 1 to 249 of a-z A-Z 0-9 . _ -")]
pub struct TaskIdError {
    text: String,
}

impl TaskId {
    /// Checks and takes a task id: 1 to 249 of `a-z A-Z 0-9 . _ -`.
    pub fn new(id: &str) -> Result<Self, TaskIdError> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if (1..=TASK_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(legal) {
            Ok(Self(Arc::from(id)))
        } else {
            Err(TaskIdError { text: id.chars().take(300).collect() })
        }
    }

    /// Returns the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TaskId({})", self.0)
    }
}

/// The fencing number of a task's owner; each `open` gets a higher one (P5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
