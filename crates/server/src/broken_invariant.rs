//! Ends the process when the thread that writes the journal panics.
//!
//! Such a panic is a broken invariant of stored data. Unwinding would end that thread alone and
//! leave a process that looks alive and can store nothing; aborting leaves the rest to recovery,
//! which is tested. A panic of any other thread stays with its owner: a task that panics is
//! reported and judged by whoever awaits it.

use std::panic;
use std::thread;

/// The name of the thread that writes the journal, as the log crate gives it.
const JOURNAL_THREAD: &str = "journal";

/// Makes panics end the process where nobody could go on.
pub(crate) fn abort_on_panic_of_the_journal() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        report(info);
        if is_fatal(thread::current().name()) {
            std::process::abort();
        }
    }));
}

/// Tells whether the process may not outlive a panic of the thread of this name.
fn is_fatal(thread: Option<&str>) -> bool {
    thread == Some(JOURNAL_THREAD)
}

#[cfg(test)]
mod tests;
