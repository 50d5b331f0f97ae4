//! The in-memory log keeps the contract, with and without gaps in its offsets.

use std::sync::Arc;

use anyhow::Result;
use async_trait::async_trait;
use millstream_log::Log;
use millstream_log::conformance::{self, Capability, Limits, Subject};
use millstream_log::memory::{self, Gaps, MemoryLog};
use millstream_model::Timestamp;
use millstream_runtime::{Clock, Rng};

use crate::block_on;

const WITH_GAPS: &[Capability] = &[
    Capability::AtomicAppend,
    Capability::Restart,
    Capability::OpeningsToldApart,
    Capability::Crash,
    Capability::Hold,
    Capability::Backup,
];

const GAPLESS: &[Capability] = &[
    Capability::Gapless,
    Capability::AtomicAppend,
    Capability::Restart,
    Capability::OpeningsToldApart,
    Capability::Crash,
    Capability::Hold,
    Capability::Backup,
];

struct MemorySubject {
    /// The log that runs, or that the next start opens.
    log: MemoryLog,
    backup: Option<MemoryLog>,
    gaps: Gaps,
}

impl MemorySubject {
    fn new(gaps: Gaps) -> Self {
        let limits = memory::Limits {
            append_bytes_max: 256 << 10,
            transaction_bytes_max: 512 << 10,
            ..memory::Limits::default()
        };
        let clock = Clock::manual(Timestamp::EPOCH);
        let log = MemoryLog::with_limits(clock, Rng::from_seed(1), limits);
        log.set_gaps(gaps);
        Self { log, backup: None, gaps }
    }
}

#[async_trait]
impl Subject for MemorySubject {
    fn capabilities(&self) -> &[Capability] {
        match self.gaps {
            Gaps::None => GAPLESS,
            Gaps::ControlRecords => WITH_GAPS,
        }
    }

    fn limits(&self) -> Limits {
        Limits { append_bytes_max: 256 << 10, transaction_bytes_max: 512 << 10 }
    }

    async fn start(&mut self) -> Result<Arc<dyn Log>> {
        self.log = self.log.restart();
        Ok(Arc::new(self.log.clone()))
    }

    async fn stop(&mut self) -> Result<()> {
        self.log.close();
        Ok(())
    }

    async fn crash(&mut self) -> Result<()> {
        self.log = self.log.restart();
        Ok(())
    }

    fn hold(&mut self) -> Result<()> {
        self.log.hold();
        Ok(())
    }

    async fn wait_until_held(&mut self) -> Result<()> {
        Ok(())
    }

    fn release(&mut self) -> Result<()> {
        self.log.release();
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        self.backup = Some(self.log.backup());
        Ok(())
    }

    fn restore(&mut self) -> Result<()> {
        self.log = self.backup.take().expect("saved before it is restored");
        Ok(())
    }
}

#[test]
fn the_memory_log_keeps_the_contract() -> Result<()> {
    block_on(conformance::run("memory", || Ok(Box::new(MemorySubject::new(Gaps::None)))))?;
    Ok(())
}

#[test]
fn the_memory_log_with_gaps_keeps_the_contract() -> Result<()> {
    let run = conformance::run("memory with gaps", || {
        Ok(Box::new(MemorySubject::new(Gaps::ControlRecords)))
    });
    block_on(run)?;
    Ok(())
}
