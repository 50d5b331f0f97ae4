//! Accepts connections and hands them to the workers.

use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use millstream_runtime::Context;

use crate::error::CollectorError;
use crate::worker::{Shared, Workers};

/// How long accepting rests when the process or the system has no descriptor left: connections
/// must close before it makes sense again.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// What a connection over `connections_max` gets.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\
    retry-after: 1\r\ncontent-type: application/problem+json\r\ncontent-length: 134\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
    \"code\":\"too_many_connections\",\"detail\":\"connections_max is reached\"}\n";

/// Accepts until `cx` ends; an error is one that no retry cures.
pub(crate) async fn accept(
    cx: &Context,
    listener: TcpListener,
    shared: &Arc<Shared>,
    workers: &Workers,
) -> Result<(), CollectorError> {
    let listener = tokio::net::TcpListener::from_std(listener).map_err(CollectorError::Listener)?;
    loop {
        let Ok(accepted) = cx.run(listener.accept()).await else { return Ok(()) };
        let socket = match accepted {
            Ok((socket, _peer)) => socket.into_std().map_err(CollectorError::Listener)?,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) if is_exhausted(&error) => {
                tracing::warn!(%error, "accepting connections rests");
                if cx.sleep(EXHAUSTED_PAUSE).await.is_err() {
                    return Ok(());
                }
                continue;
            }
            Err(error) => return Err(CollectorError::Listener(error)),
        };
        if workers.connections() >= shared.config.connections_max {
            shared.metrics.connections_refused.increment(1);
            refuse(socket);
            continue;
        }
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "connection ended before it began");
            continue;
        }
        match cx.run(workers.take(shared, socket)).await {
            Ok(taken) => taken?,
            Err(_cancelled) => return Ok(()),
        }
    }
}

/// Tells a client off, as far as its socket takes the words at once.
fn refuse(mut socket: TcpStream) {
    let told = socket.write_all(TOO_MANY).and_then(|()| socket.shutdown(std::net::Shutdown::Write));
    if let Err(error) = told {
        tracing::debug!(%error, "refused connection was gone already");
    }
}

/// Tells errors of a connection that broke before it was accepted (`accept(2)`, "Error handling").
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted,
        NetworkDown, NetworkUnreachable, PermissionDenied, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
            | TimedOut
    )
}

/// Tells a lack of descriptors or memory: `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`.
fn is_exhausted(error: &io::Error) -> bool {
    const NUMBERS: [i32; 4] = [24, 23, 105, 12];
    error.raw_os_error().is_some_and(|number| NUMBERS.contains(&number))
}

#[cfg(test)]
mod tests;
