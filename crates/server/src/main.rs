//! The one binary: configuration, roles, admin and commands.

fn main() {}
