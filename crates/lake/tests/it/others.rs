//! What others do to a table is counted apart, for as long as the table lives.

use iceberg::spec::Operation;
use millstream_lake::position::{COMMIT_ID, Others, POSITIONS};
use millstream_lake::{Config, IcebergSink, TableReport};
use millstream_pipeline::sink::Sink as _;
use millstream_runtime::Context;

use crate::support::foreign::{Foreign, foreign, snapshot};
use crate::support::{House, config, inputs, table, write};

/// A sink whose table keeps few snapshots.
fn forgetful(house: &House) -> IcebergSink {
    house.sink_of(Config { snapshots_max: 2, ..config() }, house.seams())
}

/// Commits ten rows a time, from a tenth on.
async fn commit(sink: &mut IcebergSink, rounds: std::ops::Range<u64>) {
    let cx = Context::background();
    sink.open(&cx, &inputs(1)).await.unwrap();
    for round in rounds {
        write(sink, 0, round * 10, round * 10 + 10).await.unwrap();
        sink.commit(&cx).await.unwrap();
    }
}

/// Returns the manifest list of the current snapshot.
async fn list(house: &House) -> String {
    let version = house.lake().await.load(&table()).await.unwrap();
    version.metadata.current_snapshot().unwrap().manifest_list().to_owned()
}

/// Commits twenty rows; returns the sink, and the manifest list of the first ten.
async fn twenty_rows(house: &House) -> (IcebergSink, String) {
    let mut sink = forgetful(house);
    commit(&mut sink, 0..1).await;
    let ten = list(house).await;
    commit(&mut sink, 1..2).await;
    (sink, ten)
}

async fn has_snapshot(house: &House, id: i64) -> bool {
    let version = house.lake().await.load(&table()).await.unwrap();
    version.metadata.snapshot_by_id(id).is_some()
}

fn check(report: &TableReport, rows: u64, others: Others) {
    let deep = report.deep.as_ref().unwrap();
    assert_eq!(report.others, others);
    assert_eq!((deep.rows, deep.missing, deep.surplus, deep.duplicates), (rows, 0, 0, 0));
}

/// Goes back to the content of `like`, as a user's DELETE that writes the kept rows anew.
fn delete<'n>(id: i64, like: &str, numbers: &'n [(&'n str, u64)]) -> Foreign<'n> {
    Foreign { id, operation: Operation::Overwrite, like: like.to_owned(), numbers }
}

#[tokio::test]
async fn a_delete_of_others_is_no_loss_even_when_its_snapshot_has_expired() {
    let house = House::new();
    let (mut sink, ten) = twenty_rows(&house).await;
    // Ten of the twenty rows go; ten are written anew.
    let numbers = [("deleted-records", 20), ("added-records", 10), ("total-records", 10)];
    snapshot(&house, delete(42, &ten, &numbers)).await;
    check(&house.report().await, 10, Others { added: 0, removed: 10 });

    commit(&mut sink, 2..6).await;
    assert!(!has_snapshot(&house, 42).await);
    check(&house.report().await, 50, Others { added: 0, removed: 10 });
}

#[tokio::test]
async fn a_row_that_is_gone_beside_a_delete_of_others_is_found() {
    let house = House::new();
    let (mut sink, ten) = twenty_rows(&house).await;
    // Twenty rows become ten, but somebody owns up to nine.
    let numbers = [("deleted-records", 20), ("added-records", 11), ("total-records", 11)];
    snapshot(&house, delete(42, &ten, &numbers)).await;
    commit(&mut sink, 2..6).await;
    let deep = house.report().await.deep.unwrap();
    assert_eq!((deep.rows, deep.missing, deep.surplus), (50, 1, 0));
}

#[tokio::test]
async fn compaction_by_others_removes_nothing() {
    let house = House::new();
    let mut sink = forgetful(&house);
    commit(&mut sink, 0..2).await;
    let numbers = [("deleted-records", 20), ("added-records", 20), ("total-records", 20)];
    let like = list(&house).await;
    let compacted = Foreign { id: 42, operation: Operation::Replace, like, numbers: &numbers };
    snapshot(&house, compacted).await;
    commit(&mut sink, 2..6).await;
    check(&house.report().await, 60, Others::default());
}

#[tokio::test]
async fn what_others_did_and_let_expire_before_our_next_commit_is_told_by_the_total() {
    let house = House::new();
    let (mut sink, ten) = twenty_rows(&house).await;
    let numbers = [("deleted-records", 10), ("total-records", 10)];
    snapshot(&house, delete(42, &ten, &numbers)).await;
    let numbers = [("total-records", 10)];
    snapshot(&house, delete(43, &ten, &numbers)).await;
    let version = house.lake().await.load(&table()).await.unwrap();
    let ids = version.metadata.snapshots().map(|snapshot| snapshot.snapshot_id());
    let older: Vec<i64> = ids.filter(|id| *id != 43).collect();
    foreign(&house, |builder| Ok(builder.remove_snapshots(&older))).await;
    check(&house.report().await, 10, Others { added: 0, removed: 10 });
    commit(&mut sink, 2..6).await;
    check(&house.report().await, 50, Others { added: 0, removed: 10 });
}

#[tokio::test]
async fn a_map_of_version_1_is_read_and_followed_by_one_that_counts_others() {
    let house = House::new();
    let (mut sink, ten) = twenty_rows(&house).await;
    let numbers = [("deleted-records", 10), ("total-records", 10)];
    snapshot(&house, delete(42, &ten, &numbers)).await;

    // The table as version 1 left it: the marker behind the DELETE alone is kept.
    let version = house.lake().await.load(&table()).await.unwrap();
    let map = &version.metadata.properties()[POSITIONS];
    let old = map.replace("\"v\":2", "\"v\":1").replace("\"others\":[0,0],", "");
    assert_ne!(*map, old);
    let commit_id = version.metadata.properties()[COMMIT_ID].clone();
    let ids = version.metadata.snapshots().map(|snapshot| snapshot.snapshot_id());
    let older: Vec<i64> = ids.filter(|id| *id != 42).collect();
    let properties = [(POSITIONS.to_owned(), old), (COMMIT_ID.to_owned(), commit_id)].into();
    foreign(&house, |builder| builder.remove_snapshots(&older).set_properties(properties)).await;

    check(&house.report().await, 10, Others { added: 0, removed: 10 });
    commit(&mut sink, 2..4).await;
    check(&house.report().await, 30, Others { added: 0, removed: 10 });
    let version = house.lake().await.load(&table()).await.unwrap();
    assert!(version.metadata.properties()[POSITIONS].contains("\"v\":2"));
}

#[tokio::test]
async fn a_partition_remembers_where_it_began() {
    let (house, cx) = (House::new(), Context::background());
    let mut sink = house.sink();
    sink.open(&cx, &inputs(2)).await.unwrap();
    write(&mut sink, 0, 1_000, 1_010).await.unwrap();
    sink.commit(&cx).await.unwrap();
    write(&mut sink, 0, 1_010, 1_020).await.unwrap();
    write(&mut sink, 1, 0, 5).await.unwrap();
    sink.commit(&cx).await.unwrap();
    let report = house.report().await;
    let partitions = &report.positions.sinks["events"].partitions;
    let stands = partitions.values().map(|at| (at.begin.0, at.next.0, at.rows));
    assert_eq!(stands.collect::<Vec<_>>(), [(1_000, 1_020, 20), (0, 5, 5)]);
    check(&report, 25, Others::default());
}
