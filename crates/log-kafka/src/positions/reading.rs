//! How the positions topic is read, whatever is looked for in it.

use std::time::Duration;

/// What was being done when a call failed.
pub(super) const READING: &str = "read the positions topic";

/// How long one poll waits for records.
pub(super) const POLL: Duration = Duration::from_millis(20);

/// How old what was read may be to go on from it. A tombstone stays for two hours
/// (`delete.retention.ms`): who was away for longer could miss one.
pub(super) const AGE_MAX: Duration = Duration::from_secs(60 * 60);
