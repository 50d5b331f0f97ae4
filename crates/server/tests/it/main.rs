//! Black-box tests: they start the real binary on free ports and talk to it as users do.

mod commands;
mod kill;
mod lifecycle;
mod sandbox;
mod validate;
