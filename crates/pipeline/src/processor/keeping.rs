//! Keeping state: what a transaction notes of it, and snapshots behind which the changelog is
//! trimmed.
//!
//! A snapshot needs to say how much of the changelog it holds. A transaction does not tell where
//! its records landed, and looking afterwards could find the records of a newer owner. So the end
//! is looked up *before* a transaction: that this one was not fenced proves that nobody else had
//! written until then. The transaction's own records lie behind that place and are in the snapshot
//! too; reading them again changes nothing.

use std::time::Duration;

use bytes::Bytes;
use millstream_log::Committed;
use millstream_model::{ErrorClass, LogPosition, Offset, SourceId, TopicName, TopicPartition};
use millstream_runtime::{Context, TaskKind, spawn_blocking};
use millstream_state::{Label, SnapshotDir};
use tokio::time::Instant;

use super::Processor;
use crate::failure::Failure;
use crate::keyed_state::Mark;

/// What the state of a step means, in its snapshots: to be changed with the entries it writes.
pub(super) const FINGERPRINT: &str = "dedupe/1";

/// Where the state of a pipeline's steps is kept.
#[derive(Debug, Clone)]
pub struct Keeping {
    /// The topic of the changelog; it has as many partitions as the input.
    pub changelog: TopicName,
    /// Where snapshots lie; without any, opening reads the whole changelog.
    pub snapshots: Option<SnapshotDir>,
    /// A snapshot is made when the changelog has grown by this many bytes …
    pub snapshot_bytes_min: u64,
    /// … and by this share of what the state takes, in percent: so what is written twice, and
    /// what opening reads, stays in proportion.
    pub snapshot_growth_percent: u64,
}

impl Keeping {
    /// Takes a topic, with snapshots after 32 MiB at the earliest, and as much as the state takes.
    pub fn new(changelog: TopicName, snapshots: Option<SnapshotDir>) -> Self {
        let (snapshot_bytes_min, snapshot_growth_percent) = (32 << 20, 100);
        Self { changelog, snapshots, snapshot_bytes_min, snapshot_growth_percent }
    }
}

/// How often events that came too late are warned of at most.
const LATE_WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Events that came too late for a step that keeps state, and were not yet warned of.
#[derive(Debug, Default)]
pub(super) struct LateEvents {
    count: u64,
    warned: Option<Instant>,
}

impl LateEvents {
    fn add(&mut self, input: &TopicPartition, late: u64) {
        self.count += late;
        let was_warned = self.warned.is_some_and(|at| at.elapsed() < LATE_WARNING_INTERVAL);
        if self.count == 0 || was_warned {
            return;
        }
        self.warned = Some(Instant::now());
        tracing::warn!(%input, events = std::mem::take(&mut self.count),
            "events came later than `dedupe` looks back, doubles among them are stored: a \
             collector is behind for longer than `within`");
    }
}

impl Processor {
    /// Returns the partition of the changelog that is this task's.
    pub(super) fn changelog(&self) -> Option<TopicPartition> {
        let keeping = self.settings.keeping.as_ref()?;
        Some(TopicPartition::new(keeping.changelog.clone(), self.settings.input.partition.0))
    }

    /// Returns what the transaction at hand is to note of the state.
    pub(super) fn mark(&self) -> Option<(SourceId, Bytes)> {
        let partitions = self.settings.cleaner.input_partitions;
        let mark = self.cleaner.state()?.mark(partitions);
        Some((Mark::source_id(), mark.encode()))
    }

    /// Returns the note with which a task lets go of a state that no step of it keeps any more.
    pub(super) fn letting_go(
        &self,
        committed: &Committed,
    ) -> Result<Vec<(SourceId, Bytes)>, Failure> {
        if self.cleaner.state().is_some() {
            return Ok(Vec::new());
        }
        let mark = Mark::of_committed(committed).map_err(|error| Failure::of("open", &error))?;
        let released = mark.map(|mark| Mark { transactions: 0, ..mark });
        Ok(released.map(|mark| (Mark::source_id(), mark.encode())).into_iter().collect())
    }

    /// Fails when a step could not read its state: its verdicts are worth nothing.
    pub(super) fn readable_state(&mut self) -> Result<(), Failure> {
        match self.cleaner.state_mut().and_then(|state| state.take_failure()) {
            Some(error) => Err(Failure::of("state", &error)),
            None => Ok(()),
        }
    }

    /// Returns the end of the changelog, if the coming transaction is to end in a snapshot.
    pub(super) async fn standing_if_due(
        &self,
        cx: &Context,
    ) -> Result<Option<LogPosition>, Failure> {
        let Some(changelog) = self.changelog() else { return Ok(None) };
        let Some(keeping) = &self.settings.keeping else { return Ok(None) };
        let Some(state) = self.cleaner.state() else { return Ok(None) };
        let share = state.status().bytes.saturating_mul(keeping.snapshot_growth_percent) / 100;
        let due_at = keeping.snapshot_bytes_min.max(share);
        if keeping.snapshots.is_none() || state.unsaved_bytes() < due_at {
            return Ok(None);
        }
        let bounds = self.log.bounds(cx, &changelog).await;
        Ok(Some(bounds.map_err(|error| Failure::of("state", &error))?.end))
    }

    /// Takes over the state that was committed; `standing` is where the changelog ended before.
    pub(super) async fn keep(&mut self, standing: Option<LogPosition>) -> Result<(), Failure> {
        let Some(state) = self.cleaner.state_mut() else { return Ok(()) };
        let evicted_before = state.status().evicted_early;
        state.committed(standing).map_err(|error| Failure::of("state", &error))?;
        let late = state.take_late();
        let shown = state.status();
        let evicted = shown.evicted_early.saturating_sub(evicted_before);
        crate::metrics::evicted_early(&self.settings.cleaner.pipeline, evicted);
        crate::metrics::late(&self.settings.cleaner.pipeline, late);
        self.late.add(&self.settings.input, late);
        self.reporter.update(|status| status.keyed = Some(shown));
        if standing.is_some() { self.save().await } else { Ok(()) }
    }

    /// Makes a snapshot, and trims what it makes superfluous.
    ///
    /// A snapshot that fails harms nothing: the changelog is kept, and the next one comes. So does
    /// a trim.
    async fn save(&mut self) -> Result<(), Failure> {
        let Some(changelog) = self.changelog() else { return Ok(()) };
        let snapshots =
            self.settings.keeping.as_ref().and_then(|keeping| keeping.snapshots.clone());
        let Some(snapshots) = snapshots else { return Ok(()) };
        let Some(state) = self.cleaner.state_mut() else { return Ok(()) };
        let label = Label {
            partition: changelog.partition.0,
            written: self.clock.now(),
            fingerprint: FINGERPRINT.to_owned(),
        };
        let store = state.take_store();
        let mut saving = spawn_blocking(TaskKind("state-snapshot"), move || {
            let saved = snapshots.save(&store, &label);
            (store, saved)
        });
        let (store, saved) = saving.join().await.map_err(|error| {
            // The store is gone with it: opening again rebuilds it.
            Failure::refused("state", ErrorClass::Bug, error.to_string())
        })?;
        state.give_back(store);
        match saved {
            Ok(kept_from) => {
                crate::metrics::snapshot("saved");
                if let Some(before) = kept_from {
                    self.trim(&changelog, before).await;
                }
            }
            Err(error) => {
                crate::metrics::snapshot("failed");
                tracing::warn!(%changelog, error = %error, source = ?std::error::Error::source(&error),
                    "snapshot of state is not written");
            }
        }
        Ok(())
    }

    /// Trims the changelog, where it is not compacted: there it shrinks by itself.
    async fn trim(&self, changelog: &TopicPartition, before: Offset) {
        let admin = self.log.admin();
        if !admin.is_gapless() {
            return;
        }
        let cx = Context::background().with_timeout(self.settings.config.transaction_time_max);
        if let Err(error) = admin.trim(&cx, changelog, before).await {
            tracing::warn!(%changelog, %before, %error, "changelog is not trimmed");
        }
    }
}
