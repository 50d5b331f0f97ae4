//! The process under test is this test binary, run once more with a variable set.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};

use super::*;

const PANICKING: &str = "MILLSTREAM_TEST_PANICKING_THREAD";

/// Runs one test of this binary in a process of its own, in which the thread `name` panics.
fn process_in_which_panics(name: &str, test: &str) -> ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test]).env(PANICKING, name);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().unwrap()
}

/// Panics in a thread of the name that this process was told, and outlives it if it can.
fn panic_if_told() -> bool {
    let Ok(name) = std::env::var(PANICKING) else { return false };
    abort_on_panic_of_the_journal();
    let thread = thread::Builder::new().name(name).spawn(|| panic!("a broken invariant"));
    assert!(thread.unwrap().join().is_err());
    true
}

#[test]
fn a_panic_of_the_journals_thread_ends_the_process() {
    if panic_if_told() {
        return;
    }
    let test = "broken_invariant::tests::a_panic_of_the_journals_thread_ends_the_process";
    let aborted = process_in_which_panics(JOURNAL_THREAD, test);
    assert_eq!(aborted.signal(), Some(6), "{aborted}");
}

#[test]
fn a_panic_of_another_thread_is_left_to_its_owner() {
    if panic_if_told() {
        return;
    }
    let test = "broken_invariant::tests::a_panic_of_another_thread_is_left_to_its_owner";
    let ended = process_in_which_panics("millstream", test);
    assert!(ended.success(), "{ended}");
}
