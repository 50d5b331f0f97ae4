//! Contestants that run in a process of their own, started by the runner.

use std::path::PathBuf;

use anyhow::Result;

pub(crate) mod cleaning;
pub(crate) mod collector;
pub(crate) mod disk;
pub(crate) mod engine;
pub(crate) mod journal;
pub(crate) mod logs;

/// Which contestant this process is.
#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum Contestant {
    /// The collector with the journal behind it: serves until SIGTERM.
    Collector(Directory),
    /// The disk itself: sequential writes, each with fdatasync.
    Disk(DiskArgs),
    /// Appends to the journal, durable.
    Journal(VolumeArgs),
    /// The five rules over events in memory.
    Clean(SecondsArgs),
    /// The JSON library's bare validation of the same events.
    Validate(SecondsArgs),
    /// The same rules in the plain way, with the JSON library's lazy access.
    Lazy(SecondsArgs),
    /// Journal, cleaning, transactional append.
    Engine(VolumeArgs),
    /// Collector, log and cleaning, until all events are in the clean topic.
    Logs(logs::LogsArgs),
}

/// Where to write.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Directory {
    /// An empty directory on the disk that is measured.
    #[arg(long)]
    pub(crate) dir: PathBuf,
}

/// Where and how much to write.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct VolumeArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) directory: Directory,
    /// How many bytes of events.
    #[arg(long)]
    pub(crate) bytes: u64,
}

/// What the disk is asked.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct DiskArgs {
    /// Where and how much.
    #[command(flatten)]
    pub(crate) volume: VolumeArgs,
    /// The bytes of one write.
    #[arg(long)]
    pub(crate) block: u64,
}

/// For how long.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct SecondsArgs {
    /// Seconds.
    #[arg(long)]
    pub(crate) seconds: u64,
}

/// Runs a contestant to its end.
pub(crate) async fn run(contestant: &Contestant) -> Result<()> {
    match contestant {
        Contestant::Collector(args) => collector::run(args).await,
        Contestant::Disk(args) => disk::run(args)?.print(),
        Contestant::Journal(args) => journal::run(args).await?.print(),
        Contestant::Clean(args) => cleaning::clean(args)?.print(),
        Contestant::Validate(args) => cleaning::validate(args)?.print(),
        Contestant::Lazy(args) => cleaning::lazy(args)?.print(),
        Contestant::Engine(args) => engine::run(args).await?.print(),
        Contestant::Logs(args) => logs::run(args).await?.print(),
    }
}
