//! Other writers, lost answers, repeated and late requests, tables set back.

use std::sync::Arc;

use millstream_lake::commit::{Advance, Change, Committer};
use millstream_lake::position::{POSITIONS, standing};
use millstream_lake::{Lake, LakeError, Seams, Swap};
use millstream_model::{Classify, ErrorClass, Offset, PartitionId};
use millstream_pipeline::sink::Sink as _;
use millstream_runtime::Context;

use crate::support::disk::RecordingDisk;
use crate::support::fault::{Fault, FaultyCatalog};
use crate::support::foreign::foreign;
use crate::support::{House, commit_settings, input, inputs, offsets, position, table, write};

/// A change without files that moves partition 0.
fn change(from: Option<u64>, to: u64) -> Change {
    let advance = Advance {
        sink: "events".to_owned(),
        topic: input(0).topic,
        partition: PartitionId(0),
        from: from.map(position),
        first: Offset::ZERO,
        to: position(to),
        rows: 0,
        rejected: vec![],
    };
    Change { advances: vec![advance], ..Change::default() }
}

/// A committer whose catalog can be told to fail.
async fn faulty(house: &House) -> (Committer, Arc<FaultyCatalog>) {
    house.sink().open(&Context::background(), &inputs(1)).await.unwrap();
    let disk = RecordingDisk::default();
    let catalog = FaultyCatalog::open(&house.lake_dir(), Arc::clone(&disk.journal)).await;
    let seams = Seams { disk: Arc::new(disk), clock: house.clock.clone() };
    let shared = Arc::clone(&catalog) as Arc<dyn millstream_lake::Catalog>;
    let lake = Lake::with_catalog(&house.lake_dir(), shared, seams);
    (Committer::new(lake, table(), commit_settings()), catalog)
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_found_by_its_id() {
    for fault in [Fault::LoseAnswer, Fault::Repeat] {
        let (house, cx) = (House::new(), Context::background());
        let (mut committer, catalog) = faulty(&house).await;
        catalog.inject(fault);
        committer.commit(&cx, &change(None, 5)).await.unwrap();
        let map = committer.standing().await.unwrap().map;
        assert_eq!(map.get("events", PartitionId(0)), Some(position(5)), "{fault:?}");
        let snapshots = committer.load().await.unwrap().metadata.snapshots().len();
        assert_eq!(snapshots, 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_commit_whose_request_was_lost_is_an_error_and_changes_nothing() {
    let (house, cx) = (House::new(), Context::background());
    let (mut committer, catalog) = faulty(&house).await;
    catalog.inject(Fault::LoseRequest);
    let error = committer.commit(&cx, &change(None, 5)).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Transient);
    assert_eq!(committer.standing().await.unwrap().map.get("events", PartitionId(0)), None);
    committer.commit(&cx, &change(None, 5)).await.unwrap();
}

#[tokio::test]
async fn a_late_request_dies_once_anything_else_was_committed() {
    let (house, cx) = (House::new(), Context::background());
    let (mut committer, catalog) = faulty(&house).await;
    catalog.inject(Fault::Delay);
    committer.commit(&cx, &change(None, 5)).await.unwrap_err();
    committer.commit(&cx, &change(None, 7)).await.unwrap();
    assert_eq!(catalog.deliver().await, [Swap::Lost]);
    let map = committer.standing().await.unwrap().map;
    assert_eq!(map.get("events", PartitionId(0)), Some(position(7)));
}

#[tokio::test]
async fn a_late_request_that_lands_first_moves_the_positions_so_the_second_attempt_reopens() {
    let (house, cx) = (House::new(), Context::background());
    let (mut committer, catalog) = faulty(&house).await;
    catalog.inject(Fault::Delay);
    committer.commit(&cx, &change(None, 5)).await.unwrap_err();
    assert_eq!(catalog.deliver().await, [Swap::Done]);
    let error = committer.commit(&cx, &change(None, 5)).await.unwrap_err();
    assert!(matches!(error, LakeError::Moved { .. }), "{error}");
}

#[tokio::test]
async fn orphan_removal_kills_late_requests_and_takes_only_old_unnamed_files() {
    let (house, cx) = (House::new(), Context::background());
    let mut sink = house.sink();
    sink.open(&cx, &inputs(1)).await.unwrap();
    write(&mut sink, 0, 0, 10).await.unwrap();
    sink.commit(&cx).await.unwrap();

    let (mut committer, catalog) = faulty(&house).await;
    catalog.inject(Fault::Delay);
    let stale = change(Some(10), 12);
    committer.commit(&cx, &stale).await.unwrap_err();
    write(&mut sink, 0, 10, 20).await.unwrap();
    sink.open(&cx, &inputs(1)).await.unwrap();
    let foreign = house.files(".parquet")[0].with_file_name("00000-0-foreign.parquet");
    std::fs::write(&foreign, b"not ours").unwrap();

    assert_eq!(committer.remove_orphans(&cx).await.unwrap().files, 0);
    assert_eq!(catalog.deliver().await, [Swap::Lost]);
    house.clock.advance(commit_settings().stage_max * 2);
    let removed = committer.remove_orphans(&cx).await.unwrap();
    assert!(removed.files >= 2, "the attempt's list and metadata: {removed:?}");
    assert!(foreign.try_exists().unwrap());
    house.assert_rows(10, 1).await;
    assert_eq!(committer.remove_orphans(&cx).await.unwrap().files, 0);
}

#[tokio::test]
async fn files_that_orphan_removal_may_have_taken_are_refused() {
    let (house, cx) = (House::new(), Context::background());
    let mut sink = house.sink();
    sink.open(&cx, &inputs(1)).await.unwrap();
    write(&mut sink, 0, 0, 10).await.unwrap();
    house.clock.advance(commit_settings().stage_max);
    let error = sink.commit(&cx).await.unwrap_err();
    assert!(error.to_string().contains("too old"), "{error}");
    let opened = sink.open(&cx, &inputs(1)).await.unwrap();
    assert_eq!(offsets(&opened, 1), [0]);
    write(&mut sink, 0, 0, 10).await.unwrap();
    sink.commit(&cx).await.unwrap();
    house.assert_rows(10, 1).await;
}

fn reference(snapshot: i64) -> iceberg::spec::SnapshotReference {
    use iceberg::spec::{SnapshotReference, SnapshotRetention};
    SnapshotReference::new(snapshot, SnapshotRetention::branch(None, None, None))
}

/// Commits ten rows three times.
async fn thrice(house: &House) {
    let cx = Context::background();
    let mut sink = house.sink();
    sink.open(&cx, &inputs(1)).await.unwrap();
    for round in 0..3 {
        write(&mut sink, 0, round * 10, round * 10 + 10).await.unwrap();
        sink.commit(&cx).await.unwrap();
    }
}

#[tokio::test]
async fn a_table_rolled_back_is_refused_with_the_remedy() {
    let (house, cx) = (House::new(), Context::background());
    thrice(&house).await;
    let version = house.lake().await.load(&table()).await.unwrap();
    let mut snapshots: Vec<_> = version.metadata.snapshots().cloned().collect();
    snapshots.sort_by_key(|snapshot| snapshot.sequence_number());
    let first = snapshots[0].snapshot_id();
    foreign(&house, |builder| builder.set_ref("main", reference(first))).await;

    let error = house.sink().open(&cx, &inputs(1)).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Invalid);
    let text = error.to_string();
    assert!(text.contains("rolled back") && text.contains("millstream tasks reset"), "{text}");

    // The remedy: the map of the snapshot to go on from.
    let map = snapshots[0].summary().additional_properties[POSITIONS].clone();
    let properties = [(POSITIONS.to_owned(), map)].into();
    foreign(&house, |builder| builder.set_properties(properties)).await;
    let opened = house.sink().open(&cx, &inputs(1)).await.unwrap();
    assert_eq!(offsets(&opened, 1), [10]);
}

#[tokio::test]
async fn positions_stand_in_the_property_when_expiry_cut_the_history() {
    let (house, cx) = (House::new(), Context::background());
    thrice(&house).await;
    // A snapshot of somebody else on top, then every snapshot of ours expired.
    let version = house.lake().await.load(&table()).await.unwrap();
    let current = version.metadata.current_snapshot().unwrap().clone();
    let snapshot = iceberg::spec::Snapshot::builder()
        .with_snapshot_id(42)
        .with_parent_snapshot_id(Some(current.snapshot_id()))
        .with_sequence_number(version.metadata.next_sequence_number())
        .with_timestamp_ms(version.metadata.last_updated_ms() + 1)
        .with_manifest_list(current.manifest_list())
        .with_summary(iceberg::spec::Summary {
            operation: iceberg::spec::Operation::Replace,
            additional_properties: [].into(),
        })
        .with_schema_id(0)
        .build();
    foreign(&house, |builder| builder.set_branch_snapshot(snapshot, "main")).await;
    let opened = house.sink().open(&cx, &inputs(1)).await.unwrap();
    assert_eq!(offsets(&opened, 1), [30], "walked through a foreign snapshot");

    let ours: Vec<i64> = version.metadata.snapshots().map(|s| s.snapshot_id()).collect();
    foreign(&house, |builder| Ok(builder.remove_snapshots(&ours))).await;
    let mut sink = house.sink();
    let opened = sink.open(&cx, &inputs(1)).await.unwrap();
    assert_eq!(offsets(&opened, 1), [30], "taken from the property");

    write(&mut sink, 0, 30, 40).await.unwrap();
    sink.commit(&cx).await.unwrap();
    house.assert_rows(40, 1).await;

    foreign(&house, |builder| builder.remove_properties(&[POSITIONS.to_owned()])).await;
    let version = house.lake().await.load(&table()).await.unwrap();
    assert!(standing(&table(), &version.metadata).is_ok(), "the marker in the snapshot is enough");
}
