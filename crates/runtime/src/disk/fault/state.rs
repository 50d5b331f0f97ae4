//! The whole file system; each method is one system call, and the script decides its fate.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::directory::{Directory, Node};
use super::inode::{Inode, PAGE_BYTES};
use super::script::{Fault, OpKind, Script};
use super::{InodeNumber, Survival};
use crate::Rng;
use crate::disk::{DirEntry, OpenMode};

/// What a disk without a set capacity says is free: 1 TiB.
const FREE_BYTES: u64 = 1 << 40;

pub(super) struct State {
    rng: Rng,
    dirs: BTreeMap<PathBuf, Directory>,
    inodes: BTreeMap<InodeNumber, Inode>,
    locks: BTreeSet<PathBuf>,
    pub(super) script: Script,
    pub(super) capacity: Option<u64>,
    pub(super) crashed: bool,
    pub(super) hold_syncs: bool,
    pub(super) held_syncs: usize,
}

/// What becomes of an operation.
enum Fate {
    Happens,
    /// It fails after a part of it happened: for a file's bytes a random part, for anything else
    /// all or nothing.
    Crashes,
    Fails(Fault),
}

fn crashed() -> io::Error {
    io::Error::other("the disk has crashed")
}

fn error_of(fault: Fault) -> io::Error {
    match fault {
        Fault::NoSpace => Errno::NOSPC.into(),
        Fault::Interrupted => Errno::INTR.into(),
        Fault::Error | Fault::TornWrite | Fault::ShortWrite => Errno::IO.into(),
        Fault::Crash => crashed(),
    }
}

fn file_name(path: &Path) -> io::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned).ok_or_else(|| Errno::INVAL.into())
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or_else(|| Path::new("")).to_owned()
}

impl State {
    pub(super) fn new(seed: u64) -> Self {
        let mut dirs = BTreeMap::new();
        dirs.insert(PathBuf::from("/"), Directory::default());
        dirs.insert(PathBuf::new(), Directory::default());
        Self::from_parts(Rng::from_seed(seed), dirs, BTreeMap::new(), None)
    }

    fn from_parts(
        rng: Rng,
        dirs: BTreeMap<PathBuf, Directory>,
        inodes: BTreeMap<InodeNumber, Inode>,
        capacity: Option<u64>,
    ) -> Self {
        Self {
            rng,
            dirs,
            inodes,
            locks: BTreeSet::new(),
            script: Script::default(),
            capacity,
            crashed: false,
            hold_syncs: false,
            held_syncs: 0,
        }
    }

    /// Returns the state that the next start finds; this one stays as it is.
    pub(super) fn reboot(&mut self, survival: Survival) -> Self {
        let mut rng = Rng::from_seed(match survival {
            Survival::Mixture(seed) => seed,
            Survival::Synced | Survival::Written | Survival::Killed => self.rng.next_u64(),
        });
        let dirs: BTreeMap<_, _> = self
            .dirs
            .iter()
            .map(|(path, dir)| (path.clone(), dir.reboot(survival, &mut rng)))
            .collect();
        let dirs = reachable(dirs);
        let mut inodes = BTreeMap::new();
        for (_, node) in dirs.values().flat_map(Directory::iter) {
            if let Node::File(number) = node {
                inodes
                    .entry(number)
                    .or_insert_with(|| self.inodes[&number].reboot(survival, &mut rng));
            }
        }
        // With a kernel that goes on, a name may still come back that is out of use.
        if survival == Survival::Killed {
            inodes.clone_from(&self.inodes);
        }
        Self::from_parts(rng, dirs, inodes, self.capacity)
    }

    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.dirs, &self.inodes, self.capacity).hash(&mut hasher);
        hasher.finish()
    }

    fn next(&mut self, kind: OpKind, path: &Path, bytes: u64) -> io::Result<Fate> {
        if self.crashed {
            return Err(crashed());
        }
        Ok(match self.script.next(kind, path, bytes, &mut self.rng) {
            None => Fate::Happens,
            Some(Fault::Crash) => {
                self.crashed = true;
                Fate::Crashes
            }
            Some(fault) => Fate::Fails(fault),
        })
    }

    /// Runs an operation that happens wholly or not at all.
    fn run<T>(
        &mut self,
        kind: OpKind,
        path: &Path,
        apply: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        match self.next(kind, path, 0)? {
            Fate::Happens => apply(self),
            Fate::Fails(fault) => Err(error_of(fault)),
            Fate::Crashes => {
                if self.rng.chance(1, 2) {
                    apply(self)?;
                }
                Err(crashed())
            }
        }
    }

    fn dir(&mut self, path: &Path) -> io::Result<&mut Directory> {
        self.dirs.get_mut(path).ok_or_else(|| Errno::NOENT.into())
    }

    fn node(&mut self, path: &Path) -> io::Result<Option<Node>> {
        let name = file_name(path)?;
        Ok(self.dir(&parent(path))?.get(&name))
    }

    fn file(&mut self, path: &Path) -> io::Result<InodeNumber> {
        match self.node(path)? {
            Some(Node::File(number)) => Ok(number),
            Some(Node::Dir) => Err(Errno::ISDIR.into()),
            None => Err(Errno::NOENT.into()),
        }
    }

    fn inode(&mut self, number: InodeNumber) -> &mut Inode {
        self.inodes.get_mut(&number).expect("a file stays as long as its disk")
    }

    pub(super) fn create_dir_all(&mut self, dir: &Path) -> io::Result<()> {
        let above = parent(dir);
        if self.dirs.contains_key(dir) {
            let is_root = dir.parent().is_none() || dir.as_os_str().is_empty();
            return if is_root { Ok(()) } else { self.sync_dir(&above) };
        }
        self.create_dir_all(&above)?;
        let name = file_name(dir)?;
        self.run(OpKind::CreateDir, dir, |state| {
            state.dir(&above)?.insert(&name, Node::Dir);
            state.dirs.insert(dir.to_owned(), Directory::default());
            Ok(())
        })?;
        self.sync_dir(&above)
    }

    pub(super) fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<InodeNumber> {
        match mode {
            OpenMode::Read | OpenMode::ReadWrite => {
                self.run(OpKind::Open, path, |state| state.file(path))
            }
            OpenMode::CreateNew => self.run(OpKind::Create, path, |state| state.create(path)),
        }
    }

    fn create(&mut self, path: &Path) -> io::Result<InodeNumber> {
        if self.node(path)?.is_some() {
            return Err(Errno::EXIST.into());
        }
        let name = file_name(path)?;
        let number = self.inodes.last_key_value().map_or(1, |(last, _)| last + 1);
        self.inodes.insert(number, Inode::new(path.to_owned()));
        self.dir(&parent(path))?.insert(&name, Node::File(number));
        Ok(number)
    }

    pub(super) fn list(&mut self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.run(OpKind::List, dir, |state| {
            let entries: Vec<_> =
                state.dir(dir)?.iter().map(|(name, node)| (name.clone(), node)).collect();
            let entry = |(name, node)| match node {
                Node::Dir => DirEntry { name, bytes: 0, is_dir: true },
                Node::File(number) => {
                    DirEntry { name, bytes: state.inode(number).len(), is_dir: false }
                }
            };
            Ok(entries.into_iter().map(entry).collect())
        })
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(OpKind::Rename, from, |state| {
            let node = Node::File(state.file(from)?);
            let (old, new) = (file_name(from)?, file_name(to)?);
            if parent(from) == parent(to) {
                state.dir(&parent(from))?.rename(&old, &new, node);
            } else {
                state.dir(&parent(to))?.insert(&new, node);
                state.dir(&parent(from))?.remove(&old);
            }
            Ok(())
        })
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.run(OpKind::Remove, path, |state| {
            state.file(path)?;
            let name = file_name(path)?;
            state.dir(&parent(path))?.remove(&name);
            Ok(())
        })
    }

    pub(super) fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        self.run(OpKind::SyncDir, dir, |state| {
            state.dir(dir)?.sync();
            Ok(())
        })
    }

    pub(super) fn free_bytes(&mut self, dir: &Path) -> io::Result<u64> {
        self.run(OpKind::FreeBytes, dir, |state| {
            let free = |capacity: u64| capacity.saturating_sub(state.used_bytes());
            Ok(state.capacity.map_or(FREE_BYTES, free))
        })
    }

    pub(super) fn lock(&mut self, path: &Path) -> io::Result<()> {
        if self.node(path)?.is_none() {
            self.run(OpKind::Create, path, |state| state.create(path))?;
        }
        self.run(OpKind::Lock, path, |state| {
            let free = state.locks.insert(path.to_owned());
            if free { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
        })
    }

    pub(super) fn unlock(&mut self, path: &Path) {
        self.locks.remove(path);
    }

    /// Returns the bytes of the blocks of every file that has a name.
    pub(super) fn used_bytes(&self) -> u64 {
        let named = self.dirs.values().flat_map(Directory::iter);
        let blocks = named.map(|(_, node)| match node {
            Node::File(number) => self.inodes[&number].blocks(),
            Node::Dir => 0,
        });
        blocks.sum::<u64>() * PAGE_BYTES as u64
    }

    fn free_blocks(&self) -> u64 {
        let free = |capacity: u64| capacity.saturating_sub(self.used_bytes()) / PAGE_BYTES as u64;
        self.capacity.map_or(u64::MAX, free)
    }

    pub(super) fn file_len(&mut self, number: InodeNumber) -> io::Result<u64> {
        let path = self.inode(number).path.clone();
        self.run(OpKind::Len, &path, |state| Ok(state.inode(number).len()))
    }

    pub(super) fn read(
        &mut self,
        number: InodeNumber,
        buf: &mut [u8],
        at: u64,
    ) -> io::Result<usize> {
        let path = self.inode(number).path.clone();
        match self.next(OpKind::Read, &path, buf.len() as u64)? {
            Fate::Fails(fault) => Err(error_of(fault)),
            Fate::Happens | Fate::Crashes => Ok(self.inode(number).read(buf, at)),
        }
    }

    pub(super) fn write(&mut self, number: InodeNumber, buf: &[u8], at: u64) -> io::Result<usize> {
        let path = self.inode(number).path.clone();
        let fate = self.next(OpKind::Write, &path, buf.len() as u64)?;
        let free = self.free_blocks();
        let inode = self.inodes.get_mut(&number).expect("a file stays as long as its disk");
        match fate {
            Fate::Happens => {}
            // There is nothing shorter than one byte.
            Fate::Fails(Fault::ShortWrite) if buf.len() < 2 => {}
            Fate::Crashes => {
                inode.write_torn(buf, at, &mut self.rng);
                return Err(crashed());
            }
            Fate::Fails(Fault::TornWrite) => {
                inode.write_torn(buf, at, &mut self.rng);
                return Err(error_of(Fault::TornWrite));
            }
            Fate::Fails(Fault::ShortWrite) => {
                let count = 1 + self.rng.below(buf.len() as u64 - 1) as usize;
                inode.write(&buf[..count], at);
                return Ok(count);
            }
            Fate::Fails(fault) => return Err(error_of(fault)),
        }
        let count = inode.fitting(buf.len(), at, free);
        if count == 0 && !buf.is_empty() {
            return Err(Errno::NOSPC.into());
        }
        inode.write(&buf[..count], at);
        Ok(count)
    }

    pub(super) fn set_len(&mut self, number: InodeNumber, len: u64) -> io::Result<()> {
        let path = self.inode(number).path.clone();
        self.run(OpKind::SetLen, &path, |state| {
            state.inode(number).set_len(len);
            Ok(())
        })
    }

    pub(super) fn allocate(&mut self, number: InodeNumber, len: u64) -> io::Result<()> {
        let path = self.inode(number).path.clone();
        self.run(OpKind::Allocate, &path, |state| {
            let free = state.free_blocks();
            let inode = state.inode(number);
            if inode.missing_blocks(len) > free {
                return Err(Errno::NOSPC.into());
            }
            inode.allocate(len);
            Ok(())
        })
    }

    pub(super) fn sync(&mut self, number: InodeNumber) -> io::Result<()> {
        let path = self.inode(number).path.clone();
        let fate = self.next(OpKind::Sync, &path, 0)?;
        let inode = self.inodes.get_mut(&number).expect("a file stays as long as its disk");
        match fate {
            Fate::Happens => {
                inode.sync();
                Ok(())
            }
            // What a reboot draws from the dirty pages covers every part of a sync but its end.
            Fate::Crashes => {
                if self.rng.chance(1, 2) {
                    inode.sync();
                }
                Err(crashed())
            }
            Fate::Fails(fault) => {
                inode.sync_failed(&mut self.rng);
                Err(error_of(fault))
            }
        }
    }
}

/// Drops directories whose name did not survive.
fn reachable(dirs: BTreeMap<PathBuf, Directory>) -> BTreeMap<PathBuf, Directory> {
    let mut found: BTreeMap<PathBuf, Directory> = BTreeMap::new();
    // In order of paths a directory comes after the one that holds it.
    for (path, dir) in dirs {
        let is_root = path.as_os_str().is_empty() || path.parent().is_none();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_named = found.get(&parent(&path)).is_some_and(|above| above.get(name).is_some());
        if is_root || is_named {
            found.insert(path, dir);
        }
    }
    found
}
