//! Scenarios that print ratios from one run, each beside its baseline.

fn main() {}
