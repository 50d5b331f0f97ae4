//! The processes of a group, as the kernel lists them.
//!
//! A signal to a group returns before its members have acted on it. Members that nobody waits for
//! may remain as zombies, which hold nothing: asking with signal 0 would count them.

use std::fs;

use anyhow::{Context as _, Result};
use rustix::process::Pid;

/// Returns the state of each process of a group, a letter as in `ps`, without zombies.
pub(super) fn states(group: Pid) -> Result<Vec<char>> {
    let group = group.as_raw_nonzero().to_string();
    let mut states = Vec::new();
    for entry in fs::read_dir("/proc").context("list the processes")? {
        let stat = entry.context("list the processes")?.path().join("stat");
        // What is no process has none, and a process may have ended since it was listed.
        let Ok(stat) = fs::read_to_string(stat) else { continue };
        // State, parent and group follow the name, which may hold anything, in brackets.
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let mut fields = rest.split(' ');
        let state = fields.next().and_then(|state| state.chars().next()).unwrap_or('?');
        if fields.nth(1) == Some(&group) && state != 'Z' && state != 'X' {
            states.push(state);
        }
    }
    Ok(states)
}
