//! Black-box tests of processors, sink workers and the spool, against the in-memory log.

mod cleaning;
mod dedupe;
mod dedupe_journal;
mod fixtures;
mod fuzz;
mod kafka;
mod memory_sink;
mod pace;
mod processor;
mod sink;
mod sink_returns;
mod sink_shared;
mod spool;
mod spool_faults;
mod spool_refused;
mod spool_stage;
mod stage;
mod timestamps;
