//! What one client said about its connections.
//!
//! librdkafka answers most calls with a time-out, and says elsewhere why it has no connection. What
//! it said last is kept here, the telling before the vague: "all brokers are down" comes after
//! "wrong password", and must not hide it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel as Level;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use tokio::time::Instant;

/// How long something said explains a time-out.
const MEMORY_AGE_MAX: Duration = Duration::from_secs(60);

/// What one client said about its connections, and the way of its log lines into ours.
#[derive(Debug)]
pub struct Connection {
    role: &'static str,
    trouble: Mutex<Option<Trouble>>,
    has_succeeded: AtomicBool,
}

/// Why a client has no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Which kind.
    pub kind: TroubleKind,
    /// What the client said.
    pub detail: String,
    at: Instant,
}

/// The kinds of trouble with a connection, the vague ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TroubleKind {
    /// No connection is left. Said after whatever ended the last one.
    NoneLeft,
    /// Nobody answers.
    Unreachable,
    /// The broker closes the connection at the first request, as one does that speaks only TLS; or
    /// as one that is just starting or stopping.
    Closed,
    /// One side speaks TLS and the other does not, or a certificate is not trusted.
    Tls,
    /// The password is not taken.
    Login,
    /// The group may not be looked at.
    Group,
}

impl Connection {
    /// The memory of a client that is used as `role`.
    pub fn new(role: &'static str) -> Arc<Self> {
        Arc::new(Self { role, ..Self::silent() })
    }

    /// The memory of no client: for errors whose cause cannot be a connection.
    pub(crate) fn silent() -> Self {
        Self { role: "none", trouble: Mutex::new(None), has_succeeded: AtomicBool::new(false) }
    }

    /// Takes a log line of the client. All of them are for who studies it: what an operator should
    /// know is in the errors of calls, said once by whoever handles them.
    pub fn on_log(&self, level: Level, facility: &str, message: &str) {
        match level {
            Level::Emerg | Level::Alert | Level::Critical => {
                tracing::warn!(role = self.role, facility, message, "kafka client");
            }
            _ => tracing::debug!(role = self.role, facility, message, "kafka client"),
        }
        // What the broker closes at the first request is only logged, by its state.
        if facility == "FAIL" && message.contains("in state APIVERSION_QUERY") {
            // Brokers that have answered this client speak as it does: one is stopping or starting.
            let has_succeeded = self.has_succeeded.load(Ordering::Relaxed);
            let kind = if has_succeeded { TroubleKind::Unreachable } else { TroubleKind::Closed };
            self.remember(kind, message);
        }
    }

    /// Takes an error that belongs to no call.
    pub fn on_error(&self, error: &ClientError, reason: &str) {
        tracing::debug!(role = self.role, %error, reason, "kafka client has trouble");
        if let Some(kind) = kind_of(error.rdkafka_error_code(), reason) {
            self.remember(kind, reason);
        }
    }

    fn remember(&self, kind: TroubleKind, reason: &str) {
        let said = Trouble { kind, detail: short(reason), at: Instant::now() };
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let hides = trouble.as_ref().is_some_and(|last| last.kind > said.kind && is_fresh(last));
        if !hides {
            *trouble = Some(said);
        }
    }

    /// Forgets what was said: a call has succeeded.
    pub fn on_success(&self) {
        self.has_succeeded.store(true, Ordering::Relaxed);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Returns why the client has no connection, as far as it said so lately.
    pub fn trouble(&self) -> Option<Trouble> {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone().filter(is_fresh)
    }
}

fn is_fresh(trouble: &Trouble) -> bool {
    trouble.at.elapsed() < MEMORY_AGE_MAX
}

fn kind_of(code: Option<Code>, reason: &str) -> Option<TroubleKind> {
    match code? {
        Code::Authentication | Code::SaslAuthenticationFailed => Some(TroubleKind::Login),
        Code::UnsupportedSASLMechanism | Code::IllegalSASLState => Some(TroubleKind::Login),
        Code::GroupAuthorizationFailed => Some(TroubleKind::Group),
        Code::SSL => Some(TroubleKind::Tls),
        // A listener without TLS that does not even answer.
        Code::BrokerTransportFailure if reason.contains("SSL") => Some(TroubleKind::Tls),
        Code::AllBrokersDown => Some(TroubleKind::NoneLeft),
        Code::BrokerTransportFailure | Code::Resolve => Some(TroubleKind::Unreachable),
        _ => None,
    }
}

/// The first line, without the times that librdkafka adds.
fn short(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default();
    let line = line.split(" (after ").next().unwrap_or(line);
    line.chars().take(300).collect()
}
