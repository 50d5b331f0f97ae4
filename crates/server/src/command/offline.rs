//! Reads a data directory on which no node runs.

use std::sync::Arc;
use std::time::Duration;

use millstream_log::Log;
use millstream_log::journal::{Config, Journal, OpenJournalError, Settings};
use millstream_model::ByteSize;
use millstream_runtime::disk::RealDisk;
use millstream_runtime::{Clock, Context, Rng, TaskKind, spawn_blocking};

use crate::cli::Global;
use crate::data_dir::DataDir;
use crate::exit::{Code, Failure};
use crate::flow::Flow;

/// Keeps everything: whoever only looks may not let retention delete by limits of its own.
const KEEP: Duration = Duration::from_secs(100 * 365 * 86_400);

/// A data directory, its log open.
#[derive(Debug)]
pub(crate) struct Offline {
    /// The directory.
    pub(crate) dir: DataDir,
    /// Which way events went when the last node ran.
    pub(crate) flow: Flow,
    journal: Journal,
}

impl Offline {
    /// Returns the log.
    pub(crate) fn log(&self) -> &dyn Log {
        &self.journal
    }

    /// Returns the log, for work on another thread.
    pub(crate) fn shared_log(&self) -> Arc<dyn Log> {
        Arc::new(self.journal.clone())
    }

    /// Closes the log.
    pub(crate) async fn close(&self, _cx: &Context) -> Result<(), Failure> {
        let journal = self.journal.clone();
        let closed =
            spawn_blocking(TaskKind("journal-close"), move || journal.close()).join().await;
        closed.map_err(|error| Failure::new(Code::Bug, error))
    }
}

/// Opens the log of a data directory on which a node once ran.
pub(crate) async fn open(cx: &Context, global: &Global) -> Result<Offline, Failure> {
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
    let config = Config {
        bytes_max: ByteSize(1 << 50),
        retention: KEEP,
        dead_letters_retention: KEEP,
        orphan_hold: KEEP,
        ..Config::default()
    };
    let journal = open_journal(cx, config, &dir).await?;
    Ok(Offline { dir, flow, journal })
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
