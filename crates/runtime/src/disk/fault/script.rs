//! Which operation fails, how, and what was called so far.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::Rng;

/// What a caller asked of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OpKind {
    /// A directory was made.
    CreateDir,
    /// A file was made.
    Create,
    /// A file was opened.
    Open,
    /// A directory was listed.
    List,
    /// A file was renamed.
    Rename,
    /// A file was removed.
    Remove,
    /// A directory's names were made durable.
    SyncDir,
    /// The free space was asked for.
    FreeBytes,
    /// A lock was taken.
    Lock,
    /// A file's size was asked for.
    Len,
    /// Bytes were read.
    Read,
    /// Bytes were written.
    Write,
    /// A file's size was set.
    SetLen,
    /// Blocks were allocated.
    Allocate,
    /// A file's bytes were made durable.
    Sync,
}

impl OpKind {
    /// Tells whether the operation can change what a reboot finds; only these are numbered.
    pub fn is_change(self) -> bool {
        match self {
            Self::CreateDir | Self::Create | Self::Rename | Self::Remove | Self::SyncDir => true,
            Self::Write | Self::SetLen | Self::Allocate | Self::Sync => true,
            Self::Open | Self::List | Self::FreeBytes | Self::Lock | Self::Len | Self::Read => {
                false
            }
        }
    }
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// Its number among the changes, from one; for any other operation that of the change before.
    pub change: u64,
    /// What was asked.
    pub kind: OpKind,
    /// Of which file or directory.
    pub path: PathBuf,
    /// How many bytes were to be read or written, or the size to set.
    pub bytes: u64,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {:?} {} ({} bytes)", self.change, self.kind, self.path.display(), self.bytes)
    }
}

/// Which operation a fault strikes.
pub enum When {
    /// The change with this number, from one; once.
    Change(u64),
    /// The operation of this kind with this number, from one; once.
    Nth(OpKind, u64),
    /// One in so many operations of this kind, until the faults are cleared.
    OneIn(OpKind, u32),
    /// Every operation for which this is true, until the faults are cleared.
    Every(Box<dyn Fn(&Op) -> bool + Send>),
}

impl fmt::Debug for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Change(number) => write!(f, "Change({number})"),
            Self::Nth(kind, number) => write!(f, "Nth({kind:?}, {number})"),
            Self::OneIn(kind, count) => write!(f, "OneIn({kind:?}, {count})"),
            Self::Every(_) => f.write_str("Every"),
        }
    }
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// A write takes only its first bytes, and says so.
    ShortWrite,
    /// A write takes some of its sectors and fails (EIO).
    TornWrite,
    /// There is no space (ENOSPC); nothing happened.
    NoSpace,
    /// It fails (EIO). A `sync_data` has the kernel's semantics: the error is reported this once,
    /// some pages did not reach the medium, all are marked clean, and a later call succeeds
    /// without them. Of anything else nothing happened.
    Error,
    /// A signal came (EINTR); nothing happened.
    Interrupted,
    /// The machine stops: a part of it may happen, it and everything after it fails.
    Crash,
}

impl Fault {
    fn fits(self, kind: OpKind) -> bool {
        match self {
            Self::ShortWrite | Self::TornWrite => kind == OpKind::Write,
            Self::NoSpace => {
                matches!(
                    kind,
                    OpKind::Write | OpKind::Allocate | OpKind::Create | OpKind::CreateDir
                )
            }
            Self::Interrupted => matches!(kind, OpKind::Read | OpKind::Write),
            Self::Error => true,
            Self::Crash => kind.is_change(),
        }
    }
}

/// How often each kind of operation was called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(BTreeMap<OpKind, u64>);

impl Counts {
    /// Returns how often this kind was called.
    pub fn of(&self, kind: OpKind) -> u64 {
        self.0.get(&kind).copied().unwrap_or(0)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, count)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{kind:?} {count}")?;
        }
        Ok(())
    }
}

/// The faults to come and the operations so far.
#[derive(Default)]
pub(super) struct Script {
    faults: Vec<(When, Fault)>,
    counts: Counts,
    changes: Vec<Op>,
}

impl Script {
    pub(super) fn add(&mut self, when: When, fault: Fault) {
        self.faults.push((when, fault));
    }

    pub(super) fn clear(&mut self) {
        self.faults.clear();
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.len() as u64
    }

    pub(super) fn operations(&self) -> &[Op] {
        &self.changes
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Counts an operation and returns the fault that strikes it.
    pub(super) fn next(
        &mut self,
        kind: OpKind,
        path: &Path,
        bytes: u64,
        rng: &mut Rng,
    ) -> Option<Fault> {
        let nth = self.counts.0.entry(kind).or_insert(0);
        *nth += 1;
        let nth = *nth;
        let change = self.changes() + u64::from(kind.is_change());
        let op = Op { change, kind, path: path.to_owned(), bytes };
        let strikes = |(when, fault): &(When, Fault), rng: &mut Rng| {
            fault.fits(kind)
                && match when {
                    When::Change(number) => kind.is_change() && *number == change,
                    When::Nth(of, number) => *of == kind && *number == nth,
                    When::OneIn(of, count) => *of == kind && rng.chance(1, *count),
                    When::Every(predicate) => predicate(&op),
                }
        };
        let fault = self.faults.iter().find(|entry| strikes(entry, rng)).map(|(_, fault)| *fault);
        if kind.is_change() {
            self.changes.push(op);
        }
        fault
    }
}
