//! A disk in memory that fails like a real one.
