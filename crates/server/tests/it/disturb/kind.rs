//! The ways in which workers and broker are disturbed.

/// One way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A worker is killed with SIGKILL and started again.
    WorkerKilled,
    /// A worker kills itself at a named moment around a transaction, and is started again.
    WorkerCrashed,
    /// A worker is stopped beyond its session and its transactions, and then goes on: it believes
    /// that it owns what others have by now.
    WorkerPaused,
    /// A worker drains, leaves, and joins again.
    WorkerLeft,
    /// One broker is killed with SIGKILL and started again.
    BrokerKilled,
    /// Both at once: what the worker left open is found by a broker that has just recovered.
    BothKilled,
}

/// Where a worker kills itself: with a transaction open, or committed and not yet known to be, or
/// between the two positions of a spool.
pub(crate) const MOMENTS: [&str; 6] = [
    "kafka.before_commit",
    "kafka.after_commit",
    "spool.before_transact",
    "spool.after_transact",
    "spool.before_register",
    "spool.after_register",
];

impl Kind {
    /// How often each comes, among eight.
    pub(crate) const DECK: [Self; 8] = [
        Self::WorkerKilled,
        Self::WorkerCrashed,
        Self::WorkerPaused,
        Self::WorkerPaused,
        Self::WorkerLeft,
        Self::WorkerLeft,
        Self::BrokerKilled,
        Self::BothKilled,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WorkerKilled => "worker killed",
            Self::WorkerCrashed => "worker killed at a transaction",
            Self::WorkerPaused => "worker paused, a zombie",
            Self::WorkerLeft => "worker left and joined again",
            Self::BrokerKilled => "broker killed",
            Self::BothKilled => "worker and broker killed",
        }
    }
}
