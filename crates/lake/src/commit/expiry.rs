//! Keeps the metadata small: which snapshots a commit expires, and which files that frees.
//!
//! Snapshots expire in batches: when more than `snapshots_max` would stand, the oldest eighth of
//! them goes. Their lists, and the manifests that no remaining list names, are removed once the
//! commit stands. Snapshots that a branch or a tag points to stay.

use std::collections::HashSet;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use iceberg::spec::{SnapshotRef, TableMetadata};
use serde::Deserialize;

use super::Committer;

/// What a commit makes unreachable.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    /// The snapshots that expire.
    pub(super) snapshots: Vec<i64>,
    /// The files that only they named.
    pub(super) files: Vec<String>,
}

impl Leftovers {
    /// Adds metadata files that the next version's log no longer names.
    pub(super) fn with_metadata(mut self, files: Vec<String>) -> Self {
        self.files.extend(files);
        self
    }
}

impl Committer {
    /// Plans what expires when snapshot `new` joins those of `metadata`.
    pub(super) async fn plan_expiry(
        &mut self,
        metadata: &TableMetadata,
        new: i64,
    ) -> iceberg::Result<Leftovers> {
        let expired = choose(metadata, self.settings.snapshots_max);
        if expired.is_empty() {
            return Ok(Leftovers::default());
        }
        let ids: BTreeSet<i64> = expired.iter().map(|snapshot| snapshot.snapshot_id()).collect();
        let io = self.lake.io();
        let mut retained: HashSet<Arc<str>> = HashSet::new();
        retained.extend(self.manifests.known(new).iter().cloned());
        for snapshot in metadata.snapshots().filter(|s| !ids.contains(&s.snapshot_id())) {
            let paths = self.manifests.paths_of(io, metadata, snapshot).await?;
            retained.extend(paths.iter().cloned());
        }
        let mut files = BTreeSet::new();
        for snapshot in &expired {
            let paths = self.manifests.paths_of(io, metadata, snapshot).await?;
            let freed = paths.iter().filter(|path| !retained.contains(*path));
            files.extend(freed.map(ToString::to_string));
            files.insert(snapshot.manifest_list().to_owned());
        }
        Ok(Leftovers { snapshots: ids.into_iter().collect(), files: files.into_iter().collect() })
    }
}

/// Chooses the snapshots that go when one more joins.
fn choose(metadata: &TableMetadata, snapshots_max: usize) -> Vec<SnapshotRef> {
    let count = metadata.snapshots().len() + 1;
    if count <= snapshots_max {
        return Vec::new();
    }
    let kept = snapshots_max - snapshots_max / 8;
    let pinned = pinned(metadata);
    let mut snapshots: Vec<&SnapshotRef> = metadata.snapshots().collect();
    snapshots.sort_by_key(|snapshot| snapshot.sequence_number());
    let oldest = snapshots.into_iter().take(count - kept);
    oldest.filter(|snapshot| !pinned.contains(&snapshot.snapshot_id())).cloned().collect()
}

/// Returns the snapshots that branches and tags point to.
fn pinned(metadata: &TableMetadata) -> HashSet<i64> {
    #[derive(Deserialize)]
    struct Refs {
        #[serde(default)]
        refs: BTreeMap<String, Ref>,
    }
    #[derive(Deserialize)]
    struct Ref {
        #[serde(rename = "snapshot-id")]
        snapshot: i64,
    }
    // The crate keeps the references to itself; its JSON, which the format defines, shows them.
    let refs = serde_json::to_value(metadata).and_then(serde_json::from_value::<Refs>);
    let refs = refs.expect("metadata that was read or built encodes to the format's JSON");
    refs.refs.into_values().map(|reference| reference.snapshot).collect()
}
