//! The checks that no other tool does.

fn main() {}
