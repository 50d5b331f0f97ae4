//! Reads without a node: a data directory on which none runs, or the Kafka cluster that a
//! configuration names, wherever its nodes are.
//!
//! Where Kafka is the log, a data directory has the collector's spool at most. Who reads that is
//! told so: a topic that looks empty there may be full on Kafka.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream_log::Log;
use millstream_log::journal::{Config, Journal, OpenJournalError, Settings};
use millstream_log_kafka::KafkaLog;
use millstream_model::{ByteSize, Classify as _};
use millstream_runtime::disk::RealDisk;
use millstream_runtime::{Clock, Context, Rng, TaskKind, spawn_blocking};

use crate::cli::Global;
use crate::command::{find_node, validate};
use crate::data_dir::DataDir;
use crate::exit::{Code, Failure};
use crate::flow::Flow;
use crate::logs::connect;
use crate::presence::NodeInfo;

/// Keeps everything: whoever only looks may not let retention delete by limits of its own.
const KEEP: Duration = Duration::from_secs(100 * 365 * 86_400);

/// How long closing may take: nothing was written.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);

/// Where a command reads.
#[derive(Debug)]
pub(crate) enum Place {
    /// From the node that runs on the data directory.
    Node(NodeInfo),
    /// From the log itself.
    Here(Offline),
}

/// What a command makes of a journal that is no more than a spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// The whole log: a spool alone would mislead.
    Log,
    /// Whatever is there: the command says what it shows.
    Part,
}

/// A log, open without a node.
#[derive(Debug)]
pub(crate) struct Offline {
    /// The data directory.
    pub(crate) dir: DataDir,
    /// Which way events go, or went when the last node ran.
    pub(crate) flow: Flow,
    source: Source,
}

/// What is open.
#[derive(Debug)]
enum Source {
    /// The journal of the data directory: the log, or the spool of one on Kafka.
    Journal(Journal),
    /// Kafka, and the spool of the data directory if that is looked at too.
    Kafka { log: Arc<KafkaLog>, spool: Option<Journal> },
}

impl Offline {
    /// Returns the log, or what there is of it.
    pub(crate) fn shared_log(&self) -> Arc<dyn Log> {
        match &self.source {
            Source::Journal(journal) => Arc::new(journal.clone()),
            Source::Kafka { log, .. } => Arc::clone(log) as Arc<dyn Log>,
        }
    }

    /// Returns the brokers that are read; `None`: a journal is.
    pub(crate) fn cluster(&self) -> Option<&str> {
        match &self.source {
            Source::Journal(_) => None,
            Source::Kafka { .. } => self.flow.kafka.as_deref(),
        }
    }

    /// Returns the journal, where it is a spool.
    pub(crate) fn spool(&self) -> Option<Arc<dyn Log>> {
        let journal = match &self.source {
            Source::Journal(journal) => self.flow.kafka.as_ref().and(Some(journal)),
            Source::Kafka { spool, .. } => spool.as_ref(),
        };
        journal.map(|journal| Arc::new(journal.clone()) as Arc<dyn Log>)
    }

    /// Returns what to say where only a spool is read.
    pub(crate) fn spool_notice(&self) -> Option<String> {
        let kafka = self.flow.kafka.as_deref().filter(|_| self.cluster().is_none())?;
        Some(format!(
            "this shows the collector's spool alone; the log is Kafka at {kafka}: pass -c FILE to \
             read it, or start a node"
        ))
    }

    /// Opens the journal beside Kafka, where the data directory has one; false when a node has it.
    pub(crate) async fn add_spool(&mut self, cx: &Context) -> Result<bool, Failure> {
        let Source::Kafka { spool, .. } = &mut self.source else { return Ok(true) };
        if !self.dir.has_journal()? {
            return Ok(true);
        }
        match open_journal(cx, keeping(), &self.dir).await {
            Ok(journal) => *spool = Some(journal),
            Err(failure) if failure.code() == Code::TryAgain => return Ok(false),
            Err(failure) => return Err(failure),
        }
        Ok(true)
    }

    /// Closes what is open.
    pub(crate) async fn close(&self, cx: &Context) -> Result<(), Failure> {
        let journal = match &self.source {
            Source::Journal(journal) => Some(journal),
            Source::Kafka { log, spool } => {
                log.close(&cx.with_timeout(CLOSE_TIME_MAX)).await;
                spool.as_ref()
            }
        };
        let Some(journal) = journal.cloned() else { return Ok(()) };
        let closed =
            spawn_blocking(TaskKind("journal-close"), move || journal.close()).join().await;
        closed.map_err(|error| Failure::new(Code::Bug, error))
    }
}

/// Finds where a command reads: the cluster that `config` names, else the node that runs on the
/// data directory, else the directory itself. `None`: the configuration is wrong, and that is said.
pub(crate) async fn find(
    cx: &Context,
    global: &Global,
    config: Option<&Path>,
    needs: Needs,
) -> Result<Option<Place>, Failure> {
    if let Some(config) = config {
        let Some(config) = validate::load(global.format, Some(config))? else { return Ok(None) };
        if let Some(kafka) = &config.kafka {
            let log = connect(cx, kafka).await;
            let log = log.map_err(|error| Failure::classified(error.class(), error))?;
            let (dir, flow) = (DataDir::new(&global.data), Flow::of(&config));
            let source = Source::Kafka { log: Arc::new(log), spool: None };
            return Ok(Some(Place::Here(Offline { dir, flow, source })));
        }
    }
    if let Some(node) = find_node(cx, global).await? {
        return Ok(Some(Place::Node(node)));
    }
    Ok(Some(Place::Here(open(cx, global, needs).await?)))
}

/// Opens the log of a data directory on which a node once ran.
pub(crate) async fn open(cx: &Context, global: &Global, needs: Needs) -> Result<Offline, Failure> {
    let dir = DataDir::new(&global.data);
    let flow = Flow::read(dir.path()).map_err(|error| {
        Failure::io(error, format!("read {}", dir.path().join("flow.json").display()))
    })?;
    let Some(flow) = flow else {
        let message =
            format!("no node runs, or ever ran, on data directory {}", global.data_shown());
        return Err(
            Failure::message(Code::Unavailable, message).with_hint(super::start_or_name(global))
        );
    };
    if let Some(kafka) = &flow.kafka
        && (needs == Needs::Log || !dir.has_journal()?)
    {
        let message = format!(
            "no node runs on data directory {}, and its log is Kafka at {kafka}",
            global.data_shown()
        );
        return Err(Failure::message(Code::Unavailable, message).with_hint(
            "start a node, or wait until the one that starts is ready; `tap`, `lag`, `topics` and \
             `dlq` also read Kafka themselves, with -c FILE",
        ));
    }
    let source = Source::Journal(open_journal(cx, keeping(), &dir).await?);
    Ok(Offline { dir, flow, source })
}

/// Returns how a journal is opened to look into it.
fn keeping() -> Config {
    Config {
        bytes_max: ByteSize(1 << 50),
        retention: KEEP,
        dead_letters_retention: KEEP,
        orphan_hold: KEEP,
        ..Config::default()
    }
}

/// Opens a journal, apart from the worker threads: recovery reads and syncs.
pub(crate) async fn open_journal(
    _cx: &Context,
    config: Config,
    dir: &DataDir,
) -> Result<Journal, Failure> {
    let settings = Settings {
        dir: dir.journal(),
        disk: Arc::new(RealDisk),
        clock: Clock::system(),
        rng: Rng::from_os(),
    };
    let open = move || Journal::open(config, settings);
    let opened = spawn_blocking(TaskKind("journal-open"), open).join().await;
    opened.map_err(|error| Failure::new(Code::Bug, error))?.map_err(|error| match &error {
        OpenJournalError::InUse { .. } => {
            let message = format!("another node runs on data directory {}", dir.path().display());
            Failure::new(Code::TryAgain, anyhow::Error::new(error).context(message))
                .with_hint("stop it first, or give this one a directory of its own with --data DIR")
        }
        _ => Failure::classified(millstream_model::Classify::class(&error), error),
    })
}
