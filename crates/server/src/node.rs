//! The life of a node: open, serve, drain.
//!
//! ```text
//!   open:   admin ─▶ logs (recover) ─▶ tables ─▶ topics ─▶ tasks ─▶ collector ─▶ node.json
//!                                                └─ with Kafka away later, beside the collector
//!   drain:  collector ─▶ processors ─▶ sinks (last commit) ─▶ logs ─▶ node.json removed
//! ```
//!
//! The drain goes with the events: whoever appends ends before whoever reads. Nothing depends on
//! its success; what it does not finish, the next start goes on with.

use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use millstream_collector::{Bound, CollectorError};
use millstream_lake::{Lake, Seams};
use millstream_model::Classify as _;
use millstream_pipeline::worker::{Placement, Worker, WorkerError};
use millstream_pipeline::{TaskState, TaskStatus};
use millstream_runtime::{Context, TaskHandle, TaskKind, spawn};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::admin::Admin;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::exit::{Code, Failure};
use crate::flow::Flow;
use crate::flow::renamed::{self, Renames};
use crate::joining::{Joining, Workers};
use crate::logs::Logs;
use crate::observer::{Observed, Observer, Phase, Placements};
use crate::orphans;
use crate::presence::NodeInfo;
use crate::reachable::Watch;
use crate::role;
use crate::roles::{Role, Roles};

/// How long to wait for room on a full disk before looking again.
const ROOM_INTERVAL: Duration = Duration::from_secs(1);

/// A part of a node that runs until its context is cancelled.
#[derive(Debug)]
pub(crate) struct Part<T> {
    cx: Context,
    handle: TaskHandle<T>,
}

/// A node that serves.
#[derive(Debug)]
pub(crate) struct Node {
    data: DataDir,
    info: NodeInfo,
    observer: Observer,
    logs: Logs,
    admin: Part<std::io::Result<()>>,
    /// Looks after what no task shows.
    watcher: Part<()>,
    collector: Option<Part<Result<(), CollectorError>>>,
    /// From whoever writes to whoever reads what was written: the order of a drain.
    workers: Vec<Part<Vec<WorkerError>>>,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drained {
    /// Everything that was begun is finished.
    Wholly,
    /// A part of it was left to the next start.
    InPart,
}

/// Where the events are that a node has answered for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// In the journal, which is the log.
    Here,
    /// In the journal until they are in Kafka.
    HereUntilForwarded,
    /// In Kafka only.
    InKafka,
}

impl<T: Send + 'static> Part<T> {
    fn start<F: Future<Output = T> + Send + 'static>(
        cx: &Context,
        kind: TaskKind,
        run: impl FnOnce(Context) -> F,
    ) -> Self {
        let cx = cx.child();
        let handle = spawn(&cx, kind, run(cx.clone()));
        Self { cx, handle }
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn stop(mut self) -> Result<T, Failure> {
        self.cx.cancel();
        self.handle.join().await.map_err(|error| Failure::new(Code::Bug, error))
    }
}

impl Node {
    /// Opens everything and begins to take events.
    pub(crate) async fn open(
        cx: &Context,
        config: &Config,
        roles: Roles,
        data: DataDir,
        metrics: PrometheusHandle,
    ) -> Result<Self, Failure> {
        let observer = Observer::new();
        let listen = config.admin.listen;
        let listen_failure = |error| role::collector::listen_failure(error, listen, "--admin");
        let admin = Admin::bind(listen).await.map_err(listen_failure)?;
        let admin_address = admin.local_addr().map_err(listen_failure)?;
        let admin_observer = observer.clone();
        let admin = Part::start(cx, TaskKind("admin"), |cx| async move {
            admin.run(&cx, admin_observer, metrics).await
        });

        let logs = Logs::open(cx, config, &data, roles).await?;
        // Ours is the directory now: whatever a killed node left says nothing any more.
        NodeInfo::remove(data.path())
            .map_err(|error| Failure::io(error, "remove a stale node.json"))?;
        let joining = prepare(cx, config, roles, &data, &logs).await?;
        let (joined, late) = match joining.attempt_first(cx).await {
            Ok(workers) => (workers, None),
            Err(failure) if failure.may_pass() && !cx.is_cancelled() => {
                joining.note_away(&failure);
                (Workers::new(), Some(joining.clone()))
            }
            Err(failure) => return Err(failure),
        };
        let meanwhile = joining.meanwhile();
        let mut workers = Workers::new();
        if let Some(forwarders) = role::spool::build(cx, config, &logs).await? {
            workers.push((TaskKind("spool"), forwarders));
        }
        workers.extend(joined);
        let bound = roles
            .has(Role::Collector)
            .then(|| role::collector::bind(config, &logs.intake(), &observer));
        let bound = bound.transpose()?;
        let collector_address = bound.as_ref().map(Bound::local_addr);
        let info = NodeInfo::of_this_process(admin_address, collector_address);
        observer.observe(Observed {
            node: info.clone(),
            log: logs.shared(),
            cluster: logs.cluster().cloned(),
            lake: joining.lake,
            flow: Flow::of(config),
            journal: logs.journal().cloned(),
            placements: Placements::new(workers.iter().map(|(_, worker)| worker.placement())),
        });
        let watcher = watcher(cx, (config, meanwhile), &logs, &observer);
        let start = |(kind, worker)| start_worker(cx, kind, worker);
        let mut workers: Vec<_> = workers.into_iter().map(start).collect();
        workers.extend(late.map(|joining| {
            Part::start(cx, TaskKind("joining"), |cx| joining.run(cx, observer.clone()))
        }));
        let collector = bound.map(|bound| {
            Part::start(cx, TaskKind("collector"), |cx| async move { bound.run(&cx).await })
        });
        Ok(Self { data, info, observer, logs, admin, watcher, collector, workers })
    }

    /// Waits until every task has opened or shows why it cannot, then tells others about the
    /// node.
    pub(crate) async fn announce(&self, cx: &Context) -> Result<(), Failure> {
        let Some(observed) = self.observer.observed() else { return Ok(()) };
        let opened = async {
            // Elsewhere a group places the tasks, and may leave none for this node.
            for placement in observed.placements.all().into_iter().filter(|_| self.logs.is_alone())
            {
                placed(placement).await;
            }
            for task in observed.tasks() {
                left_opening(task).await;
            }
        };
        cx.run(opened).await.map_err(|error| Failure::new(Code::TryAgain, error))?;
        self.observer.set_phase(Phase::Serving);
        self.write_info(cx).await
    }

    /// Writes `node.json`. A full disk does not end the node: what it serves is what makes room.
    async fn write_info(&self, cx: &Context) -> Result<(), Failure> {
        let mut is_said = false;
        loop {
            match self.info.write(self.data.path()) {
                Err(error) if error.kind() == std::io::ErrorKind::StorageFull => {
                    if !is_said {
                        warn!("disk is full: commands do not find the node before it has room");
                        is_said = true;
                    }
                }
                written => return written.map_err(|error| Failure::io(error, "write node.json")),
            }
            let waited = cx.sleep(ROOM_INTERVAL).await;
            waited.map_err(|error| Failure::new(Code::TryAgain, error))?;
        }
    }

    /// Returns where the node listens.
    pub(crate) fn info(&self) -> &NodeInfo {
        &self.info
    }

    /// Returns what becomes of the events that the node takes.
    pub(crate) fn keeping(&self) -> Keeping {
        match (self.logs.is_alone(), self.logs.is_spooled()) {
            (true, _) => Keeping::Here,
            (false, true) => Keeping::HereUntilForwarded,
            (false, false) => Keeping::InKafka,
        }
    }

    /// Returns why no events should be sent here now, and what to know besides.
    pub(crate) fn said(&self) -> (Vec<String>, Vec<String>) {
        self.observer.said()
    }

    /// Waits until the collector ends by itself, which it does only when it cannot go on.
    pub(crate) async fn collector_ended(&mut self) -> Failure {
        let Some(collector) = &mut self.collector else { return std::future::pending().await };
        match collector.handle.join().await {
            Ok(Ok(())) => Failure::message(Code::Bug, "the collector ended by itself"),
            Ok(Err(error)) => Failure::classified(error.class(), error),
            Err(error) => Failure::new(Code::Bug, error),
        }
    }

    /// Takes no more events, finishes what was begun, and closes the log.
    pub(crate) async fn drain(self) -> Result<Drained, Failure> {
        self.observer.set_phase(Phase::Draining);
        let mut drained = Drained::Wholly;
        if let Some(collector) = self.collector
            && let Err(error) = collector.stop().await?
        {
            warn!(%error, "collector did not finish all requests");
            drained = Drained::InPart;
        }
        for part in self.workers {
            for error in part.stop().await? {
                error!(error = %anyhow::Error::new(error), "task did not finish");
                drained = Drained::InPart;
            }
        }
        self.watcher.stop().await?;
        self.logs.close(&Context::background()).await?;
        NodeInfo::remove(self.data.path())
            .map_err(|error| Failure::io(error, "remove node.json"))?;
        if let Err(error) = self.admin.stop().await? {
            warn!(%error, "admin ended");
        }
        info!("stopped");
        Ok(drained)
    }
}

/// Starts what looks after what no task shows.
fn watcher(
    cx: &Context,
    (config, meanwhile): (&Config, &'static str),
    logs: &Logs,
    observer: &Observer,
) -> Part<()> {
    let Some(cluster) = logs.cluster().cloned() else {
        return Part::start(cx, TaskKind("orphans"), |cx| {
            orphans::watch(cx, observer.clone(), config.log.orphan_hold)
        });
    };
    // Elsewhere a position holds back nothing; there the log itself may go away.
    let changelogs = config.pipelines.iter().filter_map(|pipeline| pipeline.changelog());
    let topics = config.topics.iter().map(|topic| topic.name.value.clone()).chain(changelogs);
    let topics = topics.collect();
    let watch = Watch { cluster, topics, meanwhile };
    Part::start(cx, TaskKind("reachable"), |cx| watch.run(cx))
}

/// Prepares what needs no cluster: the journal's topics and the tables.
async fn prepare(
    cx: &Context,
    config: &Config,
    roles: Roles,
    data: &DataDir,
    logs: &Logs,
) -> Result<Joining, Failure> {
    nothing_was_renamed(data, &Flow::of(config), &Renames::of(config))?;
    if logs.is_spooled() {
        role::spool::ensure_topics(cx, config, &*logs.intake()).await?;
    }
    let lake_dir = config.lake.path.clone().unwrap_or_else(|| data.lake());
    let lake = Lake::open(&lake_dir, Seams::default()).await;
    let lake = lake.map_err(|error| Failure::classified(error.class(), error))?;
    let (config, data, logs) = (config.clone(), data.clone(), logs.clone());
    Ok(Joining { config, roles, data, lake_dir, lake, logs })
}

/// Starts the tasks of a worker.
pub(crate) fn start_worker(cx: &Context, kind: TaskKind, worker: Worker) -> Part<Vec<WorkerError>> {
    Part::start(cx, kind, |cx| async move { worker.run(&cx).await })
}

/// Waits until every group of a worker knows which tasks are its own; a worker that is gone will
/// never know.
async fn placed(mut placement: watch::Receiver<Placement>) {
    // The sender is dropped only when the worker has ended.
    drop(placement.wait_for(|placement| placement.unplaced == 0).await);
}

/// Waits until a task no longer opens; one that is gone does not open either.
async fn left_opening(mut status: watch::Receiver<TaskStatus>) {
    // The sender is dropped only when the task has ended.
    drop(status.wait_for(|status| status.state != TaskState::Opening).await);
}

/// Refuses a flow in which a pipeline or a sink of the last run goes by another name and does not
/// say so.
fn nothing_was_renamed(data: &DataDir, flow: &Flow, renames: &Renames) -> Result<(), Failure> {
    let last = Flow::read(data.path()).map_err(|error| {
        let hint = "it tells whether a pipeline or a sink was renamed; if none was since the last \
                    run, remove the file and start again";
        Failure::io(error, "read flow.json").with_hint(hint)
    })?;
    let Some(last) = last else { return Ok(()) };
    renamed::check(&last, flow, renames).map_err(|error| {
        let hint = error.hint();
        Failure::new(Code::Config, error).with_hint(hint)
    })
}
