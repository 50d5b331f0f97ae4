//! The embedded journal: one append-only log for all topics and partitions of a node.
//!
//! ```text
//!  enqueue, transact ─▶ queue ─▶ journal's thread ─▶ segment …0042.journal ─▶ readers
//!                                check · offsets     frames, one sync a group
//! ```
//!
//! A frame is a transaction over any number of partitions, so that atomicity costs nothing, and
//! one sync serves everybody who waits. The head of each segment says all that holds, so that
//! opening reads one segment however large the journal is. `docs/formats/journal.md` is the
//! reference of the files, `docs/decisions/0004-journal-format.md` says why.
//!
//! Reading order: [`writer`] (what one group goes through), `recovery`, `reader`, `retention`.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::{fmt, io};

use millstream_runtime::{Clock, Disk, Rng};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::error;

mod active;
mod admission;
mod archive;
mod change;
mod checksum;
mod codec;
mod commit;
mod config;
mod control;
mod error;
mod frame;
mod free_space;
#[cfg(any(test, feature = "test-support"))]
pub mod fuzz;
mod group;
mod handle;
mod index;
mod maintenance;
mod positions;
mod queue;
mod reader;
mod recovery;
mod removal;
mod request;
mod reserve;
mod retention;
mod scan;
mod segment;
mod segment_table;
mod settle;
mod shared;
mod state;
mod task_table;
mod topic_table;
mod turn;
mod writer;

pub use admission::Level;
pub use config::{Config, ConfigError, Durability};
pub use error::OpenJournalError;

use crate::metrics;
use error::{FileError, at_path};
use recovery::Site;
use shared::{Parts, Shared};
use writer::{JournalThread, Start};

/// The lock that keeps a second process out.
const LOCK: &str = "lock";

/// What a journal is opened with besides its [`Config`].
#[derive(Debug)]
pub struct Settings {
    /// The journal's directory; created if need be.
    pub dir: PathBuf,
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// The wall clock.
    pub clock: Clock,
    /// Where identities come from.
    pub rng: Rng,
}

/// The embedded journal; cloning shares it.
///
/// Closing it, or dropping the last clone, settles what is queued and releases the lock.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// How a journal is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// The bytes of its files.
    pub bytes_used: u64,
    /// The most bytes they may have.
    pub bytes_max: u64,
    /// The bytes that wait to be written.
    pub queue_bytes: u64,
    /// The free bytes of the disk.
    pub disk_free: u64,
    /// The number of segments, archives included.
    pub segments: usize,
    /// What it takes now.
    pub level: Level,
    /// Whether it cannot write at the moment; it keeps trying.
    pub is_broken: bool,
}

impl Journal {
    /// Opens the journal in a directory, and recovers what an earlier run left.
    ///
    /// Blocks; reads one segment, however many there are. Fails when another process uses the
    /// directory, and when stored bytes are damaged where no crash can have damaged them.
    pub fn open(config: Config, settings: Settings) -> Result<Self, OpenJournalError> {
        config.validate()?;
        let Settings { dir, disk, clock, mut rng } = settings;
        let started = Instant::now();
        disk.create_dir_all(&dir).map_err(at_path(&dir))?;
        sync_ancestors(&*disk, &dir)?;
        let lock = disk.lock(&dir.join(LOCK)).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => OpenJournalError::InUse { dir: dir.clone() },
            _ => OpenJournalError::Storage { path: dir.join(LOCK), source },
        })?;
        let site = Site {
            disk: &disk,
            dir: &dir,
            clock: &clock,
            segment_bytes_max: config.segment_bytes_max.bytes(),
        };
        let recovered = recovery::recover(&site, &mut rng)?;
        metrics::recovered(started.elapsed(), recovered.bytes_cut);
        let shared = Arc::new(Shared::new(Parts {
            dir: dir.clone(),
            disk,
            clock,
            config,
            segments: recovered.segments,
            state: recovered.state,
        }));
        let active = recovered.active;
        let thread = JournalThread::new(Start { shared: Arc::clone(&shared), active, rng, lock });
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || thread.run())
            .map_err(|source| OpenJournalError::Storage { path: dir, source })?;
        let thread = Mutex::new(Some(thread));
        Ok(Self { inner: Arc::new(Inner { shared, thread }) })
    }

    /// Refuses new work, settles what is queued, and releases the lock. Blocks until then.
    /// Closing again does nothing.
    pub fn close(&self) {
        self.inner.close();
    }

    /// Returns how the journal is doing.
    pub fn stats(&self) -> Stats {
        let shared = &self.inner.shared;
        let gauges = &shared.gauges;
        Stats {
            bytes_used: gauges.bytes_used.load(Ordering::Relaxed),
            bytes_max: shared.config.bytes_max.bytes(),
            queue_bytes: shared.queue.bytes_used() as u64,
            disk_free: gauges.disk_free.load(Ordering::Relaxed),
            segments: shared.segments.len(),
            level: gauges.level(),
            is_broken: handle::is_broken(shared),
        }
    }

    /// Does one round of maintenance now and waits for its end; it also happens by itself.
    pub async fn maintain(&self) {
        let (done, answer) = oneshot::channel();
        if self.ask(request::Control::Maintain { done }).is_some() {
            // A journal that ends in the meantime has nothing left to maintain.
            answer.await.unwrap_or_default();
        }
    }
}

/// Makes the journal's directory itself durable: it may be there since an attempt whose sync
/// failed, and a journal whose directory a power cut takes away is gone.
fn sync_ancestors(disk: &dyn Disk, dir: &Path) -> Result<(), FileError> {
    for ancestor in dir.ancestors().skip(1) {
        let ancestor = if ancestor.as_os_str().is_empty() { Path::new(".") } else { ancestor };
        match disk.sync_dir(ancestor) {
            // What may not be opened was not made by us.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            result => result.map_err(at_path(ancestor))?,
        }
    }
    Ok(())
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.inner.shared;
        let mut debug = f.debug_struct("Journal");
        debug.field("dir", &shared.dir).field("log", &shared.log).finish_non_exhaustive()
    }
}

impl Inner {
    fn close(&self) {
        self.shared.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            error!("journal thread panicked");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
