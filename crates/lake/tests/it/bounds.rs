//! Metadata stays small over many commits.

use std::sync::Arc;

use iceberg::spec::{DataContentType, DataFile, DataFileBuilder, DataFileFormat, Literal, Struct};
use millstream_lake::commit::{Advance, Change, Committer, Settings};
use millstream_lake::{Lake, Seams};
use millstream_model::{Offset, PartitionId};
use millstream_pipeline::sink::Sink as _;
use millstream_runtime::Context;

use crate::support::disk::RecordingDisk;
use crate::support::{House, commit_settings, input, inputs, position, table};

const COMMITS: u64 = 1_200;

/// A data file that is only named: this test never reads rows.
fn file(house: &House, number: u64) -> DataFile {
    let dir = house.lake_dir().join("warehouse/main/events/data");
    DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_path(format!("file://{}/ms-{number}.parquet", dir.display()))
        .file_format(DataFileFormat::Parquet)
        .partition(Struct::from_iter([Some(Literal::date(20_000))]))
        .partition_spec_id(0)
        .record_count(3)
        .file_size_in_bytes(1000)
        .build()
        .unwrap()
}

fn change(house: &House, number: u64) -> Change {
    let advance = Advance {
        sink: "events".to_owned(),
        topic: input(0).topic,
        partition: PartitionId(0),
        from: (number > 0).then(|| position(number)),
        first: Offset::ZERO,
        to: position(number + 1),
        rows: 3,
        rejected: vec![],
    };
    Change { files: vec![file(house, number)], advances: vec![advance], ..Change::default() }
}

#[tokio::test]
async fn manifests_snapshots_and_files_stay_bounded_over_many_commits() {
    let (house, cx) = (House::new(), Context::background());
    house.sink().open(&cx, &inputs(1)).await.unwrap();
    let settings = Settings { snapshots_max: 50, manifests_max: 8, ..commit_settings() };
    let disk = Arc::new(RecordingDisk { lazy: true, ..RecordingDisk::default() });
    let seams = Seams { disk, clock: house.clock.clone() };
    let lake = Lake::open(&house.lake_dir(), seams).await.unwrap();
    let mut committer = Committer::new(lake.clone(), table(), settings.clone());
    let mut manifests_most = 0;
    for number in 0..COMMITS {
        committer.commit(&cx, &change(&house, number)).await.unwrap();
        if number % 400 == 399 {
            // A restart in between forgets what was cached.
            committer = Committer::new(lake.clone(), table(), settings.clone());
        }
        if number % 50 == 49 {
            manifests_most = manifests_most.max(manifests(&mut committer, &house).await);
        }
    }
    let version = committer.load().await.unwrap();
    let json = std::fs::metadata(version.location.strip_prefix("file://").unwrap()).unwrap().len();
    let snapshots = version.metadata.snapshots().len();
    let (avro, metadata) = (house.files(".avro").len(), house.files(".metadata.json").len());
    println!(
        "{COMMITS} commits: {snapshots} snapshots, at most {manifests_most} manifests in a list, \
         {avro} manifests and lists and {metadata} metadata files on disk, metadata of {json} bytes"
    );
    assert!(snapshots <= 50);
    assert!(manifests_most <= 8 * 4, "{manifests_most}");
    assert!(metadata <= 110, "{metadata}");
    assert!(avro <= 50 * 3 + 8 * 4, "{avro}");
    assert!(json < 100_000, "{json}");

    let summary = &version.metadata.current_snapshot().unwrap().summary().additional_properties;
    assert_eq!(summary["total-data-files"], COMMITS.to_string());
    assert_eq!(summary["total-records"], (3 * COMMITS).to_string());
    assert_eq!(live_files(&mut committer, &house).await, COMMITS);
}

async fn list(committer: &mut Committer, house: &House) -> Vec<iceberg::spec::ManifestFile> {
    let version = committer.load().await.unwrap();
    let path = version.metadata.current_snapshot().unwrap().manifest_list().to_owned();
    let bytes = std::fs::read(path.strip_prefix("file://").unwrap()).unwrap();
    assert!(path.contains(&*house.lake_dir().to_string_lossy()));
    let list =
        iceberg::spec::ManifestList::parse_with_version(&bytes, iceberg::spec::FormatVersion::V2);
    list.unwrap().consume_entries().into_iter().collect()
}

async fn manifests(committer: &mut Committer, house: &House) -> usize {
    list(committer, house).await.len()
}

/// Counts the files that the manifests really list, each once.
async fn live_files(committer: &mut Committer, house: &House) -> u64 {
    let mut names = std::collections::BTreeSet::new();
    for manifest in list(committer, house).await {
        let io = iceberg::io::FileIO::new_with_fs();
        let manifest = manifest.load_manifest(&io).await.unwrap();
        for entry in manifest.entries().iter().filter(|entry| entry.is_alive()) {
            assert!(names.insert(entry.file_path().to_owned()), "twice: {}", entry.file_path());
        }
    }
    names.len() as u64
}
