//! The embedded journal keeps the contract: on a real disk, on one that loses what was not
//! synced, and on one that answers with short writes and signals all the time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use millstream_log::Log;
use millstream_log::conformance::{self, Capability, Limits, Subject};
use millstream_log::journal::{Config, Journal, Settings};
use millstream_model::{ByteSize, Timestamp};
use millstream_runtime::disk::RealDisk;
use millstream_runtime::disk::fault::{Fault, FaultDisk, OpKind, Survival, When};
use millstream_runtime::{Clock, Disk, Rng};

use crate::block_on;

const BATCH_BYTES_MAX: usize = 256 << 10;

/// A journal small enough that properties roll segments.
pub(crate) fn small_config() -> Config {
    Config {
        // Each crash leaves room behind that was allocated ahead.
        bytes_max: ByteSize::gib(4),
        segment_bytes_max: ByteSize::kib(512),
        group_bytes_max: ByteSize::kib(512),
        batch_bytes_max: ByteSize(BATCH_BYTES_MAX as u64),
        transaction_bytes_max: ByteSize(BATCH_BYTES_MAX as u64),
        queue_bytes_max: ByteSize::mib(4),
        reserve_bytes: ByteSize::kib(64),
        // Maintenance runs when a test says so.
        retention_interval: Duration::from_secs(24 * 60 * 60),
        ..Config::default()
    }
}

/// The disk of a subject.
enum Storage {
    Real(tempfile::TempDir),
    Fault { disk: FaultDisk, backup: Option<FaultDisk>, transient: Transient },
}

/// Whether the disk answers with what a caller must simply try again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transient {
    Never,
    Often,
}

struct JournalSubject {
    storage: Storage,
    journal: Option<Journal>,
    rng: Rng,
    clock: Clock,
}

impl JournalSubject {
    fn new(storage: Storage) -> Self {
        let clock = Clock::manual(Timestamp::from_millis(1_000_000));
        Self { storage, journal: None, rng: Rng::from_seed(1), clock }
    }

    fn on_fault_disk(transient: Transient) -> Self {
        Self::new(Storage::Fault { disk: FaultDisk::new(1), backup: None, transient })
    }

    fn disk(&self) -> (PathBuf, Arc<dyn Disk>) {
        match &self.storage {
            Storage::Real(dir) => (dir.path().join("journal"), Arc::new(RealDisk)),
            Storage::Fault { disk, .. } => ("/data/journal".into(), Arc::new(disk.clone())),
        }
    }

    fn fault_disk(&self) -> Result<&FaultDisk> {
        match &self.storage {
            Storage::Real(_) => anyhow::bail!("a real disk does not fail on demand"),
            Storage::Fault { disk, .. } => Ok(disk),
        }
    }
}

fn make_trouble(disk: &FaultDisk, transient: Transient) {
    if transient == Transient::Often {
        disk.inject(When::OneIn(OpKind::Write, 3), Fault::ShortWrite);
        disk.inject(When::OneIn(OpKind::Write, 5), Fault::Interrupted);
        disk.inject(When::OneIn(OpKind::Read, 5), Fault::Interrupted);
    }
}

#[async_trait]
impl Subject for JournalSubject {
    fn capabilities(&self) -> &[Capability] {
        match self.storage {
            Storage::Real(_) => &[
                Capability::Gapless,
                Capability::AtomicAppend,
                Capability::Restart,
                Capability::OpeningsToldApart,
            ],
            Storage::Fault { .. } => &[
                Capability::Gapless,
                Capability::AtomicAppend,
                Capability::Restart,
                Capability::OpeningsToldApart,
                Capability::Crash,
                Capability::Hold,
                Capability::Backup,
                Capability::OneSync,
            ],
        }
    }

    fn limits(&self) -> Limits {
        Limits { append_bytes_max: BATCH_BYTES_MAX, transaction_bytes_max: BATCH_BYTES_MAX }
    }

    async fn start(&mut self) -> Result<Arc<dyn Log>> {
        let (dir, disk) = self.disk();
        if let Storage::Fault { disk, transient, .. } = &self.storage {
            disk.clear_faults();
            make_trouble(disk, *transient);
        }
        let rng = Rng::from_seed(self.rng.next_u64());
        let settings = Settings { dir, disk, clock: self.clock.clone(), rng };
        let journal = Journal::open(small_config(), settings)?;
        self.journal = Some(journal.clone());
        Ok(Arc::new(journal))
    }

    async fn stop(&mut self) -> Result<()> {
        self.journal.take().context("the journal runs")?.close();
        Ok(())
    }

    async fn crash(&mut self) -> Result<()> {
        let next = self.fault_disk()?.reboot(Survival::Synced);
        // Its disk is gone: closing it changes nothing that the next start sees.
        self.journal.take().context("the journal runs")?.close();
        if let Storage::Fault { disk, .. } = &mut self.storage {
            *disk = next;
        }
        Ok(())
    }

    fn hold(&mut self) -> Result<()> {
        self.fault_disk()?.hold_syncs();
        Ok(())
    }

    async fn wait_until_held(&mut self) -> Result<()> {
        let disk = self.fault_disk()?.clone();
        let held = disk.held_sync();
        tokio::time::timeout(Duration::from_secs(60), held).await.context("nothing is synced")
    }

    fn release(&mut self) -> Result<()> {
        self.fault_disk()?.release_syncs();
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        if let Storage::Fault { disk, backup, .. } = &mut self.storage {
            *backup = Some(disk.copy());
        }
        Ok(())
    }

    fn restore(&mut self) -> Result<()> {
        if let Storage::Fault { disk, backup, .. } = &mut self.storage {
            *disk = backup.take().context("saved before it is restored")?;
        }
        Ok(())
    }

    fn syncs(&self) -> Result<u64> {
        Ok(self.fault_disk()?.counts().of(OpKind::Sync))
    }
}

#[test]
fn the_journal_keeps_the_contract_on_a_real_disk() -> Result<()> {
    let make = || {
        let storage = Storage::Real(tempfile::tempdir()?);
        Ok(Box::new(JournalSubject::new(storage)) as Box<dyn Subject>)
    };
    block_on(conformance::run("journal", make))?;
    Ok(())
}

#[test]
fn the_journal_keeps_the_contract_over_crashes() -> Result<()> {
    let make = || Ok(Box::new(JournalSubject::on_fault_disk(Transient::Never)) as Box<dyn Subject>);
    block_on(conformance::run("journal over crashes", make))?;
    Ok(())
}

#[test]
fn the_journal_keeps_the_contract_on_a_troublesome_disk() -> Result<()> {
    let make = || Ok(Box::new(JournalSubject::on_fault_disk(Transient::Often)) as Box<dyn Subject>);
    block_on(conformance::run("journal on a troublesome disk", make))?;
    Ok(())
}
