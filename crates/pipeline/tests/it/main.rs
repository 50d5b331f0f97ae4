//! Black-box tests of processors and sink workers, against the in-memory log.

mod cleaning;
mod fixtures;
mod fuzz;
mod processor;
mod sink;
mod stage;
mod timestamps;
