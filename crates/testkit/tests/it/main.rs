//! Black-box tests of the harness, with real processes.

#![cfg(test)]

mod kafka;
mod missing;
mod process;
mod server;
