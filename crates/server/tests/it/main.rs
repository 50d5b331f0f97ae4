//! Black-box tests: they start the real binary on free ports and talk to it as users do.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails, and says what it covered"
)]

mod commands;
mod dedupe;
mod full;
mod full_disk;
mod kill;
mod lifecycle;
mod requirement;
mod look;
mod sandbox;
mod validate;
