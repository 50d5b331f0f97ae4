//! Worker threads: each serves its connections on a runtime of its own.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use hyper::server::conn::http1;
use millstream_runtime::{Context, Rng, TaskHandle, TaskKind, spawn, spawn_blocking};
use tokio::sync::mpsc;

use crate::budget::Budget;
use crate::collector::Settings;
use crate::combiner::Combiner;
use crate::config::Config;
use crate::connection;
use crate::error::CollectorError;
use crate::json::{FieldPath, Limits, Walker};
use crate::metrics::Metrics;
use crate::request_context::RequestIds;

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) budget: Budget,
    pub(crate) metrics: Metrics,
    pub(crate) config: Config,
    pub(crate) settings: Settings,
}

/// What all requests of one worker share.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) shared: Arc<Shared>,
    pub(crate) combiner: Combiner,
    pub(crate) ids: RequestIds,
    pub(crate) protocol: http1::Builder,
    /// Never contended, never held across an await: only this worker's thread takes it.
    walker: Mutex<Walker>,
    draining: AtomicBool,
}

impl Lane {
    fn new(shared: Arc<Shared>) -> Self {
        let config = &shared.config;
        let bytes = |size: millstream_model::ByteSize| {
            usize::try_from(size.bytes()).expect("sizes are bounded by validation")
        };
        let limits =
            Limits { event_bytes_max: bytes(config.event_bytes_max), depth_max: config.depth_max };
        let key = config.key.as_deref().map(FieldPath::new);
        let key = key.transpose().expect("the path was checked by validation");
        let append_bytes_max = bytes(config.append_bytes_max);
        Self {
            combiner: Combiner::new(&shared.settings.topic, append_bytes_max),
            ids: RequestIds::new(&mut Rng::from_os()),
            protocol: connection::protocol(config),
            walker: Mutex::new(Walker::new(limits, key.as_ref())),
            draining: AtomicBool::new(false),
            shared,
        }
    }

    /// Returns the validator. Walking leaves nothing behind, so a poisoned one is as good.
    pub(crate) fn walker(&self) -> MutexGuard<'_, Walker> {
        self.walker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// The connections that wait for a worker to take them: it takes them at once, unless it is
/// busy beyond hope.
const HANDOVER_MAX: usize = 256;

/// The threads, and the way to them.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
    /// Ends every thread at once.
    stop: Context,
}

#[derive(Debug)]
struct Worker {
    /// Dropped to drain.
    connections: Option<mpsc::Sender<Handover>>,
    open: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// A connection on its way to a worker, counted from here on.
#[derive(Debug)]
struct Handover {
    socket: TcpStream,
    slot: Slot,
}

/// A place among the open connections; given back on drop.
#[derive(Debug)]
struct Slot {
    open: Arc<AtomicUsize>,
    shared: Arc<Shared>,
}

impl Slot {
    fn take(open: &Arc<AtomicUsize>, shared: &Arc<Shared>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        shared.metrics.connections.increment(1);
        Self { open: Arc::clone(open), shared: Arc::clone(shared) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.shared.metrics.connections.decrement(1);
    }
}

impl Workers {
    /// Starts `count` threads.
    pub(crate) fn start(shared: &Arc<Shared>, count: usize) -> Result<Self, CollectorError> {
        let mut pool = Self { workers: Vec::with_capacity(count), stop: Context::background() };
        for index in 0..count {
            let started = start_worker(&pool.stop, shared, index);
            let start = |source| CollectorError::Start { worker: index, source };
            pool.workers.push(started.map_err(start)?);
        }
        Ok(pool)
    }

    /// Returns the number of open connections.
    pub(crate) fn connections(&self) -> usize {
        self.workers.iter().map(|worker| worker.open.load(Ordering::Relaxed)).sum()
    }

    /// Hands a connection to the worker with the fewest. Cancel-safe: a dropped call closes it.
    pub(crate) async fn take(
        &self,
        shared: &Arc<Shared>,
        socket: TcpStream,
    ) -> Result<(), CollectorError> {
        let least = self.workers.iter().enumerate();
        let least = least.min_by_key(|(_, worker)| worker.open.load(Ordering::Relaxed));
        let (index, worker) = least.expect("there is at least one worker");
        let slot = Slot::take(&worker.open, shared);
        let connections = worker.connections.as_ref().expect("only draining takes the sender");
        let sent = connections.send(Handover { socket, slot }).await;
        sent.map_err(|_handover| CollectorError::Worker { worker: index })
    }

    /// Lets the workers finish what they have, for at most `drain_timeout`, and joins them.
    pub(crate) async fn drain(&mut self) -> Result<(), CollectorError> {
        for worker in &mut self.workers {
            worker.connections = None;
        }
        let mut drained = Ok(());
        for (index, worker) in self.workers.iter_mut().enumerate() {
            let Some(thread) = worker.thread.take() else { continue };
            let mut join = spawn_blocking(TaskKind("collector.join"), move || thread.join());
            if join.join().await?.is_err() {
                drained = Err(CollectorError::Worker { worker: index });
            }
        }
        drained
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn start_worker(
    stop: &Context,
    shared: &Arc<Shared>,
    index: usize,
) -> Result<Worker, std::io::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (connections, handovers) = mpsc::channel(HANDOVER_MAX);
    let lane = Arc::new(Lane::new(Arc::clone(shared)));
    let stop = stop.clone();
    let thread = std::thread::Builder::new()
        .name(format!("collector-{index}"))
        .spawn(move || runtime.block_on(run(&stop, lane, handovers)))?;
    let open = Arc::new(AtomicUsize::new(0));
    Ok(Worker { connections: Some(connections), open, thread: Some(thread) })
}

/// Serves connections until no more come, then drains; all of it until `stop` ends.
async fn run(stop: &Context, lane: Arc<Lane>, handovers: mpsc::Receiver<Handover>) {
    let shared = Arc::clone(&lane.shared);
    let combining = lane.combiner.clone().run(Arc::clone(&shared));
    let combiner = spawn(stop, TaskKind("collector.combiner"), combining);
    if stop.run(serve(combiner, lane, handovers)).await.is_err() {
        tracing::warn!("collector worker stopped with requests in flight");
    }
}

async fn serve(
    mut combiner: TaskHandle<()>,
    lane: Arc<Lane>,
    mut handovers: mpsc::Receiver<Handover>,
) {
    let drain = Context::background();
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = open.next() => {}
            handover = handovers.recv() => match handover {
                Some(handover) => open.push(own(start(&drain, &lane, handover))),
                None => break,
            },
            ended = combiner.join() => {
                // Without it no request is ever answered: the acceptor learns of it by the
                // closed channel, and the process by the panic.
                ended.expect("the combiner runs until it is dropped");
                return;
            }
        }
    }
    lane.draining.store(true, Ordering::Relaxed);
    drain.cancel();
    let emptied = async { while open.next().await.is_some() {} };
    let timeout: Duration = lane.shared.config.drain_timeout;
    if tokio::time::timeout(timeout, emptied).await.is_err() {
        tracing::warn!(connections = open.len(), "drain timed out, connections are cut");
    }
}

fn start(drain: &Context, lane: &Arc<Lane>, handover: Handover) -> TaskHandle<()> {
    let (child, lane) = (drain.child(), Arc::clone(lane));
    let Handover { socket, slot } = handover;
    spawn(drain, TaskKind("collector.connection"), async move {
        let served = match tokio::net::TcpStream::from_std(socket) {
            Ok(socket) => {
                connection::serve(child, lane, socket).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = served {
            // Clients break off all the time; it is for those who study one.
            tracing::debug!(%error, "connection ended early");
        }
        drop(slot);
    })
}

/// Awaits a connection's task, which must not panic; if one does, only its connection is lost.
async fn own(mut task: TaskHandle<()>) {
    if let Err(error) = task.join().await {
        tracing::error!(error = &error as &dyn std::error::Error, "connection task failed");
    }
}
