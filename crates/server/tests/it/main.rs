//! Black-box tests: they start the real binary on free ports and talk to it as users do.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails, and says what it covered"
)]

mod away;
mod commands;
mod dedupe;
mod disturb;
mod full;
mod full_disk;
mod kill;
mod lifecycle;
mod look;
mod on_kafka;
mod quickstart;
mod refused;
mod replicated;
mod requirement;
mod sandbox;
mod spool;
mod validate;
