//! Commits: files and positions become one new version of a table, or nothing does.
//!
//! ```text
//!  base version ──▶ check positions ──▶ manifests ──▶ list ──▶ metadata ──▶ catalog row (CAS)
//!       ▲                                                                        │
//!       └── lost: rebuild all of it on the new version ◀── our id is not there ──┤
//!                                                          our id is there ──▶ done
//! ```
//!
//! Everything is computed from one version, and the row is swapped only if it still names that
//! version. A partition of the committer that does not stand where the staged rows begin, or where
//! the committer believes it, ends the attempt: the caller throws its work away and reopens. After every swap, failed or not, a fresh look at the
//! table decides: only a commit id found there counts. Committers never delete data files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use iceberg::spec::{DataFile, TableMetadataBuilder};
use millstream_model::{LogPosition, Offset, PartitionId, Timestamp, TopicName};
use millstream_runtime::crash_point::crash_point;
use millstream_runtime::{Context, Rng};
use tracing::{debug, warn};
use uuid::Uuid;

use crate::error::Clash;
use crate::position::{
    PartitionPosition, PositionMap, Rejection, Rejections, SinkPositions, Standing, holds_commit,
    standing,
};
use crate::warehouse::fresh_id;
use crate::{Config, Lake, LakeError, Swap, TableName, Version};

mod expiry;
mod manifests;
mod orphans;
mod version;

use expiry::Leftovers;
use manifests::ManifestCache;

pub use orphans::Removed;

/// How many times a commit is rebuilt because other writers won.
pub(crate) const ATTEMPTS_MAX: u32 = 10;

/// How a table's metadata is kept small.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most snapshots kept.
    pub snapshots_max: usize,
    /// The most manifests of one size class; one more and they are merged.
    pub manifests_max: usize,
    /// The age from which files that no commit took are refused, and removed as orphans.
    pub stage_max: Duration,
}

impl Settings {
    /// Takes what a table's configuration says.
    pub fn of(config: &Config) -> Self {
        let Config { snapshots_max, manifests_max, stage_max, .. } = *config;
        Self { snapshots_max, manifests_max, stage_max }
    }

    /// Returns the age up to which staged files are committed: half of what orphan removal waits,
    /// the other half is room for clocks that disagree.
    pub fn commit_age_max(&self) -> Duration {
        self.stage_max / 2
    }
}

/// How far one partition moves with a commit.
#[derive(Debug, Clone)]
pub struct Advance {
    /// The sink that read it.
    pub sink: String,
    /// The topic it belongs to.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// Where the table must stand: where the last commit ended; `None` before the first.
    pub from: Option<LogPosition>,
    /// The offset of the first record that was read; noted by the first commit alone.
    pub first: Offset,
    /// Where it stands afterwards.
    pub to: LogPosition,
    /// How many rows the files hold of it.
    pub rows: u64,
    /// The records that were rejected.
    pub rejected: Vec<Rejection>,
}

/// What one commit adds.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// The data files, written and synced.
    pub files: Vec<DataFile>,
    /// When the oldest of them was begun; `None` without files.
    pub staged_since: Option<Timestamp>,
    /// How far each partition moves.
    pub advances: Vec<Advance>,
    /// The committer's other partitions: they must stand where it believes them.
    pub unmoved: Vec<Unmoved>,
}

/// A partition of the committer that does not move with a commit.
///
/// What was rejected of it before is a dead letter by now: its entry goes with the commit.
#[derive(Debug, Clone)]
pub struct Unmoved {
    /// The sink that reads it.
    pub sink: String,
    /// The partition.
    pub partition: PartitionId,
    /// Where the table must stand; `None` before the first commit of the partition.
    pub at: Option<LogPosition>,
}

impl Change {
    /// Returns the rejections that stand in the table with this change, after those of `base`.
    ///
    /// What another committer's partitions rejected is carried over: it may not be a dead letter
    /// yet, and this list alone says so. So the list holds at most what each committer left out
    /// in one commit.
    fn rejections_after(&self, base: Rejections) -> Rejections {
        let mut rejections = base;
        let moved = self.advances.iter().map(|advance| (&advance.sink, advance.partition));
        let ours = moved.chain(self.unmoved.iter().map(|held| (&held.sink, held.partition)));
        for (sink, partition) in ours {
            if let Some(partitions) = rejections.get_mut(sink) {
                partitions.remove(&partition);
            }
        }
        for advance in self.advances.iter().filter(|advance| !advance.rejected.is_empty()) {
            let sink = rejections.entry(advance.sink.clone()).or_default();
            sink.insert(advance.partition, advance.rejected.clone());
        }
        rejections.retain(|_, partitions| !partitions.is_empty());
        rejections
    }
}

/// A commit that a fresh load of the table shows.
#[derive(Debug, Clone)]
pub struct Committed {
    /// Its id, as in the snapshot.
    pub id: Uuid,
    /// Where the table stands with it.
    pub map: PositionMap,
    /// How many times it was rebuilt because another writer won.
    pub conflicts: u32,
}

/// Commits to one table.
#[derive(Debug)]
pub struct Committer {
    lake: Lake,
    table: TableName,
    settings: Settings,
    rng: Rng,
    /// The version last seen; used again while the catalog row still names it.
    seen: Option<Version>,
    manifests: ManifestCache,
}

impl Committer {
    /// Prepares to commit to an existing table.
    pub fn new(lake: Lake, table: TableName, settings: Settings) -> Self {
        let manifests = ManifestCache::default();
        Self { lake, table, settings, rng: Rng::from_os(), seen: None, manifests }
    }

    /// Loads the table afresh.
    pub async fn load(&mut self) -> Result<Version, LakeError> {
        let location = self.lake.catalog().location(&self.table).await?;
        if let Some(seen) = &self.seen
            && location.as_ref() == Some(&seen.location)
        {
            // A metadata file never changes once a row names it.
            return Ok(seen.clone());
        }
        let version = self.lake.load(&self.table).await?;
        self.seen = Some(version.clone());
        Ok(version)
    }

    /// Returns where the table stands now.
    pub async fn standing(&mut self) -> Result<Standing, LakeError> {
        let version = self.load().await?;
        standing(&self.table, &version.metadata)
    }

    /// Commits `change` on the version where every partition stands where it begins.
    ///
    /// Returns only when a fresh load of the table shows the commit. After an error the outcome
    /// is unknown: throw away what was staged, ask [`Committer::standing`] and go on from there.
    pub async fn commit(&mut self, cx: &Context, change: &Change) -> Result<Committed, LakeError> {
        let id = self.fresh_id();
        for attempt in 0..ATTEMPTS_MAX {
            cx.check()?;
            let base = self.load().await?;
            let stands = standing(&self.table, &base.metadata)?;
            for advance in &change.advances {
                stands.check_name(&self.table, &advance.sink)?;
            }
            self.check_age(change)?;
            let map = self.advance(stands.map, &base, change)?;
            let rejected = change.rejections_after(stands.rejected);
            let draft = version::Draft { id, attempt, change, map: &map, rejected: &rejected };
            let (next, leftovers) = self.write_version(&base, &draft).await?;
            crash_point("lake.after_metadata");
            cx.check()?;
            if self.publish(&base, next, id).await? {
                self.remove_leftovers(leftovers).await;
                return Ok(Committed { id, map, conflicts: attempt });
            }
            self.manifests.forget_current();
            // Workers that share a table do that all the time.
            debug!(table = %self.table, attempt, "another writer committed first, rebuilding");
        }
        Err(LakeError::Conflict { table: self.table.clone(), attempts: ATTEMPTS_MAX })
    }

    /// Swaps the catalog row and looks at the table afresh; true when it shows commit `id`.
    async fn publish(
        &mut self,
        base: &Version,
        next: Version,
        id: Uuid,
    ) -> Result<bool, LakeError> {
        let catalog = self.lake.catalog();
        let outcome = catalog.swap(&self.table, &base.location, &next.location).await;
        crash_point("lake.after_catalog");
        // Taking `next` as seen spares parsing the file we wrote, when the row names it.
        self.seen = Some(next);
        let fresh = self.load().await?;
        if holds_commit(&fresh.metadata, id) {
            if !matches!(outcome, Ok(Swap::Done)) {
                warn!(table = %self.table, commit = %id, "a commit reported lost is in the table");
            }
            return Ok(true);
        }
        match outcome {
            Ok(Swap::Lost) => Ok(false),
            // It was there and is gone: somebody set the table back in between.
            Ok(Swap::Done) => Err(LakeError::Conflict { table: self.table.clone(), attempts: 1 }),
            Err(error) => Err(error),
        }
    }

    /// Commits a change of the metadata alone, rebuilt on each new version; `None` changes nothing.
    ///
    /// It holds no rows and no positions: doing it twice does no harm.
    pub(crate) async fn update(
        &mut self,
        cx: &Context,
        plan: impl Fn(&Version) -> Result<Option<Planned>, LakeError>,
    ) -> Result<Version, LakeError> {
        for _ in 0..ATTEMPTS_MAX {
            cx.check()?;
            let base = self.load().await?;
            let Some(planned) = plan(&base)? else { return Ok(base) };
            let built = planned
                .and_then(TableMetadataBuilder::build)
                .map_err(LakeError::table("build metadata", &self.table))?;
            let (number, id) = (base.number() + 1, self.fresh_id());
            let next = self.lake.write_metadata(&self.table, built.metadata, number, id).await?;
            let swap = self.lake.catalog().swap(&self.table, &base.location, &next.location);
            if swap.await? == Swap::Done {
                self.seen = Some(next.clone());
                return Ok(next);
            }
        }
        Err(LakeError::Conflict { table: self.table.clone(), attempts: ATTEMPTS_MAX })
    }

    fn check_age(&self, change: &Change) -> Result<(), LakeError> {
        let Some(since) = change.staged_since else { return Ok(()) };
        let age = self.lake.seams().clock.now().saturating_since(since);
        if age <= self.settings.commit_age_max() {
            return Ok(());
        }
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Err(LakeError::Stale { table: self.table.clone(), age_ms })
    }

    /// Moves the map on, if every partition stands exactly where its rows begin.
    fn advance(
        &self,
        mut map: PositionMap,
        base: &Version,
        change: &Change,
    ) -> Result<PositionMap, LakeError> {
        map.sequence = base.metadata.next_sequence_number();
        for Unmoved { sink, partition, at } in &change.unmoved {
            let found = map.get(sink, *partition);
            if found != *at {
                let clash = Box::new(Clash { partition: *partition, from: *at, found });
                return Err(LakeError::Moved { table: self.table.clone(), clash });
            }
        }
        for advance in &change.advances {
            let found = map.get(&advance.sink, advance.partition);
            let same_topic = map
                .sinks
                .get(&advance.sink)
                .is_none_or(|sink| sink.log == advance.to.log && sink.topic_id == advance.to.topic);
            if found != advance.from || !same_topic {
                let Advance { partition, from, .. } = *advance;
                let clash = Box::new(Clash { partition, from, found });
                return Err(LakeError::Moved { table: self.table.clone(), clash });
            }
            let sink = map.sinks.entry(advance.sink.clone()).or_insert_with(|| SinkPositions {
                log: advance.to.log,
                topic: advance.topic.clone(),
                topic_id: advance.to.topic,
                partitions: BTreeMap::new(),
            });
            let begun = PartitionPosition { begin: advance.first, ..PartitionPosition::default() };
            let before = sink.partitions.get(&advance.partition).copied().unwrap_or(begun);
            assert!(before.next <= advance.to.offset, "L2: a position never moves backwards");
            sink.partitions.insert(
                advance.partition,
                PartitionPosition {
                    begin: before.begin,
                    next: advance.to.offset,
                    incarnation: advance.to.incarnation.0,
                    rows: before.rows + advance.rows,
                    rejected: before.rejected + advance.rejected.len() as u64,
                },
            );
        }
        Ok(map)
    }

    /// Removes what the commit made unreachable. A file that stays is picked up as an orphan.
    async fn remove_leftovers(&mut self, leftovers: Leftovers) {
        for snapshot in &leftovers.snapshots {
            self.manifests.forget(*snapshot);
        }
        if let Err(error) = self.delete(leftovers.files).await {
            warn!(table = %self.table, error = &error as &dyn std::error::Error,
                "old metadata files were not removed");
        }
    }

    async fn delete(&self, files: Vec<String>) -> Result<(), LakeError> {
        for file in files {
            let deleted = self.lake.io().delete(&file).await;
            deleted.map_err(LakeError::table("remove old metadata", &self.table))?;
        }
        Ok(())
    }

    fn fresh_id(&mut self) -> Uuid {
        fresh_id(&self.lake.seams().clock, &mut self.rng)
    }

    /// Returns the lake.
    pub fn lake(&self) -> &Lake {
        &self.lake
    }

    /// Returns the table's name.
    pub fn table(&self) -> &TableName {
        &self.table
    }
}

/// The next version's metadata, on its way.
type Planned = iceberg::Result<TableMetadataBuilder>;

impl Version {
    /// Starts the version after this one.
    pub(crate) fn to_builder(&self) -> TableMetadataBuilder {
        (*self.metadata).clone().into_builder(Some(self.location.clone()))
    }
}

/// Shares the manifests' paths of one snapshot.
type Paths = Arc<[Arc<str>]>;
