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

/// Returns the states, a letter each, of the processes of a group that have not ended.
pub(crate) fn group(leader: u32) -> String {
    let leader = leader.to_string();
    let mut states = String::new();
    for entry in fs::read_dir("/proc").unwrap() {
        // A process may be gone by the time it is looked at.
        let stat = fs::read_to_string(entry.unwrap().path().join("stat")).unwrap_or_default();
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = rest.split(' ').collect();
        if fields[2] == leader && fields[0] != "Z" {
            states.push_str(fields[0]);
        }
    }
    states
}
