//! What is wrong with a configuration, for whoever knows where in a file it came from.

use thiserror::Error;

/// A field of a configuration that lies outside its range.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key}: {reason}")]
pub struct ConfigError {
    /// The field.
    pub key: &'static str,
    /// The allowed range.
    pub reason: &'static str,
}
