//! Tests of the sums.

use super::Counts;

fn check(lines: &[&str], expected: &str) {
    let mut counts = Counts::default();
    for line in lines {
        counts.line(line);
    }
    assert_eq!(counts.to_string(), expected);
}

#[test]
fn result_lines_of_several_binaries_are_summed() {
    check(
        &[
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            "test result: FAILED. 10 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out",
        ],
        "13 passed, 2 failed, 1 skipped",
    );
}

#[test]
fn a_line_that_only_speaks_of_results_is_not_counted() {
    check(&["the test result: 5 passed"], "0 passed, 0 failed, 0 skipped");
}

#[test]
fn a_test_that_says_it_cannot_run_here_is_skipped_and_not_passed() {
    check(
        &[
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
            "SKIPPED: PyIceberg cannot be had here",
        ],
        "2 passed, 0 failed, 1 skipped",
    );
}

#[test]
fn steps_and_skips_count_beside_the_tests() {
    let mut counts = Counts::default();
    counts.step(true);
    counts.step(false);
    counts.skip("cargo-deny is not installed");
    assert_eq!(counts.to_string(), "1 passed, 1 failed, 1 skipped");
}
