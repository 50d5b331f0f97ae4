//! The causes that callers and operators tell apart.

use std::{fmt, io};

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
    #[error("not permitted ({detail}); grant this user {lacks}")]
    NotPermitted {
        /// What it is that has to be granted.
        lacks: Right,
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
    /// A partition has no leader, or nobody knows which.
    #[error(
        "a partition has no leader now ({detail}); bring back the brokers that have it; it is tried \
         again"
    )]
    NoLeader {
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
    /// A record's time is further ahead of the brokers' clock than the topic takes.
    #[error(
        "a record's time is too far from the brokers' clock ({detail}); set the clock of the machine \
         that took it, or raise the topic's message.timestamp.after.max.ms"
    )]
    Time {
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
    /// The brokers let no transaction last as long as ours may.
    #[error(
        "the brokers let no transaction last that long ({detail}); lower kafka.transaction_time_max \
         to half of their transaction.max.timeout.ms, or raise that"
    )]
    TransactionTime {
        /// What the client said.
        detail: String,
    },
    /// There are fewer brokers than copies of a topic are asked for.
    #[error(
        "there are too few brokers for a new topic ({detail}); lower kafka.replication_factor, or \
         bring the other brokers back"
    )]
    Replication {
        /// What the client said.
        detail: String,
    },
    /// Fewer copies of a partition are in sync than its topic asks for.
    #[error(
        "too few replicas are in sync ({detail}); bring the other brokers back, or lower the \
         topic's min.insync.replicas; it is tried again"
    )]
    TooFewReplicas {
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
    #[error(
        "the coordinator is away ({detail}); check that all brokers are up, and that \
         __transaction_state and __consumer_offsets have enough replicas in sync; it is tried again"
    )]
    CoordinatorAway {
        /// What the client said.
        detail: String,
    },
    /// A request did not end in time.
    #[error(
        "no answer in time ({detail}): a broker is slow or away, or a partition has too few \
         replicas in sync; it is tried again"
    )]
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

/// What a user of the cluster has to be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// On topics.
    Topics,
    /// On groups.
    Groups,
    /// On the cluster.
    Cluster,
    /// On transactional ids.
    TransactionalIds,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Topics => {
                "Create, Describe, DescribeConfigs, AlterConfigs, Read, Write and Delete on the \
                 topics whose names begin with kafka.topic_prefix"
            }
            Self::Groups => {
                "Read and Describe on the groups whose names begin with kafka.topic_prefix"
            }
            Self::Cluster => "Create, Describe and IdempotentWrite on the cluster",
            Self::TransactionalIds => {
                "Write and Describe on the transactional ids that begin with kafka.topic_prefix"
            }
        })
    }
}

impl Reason {
    /// Sorts an error of a call, with what the client last said about its connections.
    pub(super) fn of(error: &ClientError, connection: &Connection) -> Self {
        let detail = error.to_string();
        let Some(code) = super::code_of(error) else { return Self::Other { detail } };
        match code {
            Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => Self::TooLarge { detail },
            Code::InvalidTimestamp => Self::Time { detail },
            Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
                Self::UnknownTopic { detail }
            }
            code if super::is_moving(code) => Self::NoLeader { detail },
            Code::TopicAuthorizationFailed => Self::NotPermitted { lacks: Right::Topics, detail },
            Code::GroupAuthorizationFailed => Self::NotPermitted { lacks: Right::Groups, detail },
            Code::ClusterAuthorizationFailed => {
                Self::NotPermitted { lacks: Right::Cluster, detail }
            }
            Code::TransactionalIdAuthorizationFailed => {
                Self::NotPermitted { lacks: Right::TransactionalIds, detail }
            }
            Code::Authentication | Code::SaslAuthenticationFailed => Self::Login { detail },
            Code::SSL => Self::Tls { detail },
            Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => {
                Self::Fenced { detail }
            }
            Code::InvalidTransactionTimeout => Self::TransactionTime { detail },
            Code::InvalidReplicationFactor => Self::Replication { detail },
            Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => {
                Self::TooFewReplicas { detail }
            }
            Code::InvalidConfig
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

    /// Tells whether nobody answers who could: that may come back by itself.
    pub(super) fn is_away(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::CoordinatorAway { .. }
                | Self::TimedOut { .. }
                | Self::NoLeader { .. }
                | Self::TooFewReplicas { .. }
        )
    }

    /// Returns the nearest kind of I/O error.
    pub(super) fn io_kind(&self) -> io::ErrorKind {
        match self {
            Self::Login { .. } | Self::NotPermitted { .. } => io::ErrorKind::PermissionDenied,
            Self::Tls { .. } | Self::Config { .. } => io::ErrorKind::InvalidInput,
            Self::TransactionTime { .. } | Self::Replication { .. } => io::ErrorKind::InvalidInput,
            Self::TooFewReplicas { .. } => io::ErrorKind::NotConnected,
            Self::Unreachable { .. } => io::ErrorKind::NotConnected,
            Self::CoordinatorAway { .. } | Self::NoLeader { .. } => io::ErrorKind::NotConnected,
            Self::UnknownTopic { .. } => io::ErrorKind::NotFound,
            Self::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            Self::TimedOut { .. } | Self::NeverEnds { .. } => io::ErrorKind::TimedOut,
            Self::Time { .. } => io::ErrorKind::InvalidInput,
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
            Self::TransactionTime { .. } | Self::Time { .. } => ErrorClass::Invalid,
            Self::Corrupt { .. } => ErrorClass::Corrupt,
            _ => ErrorClass::Transient,
        }
    }
}

impl From<Trouble> for Reason {
    fn from(trouble: Trouble) -> Self {
        let detail = trouble.detail;
        match trouble.kind {
            TroubleKind::NoneLeft | TroubleKind::Unreachable => Self::Unreachable { detail },
            TroubleKind::Closed => {
                Self::Tls { detail: format!("{detail}: the broker may speak only TLS") }
            }
            TroubleKind::Tls => Self::Tls { detail },
            TroubleKind::Login => Self::Login { detail },
            TroubleKind::Group => Self::NotPermitted { lacks: Right::Groups, detail },
        }
    }
}
