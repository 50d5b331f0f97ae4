//! What a node does, one file for each role: built from the configuration, then run as a task.

pub(crate) mod clean;
pub(crate) mod collector;
pub(crate) mod sink;
pub(crate) mod spool;
