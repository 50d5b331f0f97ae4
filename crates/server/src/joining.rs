//! From a log that may be away to the tasks that work on it.
//!
//! ```text
//!   attempt:  reach the log ─▶ topics ─▶ old names ─▶ flow.json ─▶ open to tasks ─▶ workers
//! ```
//!
//! A node makes the first attempt while it opens. When it fails because no broker answers, the node
//! goes on without tasks, a collector takes events into its spool, and the attempts go on beside it.
//! A collector with a spool does not wait long for that answer: it can take events without it. What
//! the cluster *refuses* at the first attempt (a password, a topic of another shape) ends the
//! start, for then nothing was promised yet. Later it is only shown: events are being taken, and
//! a person must look.

use std::path::PathBuf;
use std::time::Duration;

use millstream_lake::Lake;
use millstream_log::{Log, TopicConfig, TopicKind};
use millstream_model::Classify as _;
use millstream_pipeline::Worker;
use millstream_pipeline::worker::WorkerError;
use millstream_runtime::retry::{self, Backoff};
use millstream_runtime::{Clock, Context, Rng, TaskKind};
use tracing::{error, info, warn};

use crate::config::Config;
use crate::data_dir::DataDir;
use crate::exit::{Code, Failure};
use crate::flow::{Flow, takeover};
use crate::logs::{Away, Logs};
use crate::node::start_worker;
use crate::observer::Observer;
use crate::role;
use crate::roles::{Role, Roles};

/// How long topics may take to come about.
const TOPICS_TIME_MAX: Duration = Duration::from_secs(60);

/// How long it may take to take over what stands under old names.
const TAKEOVER_TIME_MAX: Duration = Duration::from_secs(60);

/// How long one attempt to reach the cluster may take.
const REACH_TIME_MAX: Duration = Duration::from_secs(30);

/// How long the first one may take where events could be taken meanwhile.
const FIRST_REACH_TIME_MAX: Duration = Duration::from_secs(3);

/// How long all of the first attempt may take there.
const FIRST_TIME_MAX: Duration = Duration::from_secs(10);

/// The pauses between attempts: what comes back is found within seconds.
const PAUSES: retry::Settings =
    retry::Settings { initial: Duration::from_millis(500), ceiling: Duration::from_secs(10) };

/// Workers that were built and not started, with the kind of task that each is.
pub(crate) type Workers = Vec<(TaskKind, Worker)>;

/// What it takes to begin work on a log.
#[derive(Debug, Clone)]
pub(crate) struct Joining {
    /// What is to run.
    pub(crate) config: Config,
    /// Which parts of it run here.
    pub(crate) roles: Roles,
    /// Where this node keeps its things.
    pub(crate) data: DataDir,
    /// Where the tables lie.
    pub(crate) lake_dir: PathBuf,
    /// The tables.
    pub(crate) lake: Lake,
    /// The logs, the cluster reached or not.
    pub(crate) logs: Logs,
}

impl Joining {
    /// Makes the attempt for which the start of a node waits.
    pub(crate) async fn attempt_first(&self, cx: &Context) -> Result<Workers, Failure> {
        if !self.logs.is_spooled() {
            return self.attempt(cx, REACH_TIME_MAX).await;
        }
        self.attempt(&cx.with_timeout(FIRST_TIME_MAX), FIRST_REACH_TIME_MAX).await
    }

    /// Does all of it once. Done again after an error, it finds done what was done.
    async fn attempt(&self, cx: &Context, reach_time_max: Duration) -> Result<Workers, Failure> {
        let Self { config, data, logs, .. } = self;
        let log = logs.reach(&cx.with_timeout(reach_time_max)).await?;
        ensure_topics(cx, config, log).await?;
        // The flow knows the new names only: by then nothing stands under the old ones.
        take_over_old_names(cx, config, log, &self.lake).await?;
        let flow = Flow::of(config);
        flow.write(data.path()).map_err(|error| Failure::io(error, "write flow.json"))?;
        let workers = self.workers()?;
        logs.open_to_tasks();
        Ok(workers)
    }

    fn workers(&self) -> Result<Workers, Failure> {
        let Self { config, roles, data, lake_dir, logs, .. } = self;
        let mut workers = Vec::new();
        if roles.has(Role::Clean) {
            workers.push((TaskKind("processors"), role::clean::build(config, logs, data)?));
        }
        if roles.has(Role::Sink) {
            workers.push((TaskKind("sinks"), role::sink::build(config, logs, lake_dir)?));
        }
        Ok(workers)
    }

    /// Notes why the log is not there, where everybody who asks for it finds that.
    pub(crate) fn note_away(&self, failure: &Failure) {
        let Some(cluster) = self.logs.cluster() else { return };
        let before = cluster.away();
        let (is_refused, reason) = (!failure.may_pass(), failure.to_string());
        let since = Clock::system().now();
        cluster.note_away(Away { since, is_refused, reason: reason.clone() });
        // Once for each cause, not for each attempt.
        if before.is_some_and(|before| before.reason == reason) {
            return;
        }
        let meanwhile = self.meanwhile();
        if is_refused {
            error!(%reason, meanwhile, "kafka refuses this node; it is tried again");
        } else {
            warn!(%reason, meanwhile, "kafka is away; it is tried again");
        }
    }

    /// Says what this node does without a cluster.
    pub(crate) fn meanwhile(&self) -> &'static str {
        match (self.logs.is_spooled(), self.roles.has(Role::Collector)) {
            (true, _) => "events are kept in the spool",
            (false, true) => "no event is taken",
            (false, false) => "no task runs",
        }
    }

    /// Attempts it until it is done, and runs the workers until `cx` ends.
    pub(crate) async fn run(self, cx: Context, observer: Observer) -> Vec<WorkerError> {
        let mut backoff = Backoff::new(PAUSES, Rng::from_os());
        let workers = loop {
            if backoff.wait(&cx).await.is_err() {
                return Vec::new();
            }
            match self.attempt(&cx, REACH_TIME_MAX).await {
                Ok(workers) => break workers,
                Err(_) if cx.is_cancelled() => return Vec::new(),
                Err(failure) => self.note_away(&failure),
            }
        };
        info!("kafka is there: tasks start");
        observer.add_placements(workers.iter().map(|(_, worker)| worker.placement()));
        // Of their own, so that they end one after the other: whoever writes before whoever reads.
        let free = Context::background();
        let parts = workers.into_iter().map(|(kind, worker)| start_worker(&free, kind, worker));
        let parts: Vec<_> = parts.collect();
        cx.cancelled().await;
        let mut errors = Vec::new();
        for part in parts {
            match part.stop().await {
                Ok(more) => errors.extend(more),
                Err(failure) => error!(%failure, "workers did not end"),
            }
        }
        errors
    }
}

/// Lets pipelines and sinks that were renamed go on where they stood.
async fn take_over_old_names(
    cx: &Context,
    config: &Config,
    log: &dyn Log,
    lake: &Lake,
) -> Result<(), Failure> {
    let cx = cx.with_timeout(TAKEOVER_TIME_MAX);
    takeover::take_over(&cx, config, log, lake).await.map_err(|error| match error.class() {
        millstream_model::ErrorClass::Invalid => Failure::new(Code::Config, error),
        class => Failure::classified(class, error),
    })
}

/// Creates the topics, or finds them as they should be.
async fn ensure_topics(cx: &Context, config: &Config, log: &dyn Log) -> Result<(), Failure> {
    let cx = cx.with_timeout(TOPICS_TIME_MAX);
    let admin = log.admin();
    for topic in &config.topics {
        let name = &topic.name.value;
        let is_dead = config.pipelines.iter().any(|pipeline| pipeline.dead_letters.value == *name);
        let wanted = TopicConfig {
            partitions: topic.config.partitions,
            kind: if is_dead { TopicKind::DeadLetters } else { TopicKind::Events },
            retention: topic.config.retention,
        };
        admin.ensure_topic(&cx, name, &wanted).await.map_err(|error| match error.class() {
            millstream_model::ErrorClass::Invalid => Failure::new(Code::Config, error)
                .with_hint(format!("see `{}` of the configuration", topic.name.path)),
            class => Failure::classified(class, error),
        })?;
    }
    ensure_changelogs(&cx, config, log).await
}

/// Creates the topics in which steps keep their state: as many partitions as the topic read, so
/// that a task's state stands in the partition with its number.
async fn ensure_changelogs(cx: &Context, config: &Config, log: &dyn Log) -> Result<(), Failure> {
    for pipeline in &config.pipelines {
        let Some(name) = pipeline.changelog() else { continue };
        let partitions = config.partitions(&pipeline.from.value);
        let wanted = TopicConfig { partitions, kind: TopicKind::Changelog, retention: None };
        log.admin().ensure_topic(cx, &name, &wanted).await.map_err(|error| match error.class() {
            millstream_model::ErrorClass::Invalid => {
                let (pipeline, topic) = (&pipeline.name.value, &name);
                let hint = format!(
                    "topic `{topic}` holds what pipeline `{pipeline}` remembers, by partition. A \
                     pipeline that is to read another topic takes another name. Where its topic \
                     got more partitions in Kafka, take the step that keeps state out, start \
                     once, delete topic `{topic}` in Kafka and put the step back: it then begins \
                     with nothing to remember"
                );
                Failure::new(Code::Config, error).with_hint(hint)
            }
            class => Failure::classified(class, error),
        })?;
    }
    Ok(())
}
