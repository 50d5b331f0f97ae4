//! Tests of which manifests are merged.

use super::*;

fn manifest(files: u32) -> ManifestFile {
    ManifestFile {
        manifest_path: format!("file:///m{files}"),
        manifest_length: 1,
        partition_spec_id: 0,
        content: ManifestContentType::Data,
        sequence_number: 1,
        min_sequence_number: 1,
        added_snapshot_id: 1,
        added_files_count: Some(files),
        existing_files_count: Some(0),
        deleted_files_count: Some(0),
        added_rows_count: Some(1),
        existing_rows_count: Some(0),
        deleted_rows_count: Some(0),
        partitions: None,
        key_metadata: None,
        first_row_id: None,
    }
}

/// Commits `commits` times one file; returns the files of each manifest, and how many entries
/// were written in all.
fn run(commits: u64, manifests_max: usize) -> (Vec<u64>, u64) {
    let (mut manifests, mut written): (Vec<ManifestFile>, u64) = (Vec::new(), 0);
    for _ in 0..commits {
        let (kept, merged) = plan_merge(manifests, 1, 0, manifests_max);
        let files = 1 + merged.iter().map(files_of).sum::<u64>();
        written += files;
        manifests = kept;
        manifests.push(manifest(u32::try_from(files).unwrap()));
    }
    (manifests.iter().map(files_of).collect(), written)
}

#[test]
fn manifests_are_few_and_entries_rarely_rewritten() {
    let (manifests, written) = run(20_000, 16);
    assert_eq!(manifests.iter().sum::<u64>(), 20_000);
    assert!(manifests.len() <= 16 * 4, "{}", manifests.len());
    assert!(written <= 20_000 * 5, "{written}");
}

#[test]
fn deletes_other_partitionings_and_large_manifests_are_left_alone() {
    let mut delete = manifest(1);
    delete.content = ManifestContentType::Deletes;
    let mut other = manifest(1);
    other.partition_spec_id = 7;
    let mut unknown = manifest(1);
    unknown.added_files_count = None;
    let alone = vec![delete, other, unknown, manifest(5000)];
    let mut all = alone.clone();
    all.extend([manifest(1), manifest(1)]);
    let (kept, merged) = plan_merge(all, 1, 0, 2);
    assert_eq!((kept, merged.len()), (alone, 2));
}
