//! What a test does on a machine that lacks something it needs.
//!
//! Where the thing is required (a variable says so: a gate may not pass by skipping its proof) the
//! test fails; elsewhere it prints the line by which `make test` counts it as skipped.

use std::ffi::OsStr;

/// What becomes of a test that lacks something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// It ends here, and counts as skipped.
    Skips,
    /// It fails.
    Fails,
}

impl Lack {
    /// Decides by the value of the variable that requires the thing; an empty one requires nothing.
    fn of(required: Option<&OsStr>) -> Self {
        match required {
            Some(value) if !value.is_empty() => Self::Fails,
            _ => Self::Skips,
        }
    }

    /// Returns the line by which a test without `what` counts as skipped; panics where `what` is
    /// required.
    fn line(self, what: &str) -> String {
        assert!(self == Self::Skips, "required, and missing here: {what}");
        format!("SKIPPED: missing here: {what}")
    }
}

/// Reports that `what` is missing, which the variable `required_by` makes a failure.
pub(crate) fn lacks(what: &str, required_by: &str) {
    println!("{}", Lack::of(std::env::var_os(required_by).as_deref()).line(what));
}

#[test]
fn what_is_missing_is_skipped_and_fails_where_it_is_required() {
    assert_eq!(Lack::of(Some(OsStr::new("1"))), Lack::Fails);
    assert_eq!(Lack::of(Some(OsStr::new(""))), Lack::Skips);
    assert_eq!(Lack::of(None), Lack::Skips);
    assert_eq!(Lack::Skips.line("the readers"), "SKIPPED: missing here: the readers");
}

#[test]
#[should_panic(expected = "required, and missing here: the readers")]
fn a_required_thing_that_is_missing_is_named_in_the_failure() {
    Lack::Fails.line("the readers");
}
