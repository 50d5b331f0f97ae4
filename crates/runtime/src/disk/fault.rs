//! A disk in memory that fails like a real one.
//!
//! Every file has two images: what a reader sees (the page cache) and what survives a power cut
//! (the medium). They meet only in `sync_data`; names meet only in `sync_dir`. In between, any
//! subset of 512-byte sectors, of sizes and of names may reach the medium, and
//! [`FaultDisk::reboot`] draws one of these states:
//!
//! ```text
//!            write ──▶ page cache ──sync_data──▶ medium ──reboot──▶ a new disk
//!   create, rename ──▶ names in use ──sync_dir──▶ names kept
//! ```
//!
//! Operations that change something are numbered from one, so that a test can run a workload
//! once, count them, and then crash at each. A crash in the middle of reading is not numbered:
//! the medium looks the same as at the next change. Faults are scripted with
//! [`FaultDisk::inject`]; randomness comes from the seed alone.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use rustix::io::Errno;
use tokio::sync::Notify;

use super::{DirEntry, Disk, DiskFile, DiskLock, OpenMode};

mod blocks;
mod directory;
mod inode;
mod script;
mod state;

pub use script::{Counts, Fault, Op, OpKind, When};

use state::State;

/// What of the unsynced changes a [`FaultDisk::reboot`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Survival {
    /// Nothing: the power went, and the medium holds only what was synced.
    Synced,
    /// Everything that was still to be written: the power went just after the kernel wrote it.
    Written,
    /// A random part: torn pages, older contents of a page, sizes without bytes, names without
    /// files and files without names.
    Mixture(u64),
    /// The process died and the kernel goes on: all is visible, and still not durable.
    Killed,
}

/// A disk in memory; cloning shares it.
#[derive(Clone)]
pub struct FaultDisk {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Signals every change of the sync gate, to threads and to tasks.
    gate: Condvar,
    gate_changed: Notify,
}

impl Shared {
    fn signal_gate(&self) {
        self.gate.notify_all();
        self.gate_changed.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the state")
    }
}

impl FaultDisk {
    /// Builds an empty disk; the seed decides what a fault leaves behind.
    pub fn new(seed: u64) -> Self {
        Self::from_state(State::new(seed))
    }

    fn from_state(state: State) -> Self {
        let (gate, gate_changed) = (Condvar::new(), Notify::new());
        Self { shared: Arc::new(Shared { state: Mutex::new(state), gate, gate_changed }) }
    }

    /// Adds a fault; the first one that fits an operation strikes.
    pub fn inject(&self, when: When, fault: Fault) {
        self.shared.state().script.add(when, fault);
    }

    /// Crashes at the change with this number, counted from one: a part of it may happen, it and
    /// everything after it fails.
    pub fn crash_at(&self, change: u64) {
        self.inject(When::Change(change), Fault::Crash);
    }

    /// Crashes now.
    pub fn crash(&self) {
        self.shared.state().crashed = true;
        self.shared.signal_gate();
    }

    /// Takes back every fault that has not struck yet.
    pub fn clear_faults(&self) {
        self.shared.state().script.clear();
    }

    /// Sets how many bytes fit, in blocks of 4 KiB; `None` is without bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.state().capacity = bytes;
    }

    /// Returns the bytes in use, in blocks of 4 KiB.
    pub fn used_bytes(&self) -> u64 {
        self.shared.state().used_bytes()
    }

    /// Returns whether the disk has crashed.
    pub fn is_crashed(&self) -> bool {
        self.shared.state().crashed
    }

    /// Returns how many operations changed something so far.
    pub fn changes(&self) -> u64 {
        self.shared.state().script.changes()
    }

    /// Returns every operation that changed something, in order: entry `n - 1` has number `n`.
    pub fn operations(&self) -> Vec<Op> {
        self.shared.state().script.operations().to_vec()
    }

    /// Returns how often each kind of operation was called.
    pub fn counts(&self) -> Counts {
        self.shared.state().script.counts().clone()
    }

    /// Lets every `sync_data` wait until [`FaultDisk::release_syncs`].
    pub fn hold_syncs(&self) {
        self.shared.state().hold_syncs = true;
    }

    /// Lets the waiting `sync_data` calls go on.
    pub fn release_syncs(&self) {
        self.shared.state().hold_syncs = false;
        self.shared.signal_gate();
    }

    /// Waits until a `sync_data` waits, or the disk has crashed. Cancel-safe.
    pub async fn held_sync(&self) {
        loop {
            let mut changed = pin!(self.shared.gate_changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            {
                let state = self.shared.state();
                if state.held_syncs > 0 || state.crashed {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Blocks the calling thread until a `sync_data` waits, or the disk has crashed.
    pub fn wait_for_held_sync(&self) {
        let mut state = self.shared.state();
        while state.held_syncs == 0 && !state.crashed {
            state = self.shared.gate.wait(state).expect("no code panics while it holds the state");
        }
    }

    /// Returns a number that two disks share only if the next start finds the same on both,
    /// whatever happens to them later.
    pub fn fingerprint(&self) -> u64 {
        self.shared.state().fingerprint()
    }

    /// Crashes this disk and returns what the next start of the machine, or with
    /// [`Survival::Killed`] of the process, finds. Locks are gone.
    pub fn reboot(&self, survival: Survival) -> Self {
        self.crash();
        Self::from_state(self.shared.state().reboot(survival))
    }

    /// Returns a second disk with everything that is on this one; this one goes on.
    pub fn copy(&self) -> Self {
        Self::from_state(self.shared.state().reboot(Survival::Killed))
    }
}

impl fmt::Debug for FaultDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultDisk({} changes)", self.changes())
    }
}

impl Disk for FaultDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.shared.state().create_dir_all(dir)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.shared.state().open(path, mode)?;
        Ok(Arc::new(FaultFile { shared: Arc::clone(&self.shared), inode, mode }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        self.shared.state().list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.shared.state().rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.shared.state().remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.shared.state().sync_dir(dir)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.shared.state().free_bytes(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.shared.state().lock(path)?;
        Ok(Box::new(FaultLock { shared: Arc::clone(&self.shared), path: path.into() }))
    }
}

/// The number of a file, whatever its name.
type InodeNumber = u64;

#[derive(Debug)]
struct FaultFile {
    shared: Arc<Shared>,
    inode: InodeNumber,
    mode: OpenMode,
}

impl FaultFile {
    fn writable(&self) -> io::Result<MutexGuard<'_, State>> {
        match self.mode {
            OpenMode::Read => Err(Errno::BADF.into()),
            OpenMode::ReadWrite | OpenMode::CreateNew => Ok(self.shared.state()),
        }
    }
}

impl DiskFile for FaultFile {
    fn len(&self) -> io::Result<u64> {
        self.shared.state().file_len(self.inode)
    }

    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.shared.state().read(self.inode, buf, at)
    }

    fn write_at(&self, buf: &[u8], at: u64) -> io::Result<usize> {
        self.writable()?.write(self.inode, buf, at)
    }

    fn write_vectored_at(&self, bufs: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
        let buf: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        self.writable()?.write(self.inode, &buf, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.writable()?.set_len(self.inode, len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.writable()?.allocate(self.inode, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.shared.state();
        if state.hold_syncs {
            state.held_syncs += 1;
            self.shared.signal_gate();
            while state.hold_syncs && !state.crashed {
                let woken = self.shared.gate.wait(state);
                state = woken.expect("no code panics while it holds the state");
            }
            state.held_syncs -= 1;
        }
        state.sync(self.inode)
    }
}

struct FaultLock {
    shared: Arc<Shared>,
    path: std::path::PathBuf,
}

impl DiskLock for FaultLock {}

impl Drop for FaultLock {
    fn drop(&mut self) {
        self.shared.state().unlock(&self.path);
    }
}

impl fmt::Debug for FaultLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultLock({})", self.path.display())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({} changes)", self.state().script.changes())
    }
}

#[cfg(test)]
mod tests;
