//! What can go wrong with Kafka, told with its remedy.
//!
//! librdkafka reports most causes as a time-out: the wrong password, the broker without TLS and the
//! unknown host show only in what a client said about its connections meanwhile. So an error is
//! made from both: the code of the call that failed, and the [`Connection`]'s memory.

use std::io;
use std::time::Duration;

use millstream_model::{Classify, ErrorClass};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use thiserror::Error;
use tokio::time::Instant;

use crate::call::CallError;
use crate::client::Connection;

mod reason;

pub use reason::{Reason, Right};

/// A call to Kafka that did not succeed.
#[derive(Debug, Error)]
#[error("{during}: {reason}")]
pub struct KafkaError {
    /// What was being done.
    pub during: &'static str,
    /// Why it did not succeed, with the remedy.
    pub reason: Reason,
    /// What librdkafka returned.
    #[source]
    pub source: Option<Box<ClientError>>,
}

impl KafkaError {
    /// Sorts an error of a call, with what the client last said about its connections.
    pub fn new(during: &'static str, source: ClientError, connection: &Connection) -> Self {
        let reason = Reason::of(&source, connection);
        Self { during, reason, source: Some(Box::new(source)) }
    }

    /// A failure that we found ourselves.
    pub fn found(during: &'static str, reason: Reason) -> Self {
        Self { during, reason, source: None }
    }

    /// Tells a request that found no answer, though the client has its connections, for what it is
    /// where only a coordinator could have answered.
    pub(crate) fn of_coordinator(mut self) -> Self {
        if let Reason::TimedOut { detail } = self.reason {
            self.reason = Reason::CoordinatorAway { detail };
        }
        self
    }

    /// Returns librdkafka's code.
    pub fn code(&self) -> Option<RDKafkaErrorCode> {
        code_of(self.source.as_deref()?)
    }

    /// Wraps it for the variants of the log's errors that hold an I/O error.
    pub fn into_io(self) -> io::Error {
        io::Error::new(self.reason.io_kind(), self)
    }
}

/// Tells whether one error of a chain says that no broker answers now who could, and nothing else:
/// not that brokers refuse us. The errors of the log's contract that hold one of ours are looked into.
pub fn is_away(error: &(dyn std::error::Error + 'static)) -> bool {
    let called = || match error.downcast_ref::<CallError>()? {
        CallError::Kafka(error) => Some(error),
        CallError::Cancelled(_) => None,
    };
    let held = || error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<KafkaError>();
    let found = error.downcast_ref::<KafkaError>().or_else(called).or_else(held);
    found.is_some_and(|found| found.reason.is_away())
}

/// Returns the time that is left to read what others' transactions may hold back, or the error that
/// none is.
pub(crate) fn time_left(during: &'static str, deadline: Instant) -> Result<Duration, KafkaError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        let detail = "another task's transaction may be open, or the cluster is slow".to_owned();
        return Err(KafkaError::found(during, Reason::TimedOut { detail }));
    }
    Ok(left)
}

/// Tells whether the partition's leader is not known everywhere yet.
pub(crate) fn is_moving(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            // One of broker and client has heard of the newest leader, and the other has not.
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            // What librdkafka's administrator says of a partition without a leader to ask: also of
            // one whose topic is gone.
            | Code::NoEnt
    )
}

/// Tells whether a consumer goes on by itself after an error.
pub(crate) fn is_passing(error: &ClientError) -> bool {
    error.rdkafka_error_code().is_some_and(|code| {
        use RDKafkaErrorCode as Code;
        is_moving(code)
            || matches!(
                code,
                Code::BrokerTransportFailure
                    | Code::AllBrokersDown
                    | Code::OperationTimedOut
                    | Code::Resolve
            )
    })
}

/// Returns librdkafka's code; the wrapper keeps that of an administrative call to itself.
fn code_of(error: &ClientError) -> Option<RDKafkaErrorCode> {
    match error {
        ClientError::AdminOp(code) => Some(*code),
        other => other.rdkafka_error_code(),
    }
}

impl Classify for KafkaError {
    fn class(&self) -> ErrorClass {
        self.reason.class()
    }
}
