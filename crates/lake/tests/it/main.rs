//! Black-box tests of the lake: real files, a real catalog, injected failures.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails, and says what it covered"
)]

mod bounds;
mod catalogs;
mod columns;
mod conflicts;
mod crashes;
mod durability;
mod others;
mod readers;
mod renamed;
mod shared;
mod sink;
mod support;
