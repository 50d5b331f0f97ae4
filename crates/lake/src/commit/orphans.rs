//! Removes files that no version of the table names: leftovers of crashes and lost attempts.
//!
//! First a commit that changes nothing but the version: every older attempt, also one whose
//! request is still on its way, now finds another version and dies. Then only files go that we
//! wrote, that nothing names, and that are older than `stage_max`; a commit that is rebuilt
//! later refuses files half that old.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use iceberg::spec::TableMetadata;
use millstream_model::Timestamp;
use millstream_runtime::{Context, Disk, TaskKind, spawn_blocking};
use uuid::Uuid;

use super::Committer;
use super::manifests::read_list;
use crate::storage::path_of;
use crate::{LakeError, Version};

/// The table property that the commit before a removal sets: when it was, in milliseconds.
const REMOVAL: &str = "millstream.orphans-removed-ms";

/// How often orphans are looked for: it reads every manifest.
const REMOVAL_INTERVAL: Duration = Duration::from_hours(6);

/// The deepest directory below a table that is looked into.
const DEPTH_MAX: usize = 8;

/// What [`Committer::remove_orphans`] removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// Files removed.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Committer {
    /// Removes our files that nothing names and that are older than `stage_max`.
    pub async fn remove_orphans(&mut self, cx: &Context) -> Result<Removed, LakeError> {
        let version = self.fence(cx).await?;
        let named = self.named_files(&version).await?;
        cx.check()?;
        let disk = std::sync::Arc::clone(&self.lake.seams().disk);
        let root = path_of(version.metadata.location());
        let now = self.lake.seams().clock.now();
        let stage_max = self.settings.stage_max;
        let mut work = spawn_blocking(TaskKind("lake-orphans"), move || {
            let is_orphan = |path: &Path| !named.contains(path) && is_older(path, now, stage_max);
            remove_files(&*disk, &root, &is_orphan)
        });
        work.join().await?.map_err(|source| LakeError::Io {
            doing: "remove orphans below",
            path: path_of(version.metadata.location()),
            source,
        })
    }

    /// Commits a version that differs only in a property, so that older attempts find another.
    async fn fence(&mut self, cx: &Context) -> Result<Version, LakeError> {
        let now = self.lake.seams().clock.now().as_millis().to_string();
        let set = |base: &Version| {
            let properties = HashMap::from([(REMOVAL.to_owned(), now.clone())]);
            Ok(Some(base.to_builder().set_properties(properties)))
        };
        self.update(cx, set).await
    }

    /// Returns whether the last removal, or else `started`, is so long ago that one is due.
    pub fn orphans_due(&self, started: Timestamp) -> bool {
        let last = self.seen.as_ref().and_then(|seen| {
            let millis = seen.metadata.properties().get(REMOVAL)?.parse().ok()?;
            Some(Timestamp::from_millis(millis))
        });
        let now = self.lake.seams().clock.now();
        now.saturating_since(last.unwrap_or(started))
            > REMOVAL_INTERVAL.max(self.settings.stage_max)
    }

    /// Returns every file that a retained version or snapshot names.
    async fn named_files(&self, version: &Version) -> Result<HashSet<PathBuf>, LakeError> {
        let metadata = &version.metadata;
        let mut named = HashSet::from([path_of(&version.location)]);
        named.extend(metadata.metadata_log().iter().map(|entry| path_of(&entry.metadata_file)));
        let manifests = self.add_lists(metadata, &mut named).await;
        let manifests = manifests.map_err(LakeError::table("read manifest lists", &self.table))?;
        for manifest in manifests.values() {
            let loaded = manifest.load_manifest(self.lake.io()).await;
            let loaded = loaded.map_err(LakeError::table("read manifests", &self.table))?;
            named.extend(loaded.entries().iter().map(|entry| path_of(entry.file_path())));
        }
        Ok(named)
    }

    async fn add_lists(
        &self,
        metadata: &TableMetadata,
        named: &mut HashSet<PathBuf>,
    ) -> iceberg::Result<BTreeMap<String, iceberg::spec::ManifestFile>> {
        let mut manifests = BTreeMap::new();
        for snapshot in metadata.snapshots() {
            named.insert(path_of(snapshot.manifest_list()));
            for manifest in read_list(self.lake.io(), metadata, snapshot).await? {
                named.insert(path_of(&manifest.manifest_path));
                manifests.insert(manifest.manifest_path.clone(), manifest);
            }
        }
        Ok(manifests)
    }
}

/// Tells whether the file is ours and was begun longer than `age` ago; its name says both.
fn is_older(path: &Path, now: Timestamp, age: Duration) -> bool {
    let begun = path.file_name().and_then(|name| begun(&name.to_string_lossy()));
    begun.is_some_and(|begun| now.saturating_since(begun) > age)
}

/// Returns when a file of ours was begun: `ms-<id>…` or `NNNNN-<id>.metadata.json`.
fn begun(name: &str) -> Option<Timestamp> {
    let id = match name.strip_prefix("ms-") {
        Some(rest) => rest.get(..36)?,
        None => name.strip_suffix(".metadata.json")?.split_once('-')?.1,
    };
    // Ids of other writers carry no time: their files are not ours to remove.
    let (seconds, nanos) = Uuid::parse_str(id).ok()?.get_timestamp()?.to_unix();
    let millis = i64::try_from(seconds).ok()?.checked_mul(1000)? + i64::from(nanos) / 1_000_000;
    Some(Timestamp::from_millis(millis))
}

fn remove_files(
    disk: &dyn Disk,
    root: &Path,
    is_orphan: &dyn Fn(&Path) -> bool,
) -> std::io::Result<Removed> {
    let mut removed = Removed::default();
    let mut open: BTreeSet<(usize, PathBuf)> = BTreeSet::from([(0, root.to_owned())]);
    while let Some((depth, dir)) = open.pop_first() {
        for entry in disk.list(&dir)? {
            let path = dir.join(&entry.name);
            if entry.is_dir {
                if depth < DEPTH_MAX {
                    open.insert((depth + 1, path));
                }
            } else if is_orphan(&path) {
                disk.remove(&path)?;
                removed.files += 1;
                removed.bytes += entry.bytes;
            }
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;
