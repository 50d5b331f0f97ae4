//! Black-box tests of the harness, with real processes.

#![cfg(test)]

mod kafka;
mod process;
mod server;
