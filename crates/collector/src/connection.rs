//! Serves one connection: HTTP/1.1 with keep-alive and pipelining, until the client goes, a
//! deadline passes, or the collector drains.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use millstream_runtime::Context;
use tokio::net::TcpStream;

use crate::config::Config;
use crate::paced::{Paced, Phase};
use crate::routes;
use crate::worker::Lane;

/// Makes what all connections of a worker have in common.
pub(crate) fn protocol(config: &Config) -> http1::Builder {
    let header_bytes_max =
        usize::try_from(config.header_bytes_max.bytes()).expect("at most 1 MiB, as validated");
    let mut builder = http1::Builder::new();
    // Deadlines for head and idling are `Paced`'s: hyper's own would also cut idle connections
    // at the header's time-out, and arm a new timer for each request. Header lines are bounded
    // by hyper's default of 100; setting it costs an allocation for each request.
    // Answers are small: copying one behind its head is cheaper than `writev`.
    builder.header_read_timeout(None).max_buf_size(header_bytes_max).half_close(true).writev(false);
    builder
}

/// Serves `socket` to its end. When `drain` ends, the request in flight is finished and the
/// connection closed.
pub(crate) async fn serve(
    drain: Context,
    lane: Arc<Lane>,
    socket: TcpStream,
) -> Result<(), hyper::Error> {
    let phase = Phase::default();
    let io = Paced::new(socket, &lane.shared.config, phase.clone());
    // What runs of a request is finished while the collector drains: its context is another.
    let requests = Context::background();
    let builder = lane.protocol.clone();
    let service = service_fn(move |request| {
        let (requests, lane, phase) = (requests.clone(), Arc::clone(&lane), phase.clone());
        async move { Ok::<_, Infallible>(routes::answer(&requests, &lane, &phase, request).await) }
    });
    let mut connection = pin!(builder.serve_connection(io, service));
    tokio::select! {
        biased;
        served = connection.as_mut() => return served,
        _ = drain.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}
