//! Several committers of one table, as several workers have them: each for its own partitions.

use millstream_model::ErrorClass;
use millstream_pipeline::sink::Sink as _;
use millstream_runtime::Context;

use crate::support::{House, batch, event, input, inputs, offsets, position, write};

const BAD: &str = r#"{"event":7,"timestamp":"2026-11-22T10:11:12.345Z"}"#;

#[tokio::test]
async fn what_a_dead_worker_rejected_stays_listed_until_its_partition_has_another_committer() {
    let (house, cx) = (House::new(), Context::background());
    let (mut one, mut two) = (house.sink(), house.sink());
    one.open(&cx, &[input(0)]).await.unwrap();
    two.open(&cx, &[input(1)]).await.unwrap();
    let events = [event(0), BAD.to_owned(), event(2)];
    one.write(&cx, &input(0), &batch(0, &events), position(3)).await.unwrap();
    let left = one.commit(&cx).await.unwrap();
    drop(one);
    assert_eq!(left.rejected.len(), 1);
    for round in 0..3 {
        write(&mut two, 1, round * 10, round * 10 + 10).await.unwrap();
        let commit = two.commit(&cx).await.unwrap();
        assert_eq!(commit.rejected, vec![], "they are not this worker's");
    }

    let mut heir = house.sink();
    let opened = heir.open(&cx, &inputs(2)).await.unwrap();
    assert_eq!(offsets(&opened, 2), [3, 30]);
    assert_eq!(opened.last_commit.unwrap().1, left.rejected);
    // It commits only when the dead letters are written: then the list is done with.
    write(&mut heir, 1, 30, 40).await.unwrap();
    heir.commit(&cx).await.unwrap();
    let opened = house.sink().open(&cx, &inputs(2)).await.unwrap();
    assert_eq!(opened.last_commit.unwrap().1, vec![]);
}

#[tokio::test]
async fn a_committer_whose_partition_another_one_moved_commits_nothing_of_the_others() {
    let (house, cx) = (House::new(), Context::background());
    let (mut owner, mut late) = (house.sink(), house.sink());
    late.open(&cx, &[input(0)]).await.unwrap();
    owner.open(&cx, &inputs(2)).await.unwrap();
    // The owner before does not know yet that it is none.
    let events = [event(0), BAD.to_owned(), event(2)];
    late.write(&cx, &input(0), &batch(0, &events), position(3)).await.unwrap();
    let left = late.commit(&cx).await.unwrap();
    write(&mut owner, 1, 0, 3).await.unwrap();
    let error = owner.commit(&cx).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);

    let opened = owner.open(&cx, &inputs(2)).await.unwrap();
    assert_eq!(offsets(&opened, 2), [3, 0]);
    assert_eq!(opened.last_commit.unwrap().1, left.rejected);
    write(&mut owner, 1, 0, 2).await.unwrap();
    owner.commit(&cx).await.unwrap();
    let deep = house.report().await.deep.unwrap();
    assert_eq!((deep.rows, deep.duplicates, deep.missing), (4, 0, 0));
}
