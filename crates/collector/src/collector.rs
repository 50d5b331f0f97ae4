//! The collector's life: bind, serve on worker threads, drain.
//!
//! One acceptor hands connections to worker threads, each with a runtime of its own, so that a
//! request is served from its first byte to its answer without leaving its thread. One listening
//! socket, not one per worker by `SO_REUSEPORT`: a second node on the same port must fail to
//! start, and a few long connections must spread evenly.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use millstream_log::Log;
use millstream_model::TopicName;
use millstream_runtime::{Clock, Context};
use socket2::{Domain, Socket, Type};

use crate::acceptor;
use crate::budget::Budget;
use crate::config::Config;
use crate::error::{BindError, CollectorError};
use crate::metrics::Metrics;
use crate::readiness::Readiness;
use crate::worker::{Shared, Workers};

/// Where accepted events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: TopicName,
    /// The number of its partitions.
    pub partitions: u32,
}

/// What only code sets.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where accepted events are appended.
    pub log: Arc<dyn Log>,
    /// The topic they go to; it exists.
    pub topic: Topic,
    /// Tells the time of acceptance.
    pub clock: Clock,
    /// Answers the health routes.
    pub readiness: Arc<dyn Readiness>,
}

/// Makes collectors.
#[derive(Debug, Clone, Copy)]
pub struct Collector;

/// A collector that listens and does not serve yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    local_addr: SocketAddr,
    config: Config,
    settings: Settings,
}

impl Collector {
    /// Checks `config` and listens.
    ///
    /// # Panics
    /// When the topic has no partitions.
    pub fn bind(config: Config, settings: Settings) -> Result<Bound, BindError> {
        assert!(settings.topic.partitions > 0, "a topic has at least one partition");
        config.validate()?;
        let listen = config.listen;
        let (listener, local_addr) =
            bind(listen).map_err(|source| BindError::Listen { listen, source })?;
        Ok(Bound { listener, local_addr, config, settings })
    }
}

/// The connections that may wait to be accepted: a burst of clients, not a queue.
const BACKLOG: i32 = 4096;

fn bind(listen: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(listen), Type::STREAM, None)?;
    // A restart must not wait for the old connections' last packets; it does not let two
    // processes listen on one port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&listen.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let local_addr = listener.local_addr()?;
    Ok((listener, local_addr))
}

impl Bound {
    /// Returns the address that the collector listens on, its port chosen if it was 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `cx` ends, then drains: accepts nothing more, finishes the requests in
    /// flight within `drain_timeout`, and returns when every thread has ended.
    ///
    /// The log must stay open until then. Dropping the future stops at once, requests in flight
    /// unanswered.
    pub async fn run(self, cx: &Context) -> Result<(), CollectorError> {
        let Self { listener, config, settings, local_addr } = self;
        let workers = config.worker_count();
        let shared = Arc::new(Shared {
            budget: Budget::new(config.inflight_bytes_max),
            metrics: Metrics::new(),
            config,
            settings,
        });
        let mut pool = Workers::start(&shared, workers)?;
        tracing::info!(%local_addr, workers, "collector listens");

        let served = acceptor::accept(cx, listener, &shared, &pool).await;
        tracing::info!(connections = pool.connections(), "collector drains");
        let drained = pool.drain().await;
        tracing::info!("collector stopped");
        served.and(drained)
    }
}
