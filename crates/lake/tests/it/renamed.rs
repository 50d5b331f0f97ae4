//! A sink under a new name: the table's positions go with it.

use millstream_lake::{IcebergSink, LakeError, Rename, Settings};
use millstream_model::{Classify as _, ErrorClass};
use millstream_pipeline::sink::Sink as _;
use millstream_runtime::Context;

use crate::support::{House, batch, config, event, input, inputs, offsets, position, table, write};

fn sink(house: &House, name: &str) -> IcebergSink {
    let settings = Settings { name: name.to_owned(), dir: house.lake_dir(), seams: house.seams() };
    IcebergSink::new(config(), settings).unwrap()
}

async fn rename(house: &House, old: &str, new: &str) -> Result<(), LakeError> {
    let cx = Context::background();
    house.lake().await.rename_sink(&cx, &table(), Rename { old, new }).await
}

#[tokio::test]
async fn a_renamed_sink_goes_on_where_it_stood_with_what_it_rejected() {
    let (house, cx) = (House::new(), Context::background());
    let mut old = sink(&house, "old");
    old.open(&cx, &inputs(2)).await.unwrap();
    write(&mut old, 1, 0, 5).await.unwrap();
    let events = [event(0), r#"{"event":7}"#.to_owned(), event(2)];
    old.write(&cx, &input(0), &batch(0, &events), position(3)).await.unwrap();
    let commit = old.commit(&cx).await.unwrap();
    assert_eq!(commit.rejected.len(), 1);

    // The second time there is nothing left to do.
    for _ in 0..2 {
        rename(&house, "old", "new").await.unwrap();
        let opened = sink(&house, "new").open(&cx, &inputs(2)).await.unwrap();
        assert_eq!(opened.positions, commit.positions);
        assert_eq!(opened.last_commit, Some((commit.id.clone(), commit.rejected.clone())));
    }
    let refused = sink(&house, "old").open(&cx, &inputs(2)).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Invalid, "{refused}");

    let mut new = sink(&house, "new");
    new.open(&cx, &inputs(2)).await.unwrap();
    write(&mut new, 0, 3, 9).await.unwrap();
    let commit = new.commit(&cx).await.unwrap();
    assert_eq!((commit.positions[0].rows, commit.positions[0].rejected), (8, 1));
    let opened = sink(&house, "new").open(&cx, &inputs(2)).await.unwrap();
    assert_eq!(offsets(&opened, 2), [9, 5]);
    rename(&house, "old", "new").await.unwrap();
}

#[tokio::test]
async fn an_owner_that_still_goes_by_the_old_name_cannot_commit() {
    let (house, cx) = (House::new(), Context::background());
    let mut old = sink(&house, "old");
    old.open(&cx, &inputs(1)).await.unwrap();
    write(&mut old, 0, 0, 5).await.unwrap();
    old.commit(&cx).await.unwrap();
    write(&mut old, 0, 5, 9).await.unwrap();
    rename(&house, "old", "new").await.unwrap();
    let refused = old.commit(&cx).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Invalid, "{refused}");
    let opened = sink(&house, "new").open(&cx, &inputs(1)).await.unwrap();
    assert_eq!(offsets(&opened, 1), [5]);
}

#[tokio::test]
async fn an_owner_that_never_committed_under_the_old_name_cannot_begin_there() {
    let (house, cx) = (House::new(), Context::background());
    let mut old = sink(&house, "old");
    old.open(&cx, &inputs(1)).await.unwrap();
    write(&mut old, 0, 0, 5).await.unwrap();
    rename(&house, "old", "new").await.unwrap();
    assert!(old.commit(&cx).await.is_err());
    let refused = old.open(&cx, &inputs(1)).await.unwrap_err();
    let reason = refused.source.to_string();
    assert!(reason.contains("goes on under another name, `new`"), "{reason}");
    let mut new = sink(&house, "new");
    new.open(&cx, &inputs(1)).await.unwrap();
    write(&mut new, 0, 0, 5).await.unwrap();
    new.commit(&cx).await.unwrap();
    // The mark stands in the snapshot, and stays when that is committed upon.
    assert!(old.open(&cx, &inputs(1)).await.is_err());
}

#[tokio::test]
async fn a_sink_that_got_its_name_back_goes_on() {
    let (house, cx) = (House::new(), Context::background());
    let mut old = sink(&house, "old");
    old.open(&cx, &inputs(1)).await.unwrap();
    write(&mut old, 0, 0, 5).await.unwrap();
    old.commit(&cx).await.unwrap();
    rename(&house, "old", "new").await.unwrap();
    rename(&house, "new", "old").await.unwrap();
    let opened = sink(&house, "old").open(&cx, &inputs(1)).await.unwrap();
    assert_eq!(offsets(&opened, 1), [5]);
    assert!(sink(&house, "new").open(&cx, &inputs(1)).await.is_err());
}

#[tokio::test]
async fn positions_are_not_moved_over_others() {
    let (house, cx) = (House::new(), Context::background());
    for name in ["old", "new"] {
        let mut sink = sink(&house, name);
        sink.open(&cx, &inputs(1)).await.unwrap();
        write(&mut sink, 0, 0, 5).await.unwrap();
        sink.commit(&cx).await.unwrap();
    }
    let before = house.lake().await.load(&table()).await.unwrap();
    let refused = rename(&house, "old", "new").await.unwrap_err();
    assert!(matches!(refused, LakeError::NameTaken { .. }), "{refused}");
    assert_eq!(refused.class(), ErrorClass::Invalid);
    let after = house.lake().await.load(&table()).await.unwrap();
    assert_eq!(before.location, after.location);
}

#[tokio::test]
async fn where_there_is_nothing_there_is_nothing_to_rename() {
    let house = House::new();
    house.lake().await;
    rename(&house, "old", "new").await.unwrap();
    sink(&house, "new").open(&Context::background(), &inputs(1)).await.unwrap();
    rename(&house, "old", "new").await.unwrap();
}
