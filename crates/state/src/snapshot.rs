//! Snapshots: a whole store in one file, so that a restart reads the changelog's tail alone.
//!
//! ```text
//!   <dir>/00000000000000001200.snapshot     the second newest: the changelog is kept from here
//!   <dir>/00000000000000004711.snapshot     the newest: named after the position it holds
//! ```
//!
//! A file is written beside its name, synced, and renamed: what has the name is whole. The two
//! newest are kept, so that one that turns out damaged costs time and nothing else. A snapshot is
//! a cache: one that cannot be used, or not even be read, is passed over, and the caller decides from
//! the changelog whether it can do without.

mod format;
#[cfg(feature = "test-support")]
pub(crate) mod fuzz;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use millstream_model::{LogId, LogPosition, Offset, Timestamp, TopicId};
use millstream_runtime::Disk;
use millstream_runtime::disk::OpenMode;
use tracing::warn;

use crate::memory::MemoryStore;
use crate::store::{Label, Store as _, StoreError};

use format::{Reader, Writer};

/// How many snapshots are kept.
pub const SNAPSHOTS_KEPT: usize = 2;

const SUFFIX: &str = ".snapshot";
const UNFINISHED_SUFFIX: &str = ".unfinished";

/// What a snapshot must be of to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The log.
    pub log: LogId,
    /// The changelog's topic.
    pub topic: TopicId,
    /// Its partition.
    pub partition: u32,
    /// What the state means.
    pub fingerprint: String,
    /// Where the state begins in the changelog: a snapshot from before is of another one.
    pub since: Offset,
    /// Older snapshots are of no use: the changelog may have forgotten deletions since.
    pub written_after: Option<Timestamp>,
}

/// What a directory of snapshots gave.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The newest that can be used.
    pub store: Option<MemoryStore>,
    /// Why newer ones could not be read: the disk failed. They may be whole, and read the next time.
    pub unreadable: Vec<StoreError>,
}

/// The snapshots of one task.
#[derive(Debug, Clone)]
pub struct SnapshotDir {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
}

impl SnapshotDir {
    /// Names the directory; it is created by the first snapshot.
    pub fn new(disk: Arc<dyn Disk>, dir: PathBuf) -> Self {
        Self { disk, dir }
    }

    /// Writes a snapshot of `store`, durably, and removes all but the two newest. Blocks.
    ///
    /// What is of another log or topic, or lies beyond this one, is of a log that was wiped or taken
    /// back: it is removed first, so that it does not pass for one of the newest.
    ///
    /// Returns the offset of the older one of two: nobody needs the changelog before it.
    ///
    /// # Panics
    /// When the store has no position: there is nothing to go on from.
    pub fn save(&self, store: &MemoryStore, label: &Label) -> Result<Option<Offset>, StoreError> {
        let position = store.info().position.expect("a snapshot has a position");
        self.disk.create_dir_all(&self.dir).map_err(at(&self.dir))?;
        let path = self.path_of(position.offset);
        let unfinished = path.with_extension(&UNFINISHED_SUFFIX[1..]);
        self.remove_unfinished()?;
        self.remove_stale(&position, label)?;
        store.checkpoint(&*self.disk, &unfinished, label)?;
        self.disk.rename(&unfinished, &path).map_err(at(&path))?;
        self.disk.sync_dir(&self.dir).map_err(at(&self.dir))?;
        self.remove_old()
    }

    /// Returns the newest snapshot that is whole and fits, as a store of at most `bytes_max`, and
    /// which ones the disk did not give back. Blocks.
    pub fn load(&self, identity: &Identity, bytes_max: u64) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded::default();
        for offset in self.offsets()?.into_iter().rev() {
            let path = self.path_of(offset);
            match read(&*self.disk, &path, identity, bytes_max) {
                Ok(Some(store)) => {
                    loaded.store = Some(store);
                    break;
                }
                Ok(None) => {
                    warn!(path = %path.display(), "snapshot of state is of another log or too old");
                }
                Err(error) => {
                    let source = std::error::Error::source(&error);
                    warn!(path = %path.display(), %error, ?source, "snapshot of state is passed over");
                    if matches!(error, StoreError::Disk { .. }) {
                        loaded.unreadable.push(error);
                    }
                }
            }
        }
        Ok(loaded)
    }

    /// Removes every snapshot. Blocks.
    pub fn clear(&self) -> Result<(), StoreError> {
        for offset in self.offsets()? {
            let path = self.path_of(offset);
            self.disk.remove(&path).map_err(at(&path))?;
        }
        Ok(())
    }

    /// Returns the offsets of all snapshots, oldest first.
    fn offsets(&self) -> Result<Vec<Offset>, StoreError> {
        let names = self.names()?;
        Ok(names.iter().filter_map(|name| offset_of(name)).collect())
    }

    fn names(&self) -> Result<Vec<String>, StoreError> {
        match self.disk.list(&self.dir) {
            Ok(entries) => Ok(entries.into_iter().map(|entry| entry.name).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(at(&self.dir)(error)),
        }
    }

    fn remove_unfinished(&self) -> Result<(), StoreError> {
        for name in self.names()?.iter().filter(|name| name.ends_with(UNFINISHED_SUFFIX)) {
            let path = self.dir.join(name);
            self.disk.remove(&path).map_err(at(&path))?;
        }
        Ok(())
    }

    /// Removes every snapshot that is not of the same history as one at `position`, as far as its
    /// name and head tell. One that is damaged or cannot be read is left: it is pushed out like any
    /// other.
    fn remove_stale(&self, position: &LogPosition, label: &Label) -> Result<(), StoreError> {
        for offset in self.offsets()? {
            let path = self.path_of(offset);
            let is_stale = offset > position.offset
                || match head(&*self.disk, &path) {
                    Ok((found, labelled)) => !is_of(&found, &labelled, position, label),
                    Err(_damaged_or_unreadable) => false,
                };
            if is_stale {
                warn!(path = %path.display(), "snapshot of another state is removed");
                self.disk.remove(&path).map_err(at(&path))?;
            }
        }
        Ok(())
    }

    fn remove_old(&self) -> Result<Option<Offset>, StoreError> {
        let offsets = self.offsets()?;
        let (old, kept) = offsets.split_at(offsets.len().saturating_sub(SNAPSHOTS_KEPT));
        for offset in old {
            let path = self.path_of(*offset);
            self.disk.remove(&path).map_err(at(&path))?;
        }
        Ok(if kept.len() == SNAPSHOTS_KEPT { kept.first().copied() } else { None })
    }

    fn path_of(&self, offset: Offset) -> PathBuf {
        // Padded, so that names sort like offsets.
        self.dir.join(format!("{:020}{SUFFIX}", offset.0))
    }
}

fn offset_of(name: &str) -> Option<Offset> {
    name.strip_suffix(SUFFIX)?.parse().ok().map(Offset)
}

/// Makes a failure of the disk at `path` an error.
fn at(path: &Path) -> impl Fn(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Disk { path: path.clone(), source }
}

/// Writes everything into a new file at `path`; it is durable afterwards, its name is not.
pub(crate) fn write(
    store: &MemoryStore,
    disk: &dyn Disk,
    path: &Path,
    label: &Label,
) -> Result<(), StoreError> {
    let position = store.info().position.expect("a snapshot has a position");
    let file = disk.open(path, OpenMode::CreateNew).map_err(at(path))?;
    let mut writer = Writer::new(&*file);
    let written = writer.head(&position, label).and_then(|()| {
        store.iter().try_for_each(|(family, key, entry)| writer.entry(family, key, entry))
    });
    written.and_then(|()| writer.finish()).map_err(at(path))?;
    file.sync_data().map_err(at(path))
}

fn head(disk: &dyn Disk, path: &Path) -> Result<(LogPosition, Label), StoreError> {
    let file = disk.open(path, OpenMode::Read).map_err(at(path))?;
    Reader::new(&*file, path).head()
}

/// Tells whether two snapshots are of one task's state.
fn is_of(found: &LogPosition, labelled: &Label, position: &LogPosition, label: &Label) -> bool {
    found.log == position.log
        && found.topic == position.topic
        && labelled.partition == label.partition
        && labelled.fingerprint == label.fingerprint
}

/// Reads a snapshot; `None` when it is whole so far but not what `identity` asks for.
fn read(
    disk: &dyn Disk,
    path: &Path,
    identity: &Identity,
    bytes_max: u64,
) -> Result<Option<MemoryStore>, StoreError> {
    let file = disk.open(path, OpenMode::Read).map_err(at(path))?;
    let mut reader = Reader::new(&*file, path);
    let (position, label) = reader.head()?;
    let fits = position.log == identity.log
        && position.topic == identity.topic
        && label.partition == identity.partition
        && label.fingerprint == identity.fingerprint
        && position.offset >= identity.since
        && identity.written_after.is_none_or(|limit| label.written > limit);
    if !fits {
        return Ok(None);
    }
    let mut store = MemoryStore::new(bytes_max);
    while let Some(batch) = reader.entries()? {
        store.commit(&batch, None)?;
    }
    store.commit(&crate::WriteBatch::new(), Some(position))?;
    Ok(Some(store))
}

#[cfg(test)]
mod tests;
