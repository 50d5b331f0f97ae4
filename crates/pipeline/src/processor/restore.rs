//! Rebuilding state when a task is opened: from what is in memory, from a snapshot, from the
//! changelog's beginning, whichever first proves to be whole.
//!
//! A task without a mark never kept state, or let go of it: it begins with an empty one, at the
//! changelog's end. What stands before that, in the changelog and in snapshots, is of a state that
//! is gone, and is read neither now nor later.
//!
//! The fence of `open` has settled whatever an earlier owner, or an attempt of our own, had on
//! its way, so the changelog ends where the state ends. Whether all of it was read is not
//! believed but checked: the task's mark counts the transactions that wrote to it.

use std::ops::Range;
use std::time::Duration;

use millstream_log::{Bounds, Committed, FetchLimits, LogReader, ReaderError};
use millstream_model::{ErrorClass, LogPosition, Offset, Timestamp, TopicPartition};
use millstream_runtime::{Context, TaskKind, spawn_blocking};
use millstream_state::{Change, Identity, Loaded, MemoryStore, Store as _, WriteBatch};

use super::Processor;
use super::keeping::FINGERPRINT;
use crate::failure::Failure;
use crate::keyed_state::{KeyedState, Mark};
use crate::status::Restoring;

/// For how long a compacted changelog keeps its tombstones: Kafka's `delete.retention.ms`.
const TOMBSTONES_KEPT: Duration = Duration::from_secs(24 * 3600);

/// What is read at a time.
const RESTORE_FETCH: FetchLimits =
    FetchLimits { bytes_max: 1 << 20, wait_max: Duration::from_millis(500) };

/// Where a state may be rebuilt from, the cheapest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// What an earlier session of this task left.
    Memory,
    Snapshot,
    /// The changelog alone.
    Beginning,
}

/// How a state may be rebuilt from one origin.
struct Prepared {
    /// Where reading the changelog goes on; `None` when there is nothing to go on from.
    from: Option<LogPosition>,
    /// Why a snapshot could not be read that may have been of use.
    unreadable: Option<Failure>,
}

impl Prepared {
    fn at(from: Option<LogPosition>) -> Self {
        Self { from, unreadable: None }
    }
}

impl Processor {
    /// Rebuilds the state of the steps, if they keep any.
    pub(super) async fn restore(
        &mut self,
        cx: &Context,
        committed: &Committed,
    ) -> Result<(), Failure> {
        let Some(changelog) = self.changelog() else { return Ok(()) };
        if self.cleaner.state().is_none() {
            return Ok(());
        }
        let mark = Mark::of_committed(committed).map_err(|error| Failure::of("open", &error))?;
        let bounds = self.log.bounds(cx, &changelog).await;
        let bounds = bounds.map_err(|error| Failure::of("restore", &error))?;
        let Some(mark) = mark else { return self.begin_at(bounds.end) };
        self.check_partitions(&changelog, mark)?;
        let since = mark.since;
        self.state()?.set_since(since);
        let mut reason = String::new();
        let mut unreadable = None;
        for origin in [Origin::Memory, Origin::Snapshot, Origin::Beginning] {
            let prepared = self.prepare(origin, &changelog, &bounds, since).await?;
            unreadable = prepared.unreadable.or(unreadable);
            let Some(from) = prepared.from else { continue };
            match self.log.reader(cx, &changelog, from).await {
                Ok(reader) => self.replay(cx, reader, from..bounds.end, since).await?,
                Err(ReaderError::Position(refused)) => {
                    tracing::warn!(%changelog, ?origin, %refused, "state is rebuilt from elsewhere");
                    reason = refused.to_string();
                    continue;
                }
                Err(error) => return Err(Failure::of("restore", &error)),
            }
            let Some(found) = self.missing_of(mark)? else {
                return self.show_state();
            };
            tracing::warn!(%changelog, ?origin, reason = %found, "state is rebuilt from elsewhere");
            reason = found;
        }
        // What the disk did not give back this time may be what is lacking.
        Err(unreadable.unwrap_or_else(|| self.refused(&changelog, &reason)))
    }

    /// Begins with an empty state at the changelog's end.
    fn begin_at(&mut self, end: LogPosition) -> Result<(), Failure> {
        let now = self.clock.now();
        let state = self.state()?;
        state.reset(MemoryStore::new(u64::MAX), now);
        state.set_since(end.offset);
        let begun = state.restored(&WriteBatch::new(), end, now);
        begun.map_err(|error| Failure::of("restore", &error))?;
        self.show_state()
    }

    fn show_state(&mut self) -> Result<(), Failure> {
        let shown = self.state()?.status();
        self.reporter.update(|status| status.keyed = Some(shown));
        Ok(())
    }

    /// Refuses a number of partitions under which keys go elsewhere than their state.
    fn check_partitions(&self, changelog: &TopicPartition, mark: Mark) -> Result<(), Failure> {
        let (kept, found) = (mark.partitions, self.settings.cleaner.input_partitions);
        if kept == found {
            return Ok(());
        }
        let topic = &changelog.topic;
        let reason = format!(
            "the state of this task is of {kept} partitions, its input has {found}: keys go to \
             other partitions than what is remembered of them; let the pipeline read a topic with \
             {kept} partitions, or begin with an empty state: take the step that keeps state out, \
             start once until the pipeline's tasks run, and put it back; its topic `{topic}` must \
             have {found} partitions then"
        );
        Err(Failure::refused("restore", ErrorClass::Invalid, reason))
    }

    /// Makes the state stand where reading is to go on, if there is anything to go on from.
    async fn prepare(
        &mut self,
        origin: Origin,
        changelog: &TopicPartition,
        bounds: &Bounds,
        since: Offset,
    ) -> Result<Prepared, Failure> {
        let now = self.clock.now();
        // Behind deletions that a compacted topic may have forgotten, nothing old is of use.
        let is_compacted = !self.log.admin().is_gapless();
        let half = i64::try_from(TOMBSTONES_KEPT.as_millis() / 2).unwrap_or(i64::MAX);
        let oldest = Timestamp::from_millis(now.as_millis().saturating_sub(half));
        let written_after = is_compacted.then_some(oldest);
        match origin {
            Origin::Memory => {
                let held = self.state()?.position();
                let fresh = |as_of: Timestamp| written_after.is_none_or(|limit| as_of > limit);
                let held = held.filter(|(held, as_of)| held.offset >= since && fresh(*as_of));
                Ok(Prepared::at(held.map(|(position, _)| position)))
            }
            Origin::Snapshot => {
                let identity = Identity {
                    log: bounds.end.log,
                    topic: bounds.end.topic,
                    partition: changelog.partition.0,
                    fingerprint: FINGERPRINT.to_owned(),
                    since,
                    written_after,
                };
                let Loaded { store, unreadable } = self.load(identity).await?;
                let unreadable = unreadable.first().map(|error| Failure::of("restore", error));
                let from = match store {
                    None => None,
                    Some(store) => {
                        let position = store.info().position;
                        self.state()?.reset(store, now);
                        position
                    }
                };
                Ok(Prepared { from, unreadable })
            }
            Origin::Beginning => {
                if !is_compacted && bounds.start.offset > since {
                    return Ok(Prepared::at(None));
                }
                self.state()?.reset(MemoryStore::new(u64::MAX), now);
                Ok(Prepared::at(Some(bounds.start)))
            }
        }
    }

    async fn load(&self, identity: Identity) -> Result<Loaded, Failure> {
        let keeping = self.settings.keeping.as_ref();
        let Some(snapshots) = keeping.and_then(|keeping| keeping.snapshots.clone()) else {
            return Ok(Loaded::default());
        };
        let mut loading =
            spawn_blocking(TaskKind("state-load"), move || snapshots.load(&identity, u64::MAX));
        let loaded = loading
            .join()
            .await
            .map_err(|error| Failure::refused("restore", ErrorClass::Bug, error.to_string()))?;
        let loaded = loaded.map_err(|error| Failure::of("restore", &error))?;
        loaded.unreadable.iter().for_each(|_| crate::metrics::snapshot("unreadable"));
        Ok(loaded)
    }

    /// Reads a range of the changelog into the state; what stands before `since` is left out.
    async fn replay(
        &mut self,
        cx: &Context,
        mut reader: Box<dyn LogReader>,
        range: Range<LogPosition>,
        since: Offset,
    ) -> Result<(), Failure> {
        let Range { start: from, end } = range;
        let mut next = from;
        let total = end.offset.0.saturating_sub(from.offset.0);
        while next.offset < end.offset {
            let fetched = reader.fetch(cx, RESTORE_FETCH).await;
            let fetched = fetched.map_err(|error| Failure::of("restore", &error))?;
            let mut batch = WriteBatch::new();
            let records = fetched.batches.iter().flat_map(|batch| batch.iter());
            for (_, record) in records.filter(|(offset, _)| *offset >= since) {
                let change = Change::decode(record);
                change.map_err(|error| Failure::of("restore", &error))?.apply_to(&mut batch);
            }
            next = fetched.next;
            let now = self.clock.now();
            let state = self.state()?;
            let restored = state.restored(&batch, next, now);
            restored.map_err(|error| Failure::of("restore", &error))?;
            let mut shown = state.status();
            let read = next.offset.0.saturating_sub(from.offset.0).min(total);
            shown.restoring = Some(Restoring { read, total });
            self.reporter.update(|status| status.keyed = Some(shown));
        }
        Ok(())
    }

    /// Returns what the rebuilt state lacks, in words; `None` when it is whole.
    fn missing_of(&mut self, mark: Mark) -> Result<Option<String>, Failure> {
        let books = self.state()?.committed_books();
        let found = books.map_err(|error| Failure::of("restore", &error))?.transactions;
        let counted = mark.transactions;
        let is_whole = found == counted;
        Ok((!is_whole).then(|| format!("it shows {found} of {counted} transactions")))
    }

    fn refused(&self, changelog: &TopicPartition, reason: &str) -> Failure {
        let separator = if reason.is_empty() { "" } else { " (" };
        let close = if reason.is_empty() { "" } else { ")" };
        let (class, remedy) = if self.log.admin().is_gapless() {
            (ErrorClass::Invalid, "restore the snapshots of the data directory, or")
        } else {
            // Compacted, all of it is there, and what is not to be seen yet will be: unless
            // somebody emptied the topic.
            (ErrorClass::Transient, "it is read again; if records of that topic were deleted,")
        };
        let reason = format!(
            "the state of this task cannot be rebuilt: neither a snapshot nor the changelog \
             {changelog} holds all of it{separator}{reason}{close}; {remedy} take the step that \
             keeps state out of the pipeline, start once until the pipeline's tasks run, and put \
             it back: it then begins with an empty state"
        );
        Failure::refused("restore", class, reason)
    }

    fn state(&mut self) -> Result<&mut KeyedState, Failure> {
        let state = self.cleaner.state_mut();
        state.ok_or_else(|| {
            let reason = "a task without state was asked for it".to_owned();
            Failure::refused("restore", ErrorClass::Bug, reason)
        })
    }
}
