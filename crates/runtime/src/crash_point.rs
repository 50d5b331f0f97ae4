//! Crash points: the named moments at which a test kills the process.
//!
//! `MILLSTREAM_CRASH_POINT=journal.before_sync:17` makes the process kill itself with SIGKILL
//! when it passes that point for the 17th time: no destructor, no flush, exactly what `kill -9`
//! does. Without the variable a point costs one load of a static. The points are part of the
//! shipped binary on purpose: what is tested is what runs.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

/// The environment variable that arms a point.
pub const VARIABLE: &str = "MILLSTREAM_CRASH_POINT";

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

#[derive(Debug)]
struct Armed {
    name: String,
    remaining: AtomicU64,
}

/// The variable's value is not `<name>:<count>`.
#[derive(Debug, Error)]
#[error("{VARIABLE}=`{value}` is not `<name>:<count>` with a count of at least 1")]
pub struct ArmError {
    value: String,
}

/// Reads the environment once, at start; later calls change nothing.
pub fn arm_from_env() -> Result<(), ArmError> {
    let armed = match std::env::var(VARIABLE) {
        Ok(value) => Some(parse(&value)?),
        Err(_unset) => None,
    };
    // A second call finds the point armed already, which is what was asked for.
    ARMED.get_or_init(|| armed);
    Ok(())
}

fn parse(value: &str) -> Result<Armed, ArmError> {
    let error = || ArmError { value: value.to_owned() };
    let (name, count) = value.rsplit_once(':').ok_or_else(error)?;
    let count: u64 = count.parse().ok().filter(|count| *count > 0).ok_or_else(error)?;
    Ok(Armed { name: name.to_owned(), remaining: AtomicU64::new(count) })
}

/// Kills the process here if a test armed this point.
#[inline]
pub fn crash_point(name: &'static str) {
    if let Some(Some(armed)) = ARMED.get() {
        armed.pass(name);
    }
}

impl Armed {
    #[cold]
    fn pass(&self, name: &str) {
        if self.name == name && self.remaining.fetch_sub(1, Ordering::SeqCst) == 1 {
            kill_self();
        }
    }
}

fn kill_self() -> ! {
    use rustix::process::{Signal, getpid, kill_process};
    match kill_process(getpid(), Signal::KILL) {
        // Should the signal not be delivered at once, abort ends the process as abruptly.
        Ok(()) | Err(_) => std::process::abort(),
    }
}

#[cfg(test)]
mod tests;
