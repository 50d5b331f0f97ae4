//! Ports that stay ours while their server is down.
//!
//! A port from `bind(0)` is no good for a server that is killed and restarted: it lies in the range
//! from which the kernel serves outgoing connections. While the server is down, another process may
//! get it, and a client that keeps trying to reconnect may even connect to itself and hold it. So
//! ports come from below that range, and a lock on a file per port, which the kernel drops when the
//! test process ends, keeps other test processes away.

use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;

use anyhow::{Context as _, Result, bail};

/// Where we take ports from, unless the kernel's own range begins earlier.
const PORTS: Range<u16> = 15_000..32_000;
/// Where Linux says which ports it gives to outgoing connections.
const OUTGOING: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// A free port of 127.0.0.1, reserved among test processes until it is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Held for its lock.
    _lock: File,
}

impl Port {
    /// Reserves a free port.
    pub fn reserve() -> Result<Self> {
        // Another user's directory could not be written.
        let user = rustix::process::getuid().as_raw();
        let dir = std::env::temp_dir().join(format!("millstream-ports-{user}"));
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let count = u64::from(PORTS.end.min(outgoing_begin()).saturating_sub(PORTS.start));
        if count == 0 {
            bail!("the kernel's range of outgoing ports leaves none in {PORTS:?}");
        }
        // Each process begins somewhere else.
        let begin = RandomState::new().hash_one(std::process::id()) % count;
        for step in 0..count {
            let number = PORTS.start + u16::try_from((begin + step) % count)?;
            let path = dir.join(number.to_string());
            let lock = File::create(&path).with_context(|| format!("open {}", path.display()))?;
            match lock.try_lock() {
                Ok(()) if is_free(number) => return Ok(Self { number, _lock: lock }),
                Ok(()) | Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("lock {}", path.display()));
                }
            }
        }
        bail!("no free port in {PORTS:?}")
    }

    /// Returns its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Returns the loopback address with this port.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

fn is_free(number: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok()
}

/// Returns the first port of the kernel's range, or none of its own where it does not say.
fn outgoing_begin() -> u16 {
    let range = fs::read_to_string(OUTGOING).unwrap_or_default();
    range.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(PORTS.end)
}
