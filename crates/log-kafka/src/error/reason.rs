//! The causes that callers and operators tell apart.

use std::io;

use millstream_model::{Classify, ErrorClass};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode as Code};
use thiserror::Error;

use crate::client::{Connection, Trouble, TroubleKind};

/// Why a call to Kafka did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Reason {
    /// The brokers do not take the password.
    #[error(
        "the brokers refuse the login ({detail}); check kafka.sasl: mechanism, username, password"
    )]
    Login {
        /// What the client said.
        detail: String,
    },
    /// One side speaks TLS and the other does not, or a certificate is not trusted.
    #[error("no TLS connection ({detail}); check kafka.tls and the port of kafka.brokers")]
    Tls {
        /// What the client said.
        detail: String,
    },
    /// No broker answers.
    #[error("no broker answers ({detail}); check kafka.brokers and that the cluster is up")]
    Unreachable {
        /// What the client said.
        detail: String,
    },
    /// A permission is missing.
    #[error("not permitted ({detail}); grant the permission to this user in the cluster")]
    NotPermitted {
        /// What the client said.
        detail: String,
    },
    /// The topic or partition does not exist.
    #[error(
        "a topic or partition does not exist ({detail}); create it, or check kafka.topic_prefix"
    )]
    UnknownTopic {
        /// What the client said.
        detail: String,
    },
    /// A record or batch is larger than the topic takes.
    #[error(
        "larger than the topic takes ({detail}); raise its max.message.bytes, or lower kafka.record_bytes_max"
    )]
    TooLarge {
        /// What the client said.
        detail: String,
    },
    /// A newer owner has the transactional id, or the transaction outlived its time-out.
    #[error(
        "fenced ({detail}): the task has a newer owner, or its transaction outlived kafka.transaction_time_max"
    )]
    Fenced {
        /// What the client said.
        detail: String,
    },
    /// The cluster refuses a value of the configuration.
    #[error("the cluster refuses the configuration ({detail})")]
    Config {
        /// What the client said.
        detail: String,
    },
    /// The broker that keeps a group's or a transaction's state is changing.
    #[error("the coordinator is away ({detail}); it is tried again")]
    CoordinatorAway {
        /// What the client said.
        detail: String,
    },
    /// A request did not end in time.
    #[error("no answer in time ({detail}); it is tried again")]
    TimedOut {
        /// What the client said.
        detail: String,
    },
    /// A transaction is open for longer than any may be: Kafka lost its end marker.
    #[error(
        "a transaction holds {topic}-{partition} at offset {offset} for {seconds} s and does not end: \
         its time-out has passed, the brokers lost its end marker. Find its producer with \
         `kafka-transactions.sh --bootstrap-server {brokers} describe-producers --topic {topic} \
         --partition {partition}`; if its records may go, end it with `kafka-transactions.sh \
         --bootstrap-server {brokers} abort --topic {topic} --partition {partition} --start-offset \
         {offset}`. They may have been committed: see docs/reference/kafka.md first"
    )]
    NeverEnds {
        /// Where to reach the cluster.
        brokers: String,
        /// The topic, as Kafka names it.
        topic: String,
        /// The partition.
        partition: i32,
        /// The transaction's first offset.
        offset: i64,
        /// How long that was seen.
        seconds: u64,
    },
    /// What is stored in the cluster is no record of ours.
    #[error("stored data is corrupt ({detail})")]
    Corrupt {
        /// Where, and what is wrong.
        detail: String,
    },
    /// Anything else.
    #[error("{detail}")]
    Other {
        /// What the client said.
        detail: String,
    },
}

impl Reason {
    /// Sorts an error of a call, with what the client last said about its connections.
    pub(super) fn of(error: &ClientError, connection: &Connection) -> Self {
        let detail = error.to_string();
        let Some(code) = super::code_of(error) else { return Self::Other { detail } };
        match code {
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => Self::TooLarge { detail },
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                Self::UnknownTopic { detail }
            }
            Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed => Self::NotPermitted { detail },
            Code::Authentication | Code::SaslAuthenticationFailed => Self::Login { detail },
            Code::SSL => Self::Tls { detail },
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => {
                Self::Fenced { detail }
            }
            Code::InvalidTransactionTimeout
            | Code::InvalidConfig
            | Code::InvalidReplicationFactor
            | Code::PolicyViolation
            | Code::UnsupportedVersion
            | Code::UnsupportedFeature => Self::Config { detail },
            Code::CoordinatorNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::NotCoordinator
            | Code::WaitingForCoordinator => {
                Self::waiting(connection, Self::CoordinatorAway { detail })
            }
            Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve => {
                Self::waiting(connection, Self::Unreachable { detail })
            }
            Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::MessageTimedOut
            | Code::TimedOutQueue => Self::waiting(connection, Self::TimedOut { detail }),
            _ => Self::Other { detail },
        }
    }

    /// The reason for not getting through: what the client said of its connections, if anything.
    fn waiting(connection: &Connection, otherwise: Self) -> Self {
        match connection.trouble() {
            None => otherwise,
            Some(trouble) => Self::from(trouble),
        }
    }

    /// Tells whether nobody answers: the cluster may come back by itself.
    pub(super) fn is_away(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::CoordinatorAway { .. } | Self::TimedOut { .. }
        )
    }

    /// Returns the nearest kind of I/O error.
    pub(super) fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::Login { .. } | Self::NotPermitted { .. } => io::ErrorKind::PermissionDenied,
            Self::Tls { .. } | Self::Config { .. } => io::ErrorKind::InvalidInput,
            Self::Unreachable { .. } => io::ErrorKind::NotConnected,
            Self::CoordinatorAway { .. } => io::ErrorKind::NotConnected,
            Self::UnknownTopic { .. } => io::ErrorKind::NotFound,
            Self::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            Self::TimedOut { .. } | Self::NeverEnds { .. } => io::ErrorKind::TimedOut,
            Self::Corrupt { .. } => io::ErrorKind::InvalidData,
            Self::Fenced { .. } | Self::Other { .. } => io::ErrorKind::Other,
        }
    }
}

impl Classify for Reason {
    fn class(&self) -> ErrorClass {
        match self {
            Self::UnknownTopic { .. } | Self::TooLarge { .. } | Self::Config { .. } => {
                ErrorClass::Invalid
            }
            Self::Corrupt { .. } => ErrorClass::Corrupt,
            _ => ErrorClass::Transient,
        }
    }
}

impl From<Trouble> for Reason {
    fn from(trouble: Trouble) -> Self {
        let detail = trouble.detail;
        match trouble.kind {
            TroubleKind::Unreachable => Self::Unreachable { detail },
            TroubleKind::Closed => {
                Self::Tls { detail: format!("{detail}: the broker may speak only TLS") }
            }
            TroubleKind::Tls => Self::Tls { detail },
            TroubleKind::Login => Self::Login { detail },
        }
    }
}
