//! The role `collector`: takes events over HTTP and appends them to the log.

use std::io;
use std::sync::Arc;

use millstream_collector::{BindError, Bound, Collector, Settings, Topic};
use millstream_log::Log;
use millstream_runtime::Clock;

use crate::config::Config;
use crate::exit::{Code, Failure};
use crate::observer::Observer;

/// Listens; events are taken once the result runs.
pub(crate) fn bind(
    config: &Config,
    log: &Arc<dyn Log>,
    observer: &Observer,
) -> Result<Bound, Failure> {
    let name = config.topic_of_collector();
    let settings = Settings {
        log: Arc::clone(log),
        topic: Topic { name: name.clone(), partitions: config.partitions(name) },
        clock: Clock::system(),
        readiness: Arc::new(observer.clone()),
    };
    Collector::bind(config.collector.clone(), settings).map_err(|error| match error {
        BindError::Listen { listen, source } => listen_failure(source, listen, "--listen"),
        BindError::Config(_) => Failure::new(Code::Config, error),
    })
}

/// Says why an address cannot be listened on, and which flag names another one.
pub(crate) fn listen_failure(
    source: io::Error,
    listen: std::net::SocketAddr,
    flag: &str,
) -> Failure {
    let hint = match source.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another program listens there; take another port with {flag} ADDRESS")
        }
        _ => format!("take another address with {flag} ADDRESS"),
    };
    Failure::io(source, format!("listen on {listen}")).with_hint(hint)
}
