//! The section `admin`: where health, metrics and status are served.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::section::{Field, OutOfRange, decode};
use super::units::format_duration;
use super::value::Value;

/// The least time that draining gets.
const DRAIN_MIN: Duration = Duration::from_secs(1);
/// The most time that draining gets.
const DRAIN_MAX: Duration = Duration::from_secs(3600);

/// Configuration of the node's administration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AdminConfig {
    /// Where the admin API listens; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// The time that tasks and sinks get to finish when the node stops.
    pub(crate) drain_timeout: Duration,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl AdminConfig {
    fn validate(&self) -> Result<(), OutOfRange> {
        if (DRAIN_MIN..=DRAIN_MAX).contains(&self.drain_timeout) {
            return Ok(());
        }
        let [value, min, max] = [self.drain_timeout, DRAIN_MIN, DRAIN_MAX].map(format_duration);
        let message = format!("{value} is not between {min} and {max}");
        Err(OutOfRange::message("drain_timeout", message))
    }
}

/// The keys of the section.
pub(crate) const FIELDS: &[Field<AdminConfig>] = &[
    Field { key: "listen", apply: |c, v| v.address().map(|it| c.listen = it) },
    Field { key: "drain_timeout", apply: |c, v| v.duration().map(|it| c.drain_timeout = it) },
];

/// Decodes the section.
pub(crate) fn admin(value: &Value<'_>) -> Option<AdminConfig> {
    let mut fields = value.fields()?;
    let config = decode(&mut fields, FIELDS, AdminConfig::validate);
    fields.finish();
    Some(config)
}
