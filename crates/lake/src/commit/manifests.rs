//! Manifests: the lists of data files behind a snapshot, merged so that there are few.
//!
//! A commit writes one manifest. Manifests fall into classes by how many files they list, each
//! class `manifests_max` times the one below; when a class is full, the new manifest takes its
//! entries over. A snapshot's list thus holds at most `manifests_max` manifests a class, and each
//! entry is rewritten only a few times in its life.

use std::collections::HashMap;
use std::sync::Arc;

use iceberg::io::FileIO;
use iceberg::spec::{
    DataFile, ManifestContentType, ManifestFile, ManifestList, ManifestListWriter, ManifestWriter,
    ManifestWriterBuilder, SnapshotRef, TableMetadata,
};

use super::Paths;

/// Manifests with at least this many files are never rewritten.
const MERGED_FILES_MAX: u64 = 4096;

/// What is known of the manifests behind snapshots, so that a commit need not read them again.
#[derive(Debug, Default)]
pub(super) struct ManifestCache {
    /// The manifests of the snapshot we committed last.
    current: Option<(i64, Vec<ManifestFile>)>,
    /// The manifests' paths of each retained snapshot seen so far.
    paths: HashMap<i64, Paths>,
}

impl ManifestCache {
    /// Returns the manifests of `snapshot`.
    pub(super) async fn of(
        &mut self,
        io: &FileIO,
        metadata: &TableMetadata,
        snapshot: &SnapshotRef,
    ) -> iceberg::Result<Vec<ManifestFile>> {
        match &self.current {
            Some((id, manifests)) if *id == snapshot.snapshot_id() => Ok(manifests.clone()),
            _ => read_list(io, metadata, snapshot).await,
        }
    }

    /// Returns the paths of the manifests of `snapshot`.
    pub(super) async fn paths_of(
        &mut self,
        io: &FileIO,
        metadata: &TableMetadata,
        snapshot: &SnapshotRef,
    ) -> iceberg::Result<Paths> {
        if let Some(paths) = self.paths.get(&snapshot.snapshot_id()) {
            return Ok(Arc::clone(paths));
        }
        let manifests = read_list(io, metadata, snapshot).await?;
        let paths = paths_of(&manifests);
        self.paths.insert(snapshot.snapshot_id(), Arc::clone(&paths));
        Ok(paths)
    }

    /// Returns the paths of the manifests of a snapshot that was just written.
    pub(super) fn known(&self, snapshot: i64) -> Paths {
        self.paths.get(&snapshot).cloned().unwrap_or_default()
    }

    /// Remembers the manifests of a snapshot that was just written.
    pub(super) fn remember(&mut self, snapshot: i64, manifests: Vec<ManifestFile>) {
        self.paths.insert(snapshot, paths_of(&manifests));
        self.current = Some((snapshot, manifests));
    }

    /// Forgets a snapshot that expired.
    pub(super) fn forget(&mut self, snapshot: i64) {
        self.paths.remove(&snapshot);
    }

    /// Forgets the snapshot just written: it was never committed.
    pub(super) fn forget_current(&mut self) {
        if let Some((snapshot, _)) = self.current.take() {
            self.paths.remove(&snapshot);
        }
    }
}

fn paths_of(manifests: &[ManifestFile]) -> Paths {
    manifests.iter().map(|manifest| Arc::from(manifest.manifest_path.as_str())).collect()
}

/// Reads the manifest list of a snapshot.
pub(super) async fn read_list(
    io: &FileIO,
    metadata: &TableMetadata,
    snapshot: &SnapshotRef,
) -> iceberg::Result<Vec<ManifestFile>> {
    let bytes = io.new_input(snapshot.manifest_list())?.read().await?;
    let list = ManifestList::parse_with_version(&bytes, metadata.format_version())?;
    Ok(list.consume_entries().into_iter().collect())
}

/// Splits the manifests of the last snapshot into those that stay and those to merge with a new
/// manifest of `added` files.
pub(super) fn plan_merge(
    manifests: Vec<ManifestFile>,
    added: usize,
    spec: i32,
    manifests_max: usize,
) -> (Vec<ManifestFile>, Vec<ManifestFile>) {
    let (mut kept, mut merged) = (manifests, Vec::new());
    let mut files = added as u64;
    loop {
        let class = class_of(files, manifests_max);
        let joins = |manifest: &ManifestFile| {
            let count = files_of(manifest);
            manifest.content == ManifestContentType::Data
                && manifest.partition_spec_id == spec
                && count < MERGED_FILES_MAX
                && class_of(count, manifests_max) <= class
        };
        if files >= MERGED_FILES_MAX || kept.iter().filter(|m| joins(m)).count() < manifests_max {
            return (kept, merged);
        }
        let (joining, staying) = kept.into_iter().partition(joins);
        kept = staying;
        let joining: Vec<ManifestFile> = joining;
        files += joining.iter().map(files_of).sum::<u64>();
        merged.extend(joining);
    }
}

/// Returns the live files a manifest lists; one that does not say is taken as large.
pub(super) fn files_of(manifest: &ManifestFile) -> u64 {
    match (manifest.added_files_count, manifest.existing_files_count) {
        (Some(added), Some(existing)) => u64::from(added) + u64::from(existing),
        _ => MERGED_FILES_MAX,
    }
}

fn class_of(files: u64, manifests_max: usize) -> u32 {
    files.max(1).ilog(manifests_max.max(2) as u64)
}

/// Where a manifest goes, and for whom it is written.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub(super) io: &'a FileIO,
    pub(super) metadata: &'a TableMetadata,
    pub(super) snapshot: i64,
    pub(super) path: String,
}

impl Target<'_> {
    fn writer(&self) -> iceberg::Result<ManifestWriter> {
        let builder = ManifestWriterBuilder::new(
            self.io.new_output(&self.path)?,
            Some(self.snapshot),
            Arc::clone(self.metadata.current_schema()),
            self.metadata.default_partition_spec().as_ref().clone(),
        );
        Ok(builder.build_v2_data())
    }

    /// Writes one manifest of new files and of all live entries of `merged`.
    pub(super) async fn write(
        &self,
        files: &[DataFile],
        merged: &[ManifestFile],
    ) -> iceberg::Result<ManifestFile> {
        let mut writer = self.writer()?;
        for file in files {
            // A negative number stands for "the one this commit gets".
            writer.add_file(file.clone(), -1)?;
        }
        for manifest in merged {
            let manifest = manifest.load_manifest(self.io).await?;
            for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
                let missing = || {
                    let reason = format!("entry {} has no snapshot", entry.file_path());
                    iceberg::Error::new(iceberg::ErrorKind::DataInvalid, reason)
                };
                writer.add_existing_file(
                    entry.data_file().clone(),
                    entry.snapshot_id().ok_or_else(missing)?,
                    entry.sequence_number().ok_or_else(missing)?,
                    entry.file_sequence_number,
                )?;
            }
        }
        writer.write_manifest_file().await
    }

    /// Writes the list of a snapshot's manifests; returns them with their sequence numbers.
    pub(super) async fn write_list(
        &self,
        parent: Option<i64>,
        mut manifests: Vec<ManifestFile>,
    ) -> iceberg::Result<Vec<ManifestFile>> {
        let sequence = self.metadata.next_sequence_number();
        let output = self.io.new_output(&self.path)?.writer().await?;
        let mut list = ManifestListWriter::v2(output, self.snapshot, parent, sequence);
        for manifest in manifests.iter_mut().filter(|m| m.added_snapshot_id == self.snapshot) {
            manifest.sequence_number = sequence;
            if manifest.min_sequence_number < 0 {
                manifest.min_sequence_number = sequence;
            }
        }
        list.add_manifests(manifests.iter().cloned())?;
        list.close().await?;
        Ok(manifests)
    }
}

#[cfg(test)]
mod tests;
