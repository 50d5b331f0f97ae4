//! The logs of a node: the embedded journal, or Kafka with the journal as the collector's spool.
//!
//! ```text
//!   journal:            collector ─▶ journal ◀─▶ tasks           every task is here
//!   Kafka:              collector ─▶ spool ─▶ Kafka ◀─▶ tasks    a group places the tasks
//!   Kafka, replicated:  collector ─▶ Kafka ◀─▶ tasks
//! ```
//!
//! A directory that has a journal forwards it on Kafka, whatever the node is asked to do: it may
//! hold events that were accepted when it took them.

use std::sync::Arc;
use std::time::Duration;

use millstream_log::journal::Journal;
use millstream_log::{Assignment, EveryTask, Log};
use millstream_log_kafka::assignment::GroupSettings;
use millstream_model::{Classify as _, TaskId, TopicName, TopicPartition};
use millstream_runtime::{Context, TaskKind, spawn_blocking};

use crate::command::offline::open_journal;
use crate::config::Config;
use crate::data_dir::{DataDir, DirLock};
use crate::exit::{Code, Failure};
use crate::role::spool;
use crate::roles::{Role, Roles};

mod cluster;

pub(crate) use cluster::{Away, ClusterLog, connect};

/// How long what was appended without an owner may take to be settled when the node stops.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);

/// How long records are gathered for one transaction on Kafka, where each costs some 50 ms.
const KAFKA_TRANSACTION_INTERVAL: Duration = Duration::from_millis(100);

/// The logs of a node, open.
#[derive(Debug, Clone)]
pub(crate) enum Logs {
    /// The journal is the log.
    Journal(Journal),
    /// Kafka is the log.
    Kafka(OnKafka),
}

/// What a node on Kafka has.
#[derive(Debug, Clone)]
pub(crate) struct OnKafka {
    log: Arc<ClusterLog>,
    /// What is forwarded to Kafka.
    spool: Option<Spool>,
    /// Ours is the directory while this lives; the journal has a lock of its own.
    _lock: Option<Arc<DirLock>>,
}

/// The journal of a node on Kafka.
#[derive(Debug, Clone)]
struct Spool {
    journal: Journal,
    /// Whether the collector appends to it. Not on a worker without a collector, nor where one
    /// answers only when Kafka has the events: then it is left from an earlier run.
    takes_events: bool,
}

impl Logs {
    /// Opens what the configuration and the roles ask for on this machine; a cluster is reached
    /// afterwards ([`Logs::reach`]).
    pub(crate) async fn open(
        cx: &Context,
        config: &Config,
        data: &DataDir,
        roles: Roles,
    ) -> Result<Self, Failure> {
        let Some(kafka) = &config.kafka else {
            return Ok(Self::Journal(open_journal(cx, config.log.clone(), data).await?));
        };
        let takes_events = roles.has(Role::Collector) && !config.is_replicated;
        let (spool, lock) = if takes_events || data.has_journal()? {
            let journal = open_journal(cx, spool::journal_config(config), data).await?;
            spool::check_is_one(cx, &journal, data).await?;
            (Some(Spool { journal, takes_events }), None)
        } else {
            (None, Some(Arc::new(data.lock()?)))
        };
        let log = Arc::new(ClusterLog::new(kafka.clone()));
        Ok(Self::Kafka(OnKafka { log, spool, _lock: lock }))
    }

    /// Reaches the log that tasks read and write, and returns it. Before
    /// [`Logs::open_to_tasks`] it is for preparing it alone.
    pub(crate) async fn reach(&self, cx: &Context) -> Result<&dyn Log, Failure> {
        match self {
            Self::Journal(journal) => Ok(journal),
            Self::Kafka(kafka) => {
                let reached = kafka.log.reach(cx).await;
                let reached = reached.map_err(|error| Failure::classified(error.class(), error))?;
                Ok(reached)
            }
        }
    }

    /// Lets tasks work on the log, which was reached and prepared.
    pub(crate) fn open_to_tasks(&self) {
        if let Self::Kafka(kafka) = self {
            kafka.log.open_to_tasks();
        }
    }

    /// Returns the cluster, if the log is one.
    pub(crate) fn cluster(&self) -> Option<&Arc<ClusterLog>> {
        match self {
            Self::Journal(_) => None,
            Self::Kafka(kafka) => Some(&kafka.log),
        }
    }

    /// Returns the log that tasks read and write.
    pub(crate) fn shared(&self) -> Arc<dyn Log> {
        match self {
            Self::Journal(journal) => Arc::new(journal.clone()),
            Self::Kafka(kafka) => Arc::clone(&kafka.log) as Arc<dyn Log>,
        }
    }

    /// Returns the log that the collector appends to.
    pub(crate) fn intake(&self) -> Arc<dyn Log> {
        match self.journal() {
            Some(journal) => Arc::new(journal.clone()),
            None => self.shared(),
        }
    }

    /// Returns the journal that takes events, if there is one: the log itself, or the spool.
    pub(crate) fn journal(&self) -> Option<&Journal> {
        match self {
            Self::Journal(journal) => Some(journal),
            Self::Kafka(OnKafka { spool, .. }) => {
                spool.as_ref().filter(|spool| spool.takes_events).map(|spool| &spool.journal)
            }
        }
    }

    /// Returns the journal that is forwarded to the log that tasks read, if there is one.
    pub(crate) fn spool(&self) -> Option<&Journal> {
        match self {
            Self::Journal(_) => None,
            Self::Kafka(kafka) => kafka.spool.as_ref().map(|spool| &spool.journal),
        }
    }

    /// Returns whether the collector's events go to a journal that is forwarded.
    pub(crate) fn is_spooled(&self) -> bool {
        matches!(self, Self::Kafka(_)) && self.journal().is_some()
    }

    /// Returns whether every task is here: no other node can work on this log.
    pub(crate) fn is_alone(&self) -> bool {
        matches!(self, Self::Journal(_))
    }

    /// Returns how long records are gathered for one transaction.
    pub(crate) fn transaction_interval(&self) -> Duration {
        match self {
            Self::Journal(_) => Duration::ZERO,
            Self::Kafka(_) => KAFKA_TRANSACTION_INTERVAL,
        }
    }

    /// Tells which of `tasks`, one for each partition of `topic` in order, are this node's.
    pub(crate) fn assignment(
        &self,
        group: &TaskId,
        topic: &TopicName,
        tasks: &[TaskId],
    ) -> Result<Box<dyn Assignment>, Failure> {
        match self {
            Self::Journal(_) => Ok(Box::new(EveryTask::new(tasks.to_vec()))),
            Self::Kafka(kafka) => {
                let tasks = tasks.to_vec();
                let task_of = move |partition: &TopicPartition| {
                    tasks.get(partition.partition.0 as usize).cloned()
                };
                let settings = GroupSettings {
                    group: group.to_string(),
                    topics: vec![topic.clone()],
                    task_of: Box::new(task_of),
                };
                let unreached = || Failure::message(Code::Bug, "no cluster was reached yet");
                let joined = kafka.log.reached().ok_or_else(unreached)?.join(settings);
                let joined = joined.map_err(|error| Failure::classified(error.class(), error))?;
                Ok(Box::new(joined))
            }
        }
    }

    /// Ends the logs: what was accepted is settled first, as far as that can be in time.
    pub(crate) async fn close(self, cx: &Context) -> Result<(), Failure> {
        if let Self::Kafka(kafka) = &self
            && let Some(reached) = kafka.log.reached()
        {
            reached.close(&cx.with_timeout(CLOSE_TIME_MAX)).await;
        }
        let Some(journal) = self.journal().or(self.spool()).cloned() else { return Ok(()) };
        let mut closed = spawn_blocking(TaskKind("journal-close"), move || journal.close());
        closed.join().await.map_err(|error| Failure::new(Code::Bug, error))
    }
}
