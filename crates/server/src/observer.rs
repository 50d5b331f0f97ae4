//! What a node can say about itself, at any moment of its life: the source of health, status,
//! reconciliation and dead letters.
//!
//! It exists before the log is open and outlives the drain, so that a probe always gets an
//! answer; what it observes is added when it is there.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use millstream_collector::Readiness;
use millstream_lake::Lake;
use millstream_log::Log;
use millstream_log::journal::{Journal, Level};
use millstream_model::{ByteSize, Classify as _, ErrorClass};
use millstream_pipeline::worker::Placement;
use millstream_pipeline::{Stuck, TaskState, TaskStatus};
use millstream_runtime::Context;
use tokio::sync::watch;

use crate::accounting::{Books, reconcile};
use crate::dead_letters::{self, DeadLetterLogs, ListError};
use crate::flow::Flow;
use crate::lag::Asked;
use crate::logs::ClusterLog;
use crate::orphans::Orphan;
use crate::presence::NodeInfo;
use crate::role::spool::GROUP;
use crate::status::{DeadLetters, PartitionRow, Status, TaskRow, TopicRow};
use crate::survey::{SurveyError, partitions, survey, survey_spool};

/// How long a log elsewhere is asked for its topics before what is known is shown without them.
const TOPICS_TIME_MAX: Duration = Duration::from_secs(2);

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The log recovers and tasks open.
    Opening,
    /// It takes events.
    Serving,
    /// It takes no more, and finishes what it has.
    Draining,
}

impl Phase {
    /// Returns the lower-case name.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Serving => "serving",
            Self::Draining => "draining",
        }
    }
}

/// Observes a node; cloning shares it.
#[derive(Debug, Clone)]
pub(crate) struct Observer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    phase: Mutex<Phase>,
    observed: OnceLock<Observed>,
    orphans: Mutex<Vec<Orphan>>,
}

/// What there is to observe once the log is open and the tasks are started.
#[derive(Debug)]
pub(crate) struct Observed {
    /// Where the node runs.
    pub(crate) node: NodeInfo,
    /// Its log.
    pub(crate) log: Arc<dyn Log>,
    /// The same, where it is a cluster, which may not be there yet.
    pub(crate) cluster: Option<Arc<ClusterLog>>,
    /// The journal, for what only it knows: the log itself, or the collector's spool.
    pub(crate) journal: Option<Journal>,
    /// Its tables.
    pub(crate) lake: Lake,
    /// Which way events go.
    pub(crate) flow: Flow,
    /// What runs on its workers, and what it says.
    pub(crate) placements: Placements,
}

/// What runs on the workers of a node, those that start late included.
#[derive(Debug)]
pub(crate) struct Placements(Mutex<Vec<watch::Receiver<Placement>>>);

impl Placements {
    /// Takes what the workers say that start with the node.
    pub(crate) fn new(placements: impl IntoIterator<Item = watch::Receiver<Placement>>) -> Self {
        Self(Mutex::new(placements.into_iter().collect()))
    }

    /// Returns what every worker says.
    pub(crate) fn all(&self) -> Vec<watch::Receiver<Placement>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Observer {
    /// Observes a node that opens.
    pub(crate) fn new() -> Self {
        let (phase, orphans) = (Mutex::new(Phase::Opening), Mutex::default());
        Self(Arc::new(Inner { phase, observed: OnceLock::new(), orphans }))
    }

    /// Adds what there is to observe; the first call counts.
    pub(crate) fn observe(&self, observed: Observed) {
        // A node starts its tasks once; a second call could only repeat the first.
        self.0.observed.get_or_init(|| observed);
    }

    /// Adds workers that started after the node, whose cluster was away.
    pub(crate) fn add_placements(
        &self,
        placements: impl IntoIterator<Item = watch::Receiver<Placement>>,
    ) {
        let Some(observed) = self.observed() else { return };
        let mut all = observed.placements.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(placements);
    }

    /// Returns what there is to observe, once it is there.
    pub(crate) fn observed(&self) -> Option<&Observed> {
        self.0.observed.get()
    }

    /// Notes where the node is in its life.
    pub(crate) fn set_phase(&self, phase: Phase) {
        *self.0.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    /// Returns where the node is in its life.
    pub(crate) fn phase(&self) -> Phase {
        *self.0.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns why the node should not be sent events now; empty when it should.
    pub(crate) fn reasons(&self) -> Vec<String> {
        match (self.phase(), self.observed()) {
            (Phase::Opening, _) | (_, None) => vec!["opening: the log recovers".to_owned()],
            (Phase::Draining, _) => vec!["draining: the node stops".to_owned()],
            (Phase::Serving, Some(observed)) => {
                let cluster = observed.cluster_reasons().into_iter();
                let cluster = cluster.filter(|_| !observed.is_spooled());
                let reasons = self.room_reasons().into_iter().chain(cluster);
                let groups = observed.group_reasons().into_iter();
                let reasons = reasons.chain(groups.filter(|_| !observed.is_spooled()));
                reasons.chain(observed.task_reasons()).collect()
            }
        }
    }

    /// Returns why the log takes no events, and who holds back what could be deleted; empty when
    /// it takes them.
    fn room_reasons(&self) -> Vec<String> {
        let reason = self.observed().and_then(Observed::log_reason);
        let held = if reason.is_some() { self.notes() } else { Vec::new() };
        reason.into_iter().chain(held).collect()
    }

    /// Returns what an operator should know although the node is ready.
    pub(crate) fn notes(&self) -> Vec<String> {
        let orphans = self.orphans();
        let spool = self.observed().map(Observed::spool_notes).unwrap_or_default();
        orphans.iter().map(Orphan::reason).chain(spool).collect()
    }

    /// Returns both: why no events should be sent here, and what to know besides.
    pub(crate) fn said(&self) -> (Vec<String>, Vec<String>) {
        (self.reasons(), self.notes())
    }

    /// Returns the tasks that left the configuration and still hold records back.
    pub(crate) fn orphans(&self) -> Vec<Orphan> {
        self.0.orphans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes the tasks that left the configuration and still hold records back.
    pub(crate) fn set_orphans(&self, orphans: Vec<Orphan>) {
        *self.0.orphans.lock().unwrap_or_else(PoisonError::into_inner) = orphans;
    }
}

impl Observed {
    fn task_reasons(&self) -> Vec<String> {
        let is_away = self.is_away();
        let reason = |(group, receiver): &(String, watch::Receiver<TaskStatus>)| {
            let status = receiver.borrow();
            match &status.state {
                // A spool takes events while Kafka is away: that is what it is for.
                TaskState::Opening if self.is_spooled() || is_away => None,
                TaskState::Stuck(stuck) if self.is_outlasted(group, stuck) => None,
                // Every task says the same, at greater length.
                TaskState::Stuck(stuck) if is_away && is_passing(stuck) => None,
                TaskState::Opening => Some(format!("opening: task {}", status.task)),
                TaskState::Stuck(_) | TaskState::Failed(_) => stuck_reason(&status),
                // Whoever reports is gone without having said so: the task panicked.
                state if *state != TaskState::Stopped && receiver.has_changed().is_err() => Some(
                    format!("failed: task {} ended by a bug of ours, see the log", status.task),
                ),
                _ => None,
            }
        };
        self.grouped_tasks().iter().filter_map(reason).collect()
    }

    /// Returns which groups keep their tasks from this node, and why.
    fn group_reasons(&self) -> Vec<String> {
        if self.is_away() {
            return Vec::new();
        }
        let placements = self.placements.all();
        let kept_away = placements.iter().flat_map(|placement| placement.borrow().kept_away());
        let reason = |(group, trouble)| format!("group {group} is not placed yet: {trouble}");
        kept_away.map(reason).collect()
    }

    /// Returns whether events should be sent here although a task is stuck: they go into the spool,
    /// and what holds the task up passes by itself.
    fn is_outlasted(&self, group: &str, stuck: &Stuck) -> bool {
        group == GROUP || self.is_spooled() && is_passing(stuck)
    }

    /// Returns whether events are taken into a spool.
    fn is_spooled(&self) -> bool {
        self.spool().is_some()
    }

    /// Returns whether the cluster is not there.
    fn is_away(&self) -> bool {
        self.cluster.as_ref().is_some_and(|cluster| cluster.away().is_some())
    }

    /// Returns what is wrong with the cluster as a whole.
    fn cluster_reasons(&self) -> Vec<String> {
        let Some(cluster) = &self.cluster else { return Vec::new() };
        let missing = cluster.missing().into_iter().map(|topic| {
            format!(
                "missing: topic {topic} is not in Kafka any more, and what waited in it is gone. \
                 Stop whoever deletes it and restart this node, which creates it anew; tasks that \
                 stood on the old one then say how to go on"
            )
        });
        self.away(cluster).into_iter().chain(missing).collect()
    }

    /// Returns since when and why the cluster is not there, and what that means here.
    fn away(&self, cluster: &ClusterLog) -> Option<String> {
        let away = cluster.away()?;
        let meanwhile = if self.is_spooled() {
            "events are kept in the spool and forwarded when it is there"
        } else {
            "no task runs and no event is taken before it is there"
        };
        Some(format!("away: {meanwhile}: {away}"))
    }

    /// Returns whose lag there is.
    pub(crate) fn lag_of(&self) -> Asked<'_> {
        let spool = self.spool().map(|journal| Arc::new(journal.clone()) as Arc<dyn Log>);
        Asked { log: Arc::clone(&self.log), spool, flow: &self.flow }
    }

    /// Returns what holds up who takes events into a spool all the same.
    fn spool_notes(&self) -> Vec<String> {
        let is_away = self.is_away();
        let cluster = self.cluster_reasons().into_iter().filter(|_| self.is_spooled());
        let note = |(group, receiver): &(String, watch::Receiver<TaskStatus>)| {
            let status = receiver.borrow();
            match &status.state {
                // Every forwarder says the same, at greater length.
                TaskState::Stuck(stuck) if is_away && is_passing(stuck) => None,
                TaskState::Stuck(stuck) if self.is_outlasted(group, stuck) => stuck_reason(&status),
                _ => None,
            }
        };
        let groups = self.group_reasons().into_iter().filter(|_| self.is_spooled());
        cluster.chain(groups).chain(self.grouped_tasks().iter().filter_map(note)).collect()
    }

    fn log_reason(&self) -> Option<String> {
        let stats = self.journal.as_ref()?.stats();
        if stats.is_broken {
            return Some("broken: the log cannot write at the moment; it keeps trying".to_owned());
        }
        let [used, most, free] = [stats.bytes_used, stats.bytes_max, stats.disk_free].map(ByteSize);
        (stats.level != Level::Open)
            .then(|| format!("full: the log uses {used} of {most}, the disk has {free} free"))
    }

    /// Returns what every task says.
    pub(crate) fn task_rows(&self) -> Vec<TaskRow> {
        self.tasks().iter().map(|task| TaskRow::from(&*task.borrow())).collect()
    }

    /// Returns every task that runs here now, by name.
    pub(crate) fn tasks(&self) -> Vec<watch::Receiver<TaskStatus>> {
        self.grouped_tasks().into_iter().map(|(_, status)| status).collect()
    }

    /// Returns the same with the name of each task's group.
    fn grouped_tasks(&self) -> Vec<(String, watch::Receiver<TaskStatus>)> {
        let placed = |placement: &watch::Receiver<Placement>| placement.borrow().tasks.clone();
        let mut tasks: Vec<_> = self.placements.all().iter().flat_map(placed).collect();
        tasks.sort_by_cached_key(|(_, status)| status.borrow().task.clone());
        tasks
    }

    /// Returns topics, tasks and whether all is well.
    pub(crate) async fn status(
        &self,
        cx: &Context,
        (reasons, notes): (Vec<String>, Vec<String>),
        orphans: Vec<Orphan>,
    ) -> Result<Status, SurveyError> {
        let mut topics = Vec::new();
        let looking = cx.with_timeout(TOPICS_TIME_MAX);
        for topic in &self.flow.topics {
            match self.topic_row(&looking, &topic.name).await {
                Ok(row) => topics.push(row),
                // A cluster that is away must not hide what the tasks say of it.
                Err(error) if self.is_elsewhere(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(Status {
            node: self.node.clone(),
            ready: reasons.is_empty(),
            reasons,
            notes,
            topics,
            tasks: self.task_rows(),
            orphans,
        })
    }

    /// Returns whether it is the log elsewhere that does not answer.
    fn is_elsewhere(&self, error: &SurveyError) -> bool {
        let class = error.class();
        !self.log.admin().is_gapless()
            && matches!(class, ErrorClass::Transient | ErrorClass::Cancelled)
    }

    async fn topic_row(&self, cx: &Context, name: &str) -> Result<TopicRow, SurveyError> {
        let mut rows = Vec::new();
        for partition in partitions(&self.flow, name)? {
            let bounds = self.log.bounds(cx, &partition).await?;
            rows.push(PartitionRow {
                partition: partition.partition.0,
                start: bounds.start.offset.0,
                end: bounds.end.offset.0,
            });
        }
        Ok(TopicRow { name: name.to_owned(), partitions: rows })
    }

    /// Draws up the books, tables first; before them those of the spool, so that what is forwarded
    /// meanwhile is seen at least once.
    pub(crate) async fn books(&self, cx: &Context) -> Result<Books, SurveyError> {
        let spool = match self.spool() {
            Some(journal) => Some(survey_spool(cx, journal, &self.flow).await?),
            None => None,
        };
        let mut books = reconcile(&survey(cx, &*self.log, Some(&self.lake), &self.flow).await?);
        spool.into_iter().for_each(|spool| books.add_spool(spool));
        Ok(books)
    }

    /// Returns the journal, where it is a spool.
    fn spool(&self) -> Option<&Journal> {
        self.journal.as_ref().filter(|_| self.cluster.is_some())
    }

    /// Returns the newest dead letters.
    pub(crate) async fn dead_letters(
        &self,
        cx: &Context,
        query: &dead_letters::Query,
    ) -> Result<DeadLetters, ListError> {
        let is_spool = self.flow.kafka.is_some();
        let spool = self.journal.clone().filter(|_| is_spool);
        let spool = spool.map(|journal| Arc::new(journal) as Arc<dyn Log>);
        let logs = DeadLetterLogs { log: Some(Arc::clone(&self.log)), spool };
        dead_letters::list(cx, logs, &self.flow, query).await
    }
}

/// Tells whether what holds a task up may pass by itself.
fn is_passing(stuck: &Stuck) -> bool {
    stuck.class == ErrorClass::Transient
}

/// Returns what a task is stuck or failed at.
fn stuck_reason(status: &TaskStatus) -> Option<String> {
    let (TaskState::Stuck(stuck) | TaskState::Failed(stuck)) = &status.state else { return None };
    let state = status.state.as_str();
    Some(format!("{state}: task {} at {}: {}", status.task, stuck.step, stuck.reason))
}

impl Readiness for Observer {
    fn liveness(&self) -> millstream_collector::Verdict {
        millstream_collector::Verdict::Healthy
    }

    fn readiness(&self) -> millstream_collector::Verdict {
        match self.reasons() {
            reasons if reasons.is_empty() => millstream_collector::Verdict::Healthy,
            reasons => millstream_collector::Verdict::Unhealthy(reasons),
        }
    }

    fn why_full(&self) -> Vec<String> {
        self.room_reasons()
    }
}
