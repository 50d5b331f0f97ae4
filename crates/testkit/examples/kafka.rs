//! Runs Kafka on this machine until its input ends: `cargo run -p millstream-testkit --example
//! kafka [brokers]`.

use std::io;

use anyhow::{Context as _, Result};
use millstream_testkit::kafka::{Config, Kafka};

#[expect(clippy::print_stdout, reason = "what it is for")]
fn main() -> Result<()> {
    let brokers = match std::env::args().nth(1) {
        Some(number) => number.parse().context("how many brokers?")?,
        None => 1,
    };
    let Some(kafka) = Kafka::install().or_skip() else { return Ok(()) };
    let mut cluster = kafka.start(&Config { brokers, ..Config::default() })?;
    println!("bootstrap.servers={}", cluster.bootstrap());
    println!("export KAFKA={}", cluster.bootstrap());
    println!("log: {}", cluster.broker(0).log().display());
    println!("it runs until its input ends (Ctrl-D)");
    io::copy(&mut io::stdin(), &mut io::sink()).context("wait for the end of the input")?;
    Ok(())
}
