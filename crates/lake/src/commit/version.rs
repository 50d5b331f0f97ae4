//! Writes everything of a new version but the catalog row: manifests, their list, metadata.

use std::collections::{BTreeSet, HashMap};

use iceberg::spec::{
    FormatVersion, MAIN_BRANCH, ManifestFile, Operation, Snapshot, SnapshotRef, Summary,
    TableMetadata,
};
use millstream_runtime::crash_point::crash_point;
use uuid::Uuid;

use super::expiry::Leftovers;
use super::manifests::{Target, plan_merge};
use super::{Change, Committer};
use crate::position::{COMMIT_ID, POSITIONS, PositionMap, REJECTED, Rejections, encode_rejections};
use crate::{LakeError, Version};

/// One attempt to commit.
pub(super) struct Draft<'a> {
    pub(super) id: Uuid,
    pub(super) attempt: u32,
    pub(super) change: &'a Change,
    pub(super) map: &'a PositionMap,
    /// What is rejected and may not be a dead letter yet, with this commit.
    pub(super) rejected: &'a Rejections,
}

impl Draft<'_> {
    /// Returns what marks the commit, in the snapshot as in the table's properties.
    fn marker(&self) -> HashMap<String, String> {
        HashMap::from([
            (POSITIONS.to_owned(), self.map.encode()),
            (COMMIT_ID.to_owned(), self.id.to_string()),
        ])
    }

    /// Returns the rejections as text; `None` when there are none.
    fn rejections(&self) -> Option<String> {
        (!self.rejected.is_empty()).then(|| encode_rejections(self.rejected))
    }

    fn path(&self, metadata: &TableMetadata, part: &str) -> String {
        format!("{}/metadata/ms-{}-{}-{part}.avro", metadata.location(), self.id, self.attempt)
    }
}

impl Committer {
    /// Writes the next version after `base`; no catalog row names it yet.
    pub(super) async fn write_version(
        &mut self,
        base: &Version,
        draft: &Draft<'_>,
    ) -> Result<(Version, Leftovers), LakeError> {
        let metadata = &*base.metadata;
        if metadata.format_version() != FormatVersion::V2 {
            let reason = "only format version 2 is supported".to_owned();
            return Err(LakeError::Mismatch { table: self.table.clone(), reason });
        }
        let id = self.fresh_snapshot_id(metadata);
        let written = self.write_manifests(metadata, draft, id).await;
        let manifests = written.map_err(LakeError::table("write manifests", &self.table))?;
        crash_point("lake.after_manifest");

        let snapshot = self.snapshot(metadata, draft, id, &manifests);
        self.manifests.remember(id, manifests);
        let expiry = self.plan_expiry(metadata, id).await;
        let expiry = expiry.map_err(LakeError::table("read old manifests", &self.table))?;
        let built = build(base, draft, snapshot, &expiry);
        let (next, old) = built.map_err(LakeError::table("build metadata", &self.table))?;
        let (number, id) = (base.number() + 1, self.fresh_id_of(draft));
        let next = self.lake.write_metadata(&self.table, next, number, id).await?;
        Ok((next, expiry.with_metadata(old)))
    }

    async fn write_manifests(
        &mut self,
        metadata: &TableMetadata,
        draft: &Draft<'_>,
        snapshot: i64,
    ) -> iceberg::Result<Vec<ManifestFile>> {
        let io = self.lake.io();
        let current = metadata.current_snapshot();
        let manifests = match current {
            Some(current) => self.manifests.of(io, metadata, current).await?,
            None => Vec::new(),
        };
        let files = &draft.change.files;
        let spec = metadata.default_partition_spec_id();
        let fan_in = self.settings.manifests_max;
        let (mut kept, merged) = plan_merge(manifests, files.len(), spec, fan_in);
        if !files.is_empty() || !merged.is_empty() {
            let path = draft.path(metadata, "m0");
            let target = Target { io, metadata, snapshot, path };
            kept.insert(0, target.write(files, &merged).await?);
        }
        let path = draft.path(metadata, "list");
        let target = Target { io, metadata, snapshot, path };
        target.write_list(current.map(|current| current.snapshot_id()), kept).await
    }

    fn snapshot(
        &self,
        metadata: &TableMetadata,
        draft: &Draft<'_>,
        id: i64,
        manifests: &[ManifestFile],
    ) -> Snapshot {
        let parent = metadata.current_snapshot();
        let mut properties = summary(parent, draft.change, manifests);
        properties.extend(draft.marker());
        // A clock set back must not stop commits: time stands still instead.
        let now = self.lake.seams().clock.now().as_millis().max(metadata.last_updated_ms());
        Snapshot::builder()
            .with_snapshot_id(id)
            .with_parent_snapshot_id(parent.map(|parent| parent.snapshot_id()))
            .with_sequence_number(draft.map.sequence)
            .with_timestamp_ms(now)
            .with_manifest_list(draft.path(metadata, "list"))
            .with_summary(Summary {
                operation: Operation::Append,
                additional_properties: properties,
            })
            .with_schema_id(metadata.current_schema_id())
            .build()
    }

    fn fresh_snapshot_id(&mut self, metadata: &TableMetadata) -> i64 {
        loop {
            let bytes = self.rng.next_u64().to_le_bytes();
            let id = i64::from_le_bytes(bytes) & i64::MAX;
            if metadata.snapshot_by_id(id).is_none() {
                return id;
            }
        }
    }

    /// Metadata of a first attempt is named after the commit; a rebuilt one needs its own name.
    fn fresh_id_of(&mut self, draft: &Draft<'_>) -> Uuid {
        if draft.attempt == 0 { draft.id } else { self.fresh_id() }
    }
}

/// Builds the metadata of the next version; also returns the metadata files its log drops.
fn build(
    base: &Version,
    draft: &Draft<'_>,
    snapshot: Snapshot,
    expiry: &Leftovers,
) -> iceberg::Result<(TableMetadata, Vec<String>)> {
    let mut properties = draft.marker();
    let mut builder = base.to_builder().set_branch_snapshot(snapshot, MAIN_BRANCH)?;
    match draft.rejections() {
        Some(text) => {
            properties.insert(REJECTED.to_owned(), text);
        }
        None => builder = builder.remove_properties(&[REJECTED.to_owned()])?,
    }
    let built = builder.set_properties(properties)?.remove_snapshots(&expiry.snapshots).build()?;
    let dropped = built.expired_metadata_logs.into_iter().map(|entry| entry.metadata_file);
    Ok((built.metadata, dropped.collect()))
}

/// Returns the summary of an append in the keys that all engines write.
fn summary(
    parent: Option<&SnapshotRef>,
    change: &Change,
    manifests: &[ManifestFile],
) -> HashMap<String, String> {
    let before = |key: &str| -> u64 {
        let properties = parent.map(|parent| &parent.summary().additional_properties);
        properties.and_then(|properties| properties.get(key)?.parse().ok()).unwrap_or(0)
    };
    let rows: u64 = change.files.iter().map(iceberg::spec::DataFile::record_count).sum();
    let bytes: u64 = change.files.iter().map(iceberg::spec::DataFile::file_size_in_bytes).sum();
    let partitions: BTreeSet<String> =
        change.files.iter().map(|file| format!("{:?}", file.partition())).collect();
    let data =
        || manifests.iter().filter(|m| m.content == iceberg::spec::ManifestContentType::Data);
    let total_files: u64 = data().map(super::manifests::files_of).sum();
    let total_rows: u64 =
        data().map(|m| m.added_rows_count.unwrap_or(0) + m.existing_rows_count.unwrap_or(0)).sum();
    let numbers = [
        ("added-data-files", change.files.len() as u64),
        ("added-records", rows),
        ("added-files-size", bytes),
        ("changed-partition-count", partitions.len() as u64),
        ("total-data-files", total_files),
        ("total-records", total_rows),
        ("total-files-size", before("total-files-size") + bytes),
        ("total-delete-files", before("total-delete-files")),
        ("total-position-deletes", before("total-position-deletes")),
        ("total-equality-deletes", before("total-equality-deletes")),
    ];
    numbers.into_iter().map(|(key, number)| (key.to_owned(), number.to_string())).collect()
}
