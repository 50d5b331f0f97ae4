//! Whether a server can be had on this machine, and what a test does when it cannot.

/// Fails a test, instead of skipping it, where its server cannot be had.
const REQUIRED: &str = "MILLSTREAM_SERVERS_REQUIRED";

/// Something that a test needs from outside, or why it cannot be had.
#[derive(Debug)]
#[must_use]
pub enum Availability<T> {
    /// It is here.
    Available(T),
    /// It cannot be had: no Java, no network, not what was expected.
    Missing(String),
}

impl<T> Availability<T> {
    /// Returns it, or says in one line that the test is skipped: the gate counts these lines.
    ///
    /// # Panics
    ///
    /// Where `MILLSTREAM_SERVERS_REQUIRED` is set: a gate may not pass by skipping its proof.
    #[expect(clippy::print_stdout, reason = "how a test tells the gate that it was skipped")]
    pub fn or_skip(self) -> Option<T> {
        match self {
            Self::Available(it) => Some(it),
            Self::Missing(reason) => {
                let required = std::env::var_os(REQUIRED).is_some();
                assert!(!required, "{REQUIRED} is set, and {reason}");
                println!("SKIPPED: {reason}");
                None
            }
        }
    }

    /// Returns it by reference: for a server that the tests of one binary share.
    pub fn as_ref(&self) -> Availability<&T> {
        match self {
            Self::Available(it) => Availability::Available(it),
            Self::Missing(reason) => Availability::Missing(reason.clone()),
        }
    }
}

impl<T> From<anyhow::Result<T>> for Availability<T> {
    fn from(result: anyhow::Result<T>) -> Self {
        match result {
            Ok(it) => Self::Available(it),
            // One line: the gate reads lines.
            Err(error) => Self::Missing(format!("{error:#}").replace('\n', " | ")),
        }
    }
}
