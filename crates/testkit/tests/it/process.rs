//! Looks at processes from outside.

use std::fs;
use std::thread;
use std::time::Duration;

/// How often is asked at most: a minute.
const ASKS_MAX: u32 = 3000;

/// Waits until a condition holds.
#[expect(clippy::disallowed_methods, reason = "another process is waited for, on a test's thread")]
pub(crate) fn wait_until(mut holds: impl FnMut() -> bool) {
    for _ in 0..ASKS_MAX {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("it does not come");
}

/// Returns whether a process is there and has not ended.
pub(crate) fn is_there(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
