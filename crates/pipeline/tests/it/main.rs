//! Black-box tests of processors and sink workers, against the in-memory log.

mod cleaning;
mod dedupe;
mod fixtures;
mod fuzz;
mod memory_sink;
mod pace;
mod processor;
mod sink;
mod sink_returns;
mod stage;
mod timestamps;
