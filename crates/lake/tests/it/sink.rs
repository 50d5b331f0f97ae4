//! The sink's promises: rows and positions are one, misfits are listed, reopening loses nothing.

use millstream_model::ErrorClass;
use millstream_pipeline::sink::Sink as _;
use millstream_runtime::Context;

use crate::support::{House, batch, config, event, input, inputs, offsets, position, write};

#[tokio::test]
async fn rows_and_positions_come_back_after_a_commit() {
    let (house, cx) = (House::new(), Context::background());
    let mut sink = house.sink();
    let opened = sink.open(&cx, &inputs(2)).await.unwrap();
    assert_eq!(offsets(&opened, 2), [0, 0]);
    assert!(opened.last_commit.is_none());

    write(&mut sink, 0, 0, 100).await.unwrap();
    write(&mut sink, 1, 0, 50).await.unwrap();
    write(&mut sink, 1, 50, 100).await.unwrap();
    assert_eq!(sink.staged().rows, 200);
    let commit = sink.commit(&cx).await.unwrap();
    assert!(sink.staged().is_empty());
    assert_eq!(commit.positions.len(), 2);
    house.assert_rows(100, 2).await;

    let opened = house.sink().open(&cx, &inputs(2)).await.unwrap();
    assert_eq!(offsets(&opened, 2), [100, 100]);
    assert_eq!(opened.positions[0].next, position(100));
    assert_eq!(opened.positions[1].rows, 100);
    assert_eq!(opened.last_commit.unwrap().0, commit.id);
}

#[tokio::test]
async fn staged_rows_that_were_not_committed_are_gone_after_open() {
    let (house, cx) = (House::new(), Context::background());
    let mut sink = house.sink();
    sink.open(&cx, &inputs(1)).await.unwrap();
    write(&mut sink, 0, 0, 10).await.unwrap();
    let opened = sink.open(&cx, &inputs(1)).await.unwrap();
    assert_eq!(offsets(&opened, 1), [0]);
    assert!(sink.staged().is_empty());
    write(&mut sink, 0, 0, 10).await.unwrap();
    sink.commit(&cx).await.unwrap();
    house.assert_rows(10, 1).await;
}

#[tokio::test]
async fn a_misfit_is_left_out_listed_in_the_commit_and_returned_by_open() {
    let (house, cx) = (House::new(), Context::background());
    let mut sink = house.sink();
    sink.open(&cx, &inputs(1)).await.unwrap();
    let bad = r#"{"event":7,"timestamp":"2026-11-22T10:11:12.345Z"}"#.to_owned();
    let events = [event(0), bad, event(2)];
    sink.write(&cx, &input(0), &batch(0, &events), position(3)).await.unwrap();
    assert_eq!((sink.staged().rows, sink.staged().rejected), (2, 1));
    let commit = sink.commit(&cx).await.unwrap();
    assert_eq!(commit.rejected.len(), 1);
    assert_eq!(commit.rejected[0].offset.0, 1);
    assert_eq!(commit.rejected[0].field.as_deref(), Some("event"));
    assert_eq!((commit.positions[0].rows, commit.positions[0].rejected), (2, 1));

    let opened = house.sink().open(&cx, &inputs(1)).await.unwrap();
    assert_eq!(opened.last_commit.unwrap(), (commit.id, commit.rejected));

    write(&mut sink, 0, 3, 5).await.unwrap();
    let next = sink.commit(&cx).await.unwrap();
    let opened = house.sink().open(&cx, &inputs(1)).await.unwrap();
    assert_eq!(opened.last_commit.unwrap(), (next.id, vec![]));
}

#[tokio::test]
async fn a_sink_used_before_open_says_so() {
    let house = House::new();
    let error = write(&mut house.sink(), 0, 0, 1).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Bug);
}

#[tokio::test]
async fn two_sinks_that_both_believe_they_own_a_partition_cannot_both_commit() {
    let (house, cx) = (House::new(), Context::background());
    let (mut one, mut two) = (house.sink(), house.sink());
    one.open(&cx, &inputs(1)).await.unwrap();
    two.open(&cx, &inputs(1)).await.unwrap();
    write(&mut one, 0, 0, 10).await.unwrap();
    write(&mut two, 0, 0, 7).await.unwrap();
    one.commit(&cx).await.unwrap();
    let error = two.commit(&cx).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);

    let opened = two.open(&cx, &inputs(1)).await.unwrap();
    assert_eq!(offsets(&opened, 1), [10]);
    write(&mut two, 0, 10, 20).await.unwrap();
    two.commit(&cx).await.unwrap();
    house.assert_rows(20, 1).await;
}

#[tokio::test]
async fn sinks_of_different_partitions_of_one_table_both_commit() {
    let (house, cx) = (House::new(), Context::background());
    let (mut one, mut two) = (house.sink(), house.sink());
    one.open(&cx, &[input(0)]).await.unwrap();
    two.open(&cx, &[input(1)]).await.unwrap();
    for round in 0..5 {
        write(&mut one, 0, round * 10, round * 10 + 10).await.unwrap();
        write(&mut two, 1, round * 10, round * 10 + 10).await.unwrap();
        one.commit(&cx).await.unwrap();
        two.commit(&cx).await.unwrap();
    }
    house.assert_rows(50, 2).await;
}

#[tokio::test]
async fn files_roll_by_size_and_by_day() {
    let (house, cx) = (House::new(), Context::background());
    let config =
        millstream_lake::Config { file_bytes_max: millstream_model::ByteSize::mib(1), ..config() };
    let mut sink = house.sink_of(config, house.seams());
    sink.open(&cx, &inputs(1)).await.unwrap();
    let mut rng = millstream_runtime::Rng::from_seed(7);
    let noisy = |rng: &mut millstream_runtime::Rng| {
        let noise: String = (0..40).map(|_| format!("{:016x}", rng.next_u64())).collect();
        format!(r#"{{"event":"{noise}","timestamp":"2026-11-22T10:11:12.345Z"}}"#)
    };
    let events: Vec<String> = (0..20_000).map(|_| noisy(&mut rng)).collect();
    for (number, events) in (0..).zip(events.chunks(1000)) {
        let first = number * 1000;
        let next = position(first + events.len() as u64);
        sink.write(&cx, &input(0), &batch(first, events), next).await.unwrap();
    }
    write(&mut sink, 0, 20_000, 20_010).await.unwrap();
    sink.commit(&cx).await.unwrap();
    house.assert_rows(20_010, 1).await;
    let files = house.files(".parquet");
    let of_day = |day: &str| files.iter().filter(|f| f.to_string_lossy().contains(day)).count();
    assert!(of_day("timestamp_day=2026-11-22") > 1, "{files:?}");
    assert_eq!((of_day("timestamp_day=2026-11-20"), of_day("timestamp_day=2026-11-21")), (1, 1));
}

#[tokio::test]
async fn a_clock_set_back_by_days_does_not_stop_commits() {
    let (house, cx) = (House::new(), Context::background());
    let mut sink = house.sink();
    sink.open(&cx, &inputs(1)).await.unwrap();
    write(&mut sink, 0, 0, 10).await.unwrap();
    sink.commit(&cx).await.unwrap();
    let earlier = crate::support::NOW.as_millis() - 3 * 86_400_000;
    house.clock.set(millstream_model::Timestamp::from_millis(earlier));
    write(&mut sink, 0, 10, 20).await.unwrap();
    sink.commit(&cx).await.unwrap();
    house.assert_rows(20, 1).await;
}

#[tokio::test]
async fn a_commit_of_misfits_alone_moves_the_position_and_keeps_them() {
    let (house, cx) = (House::new(), Context::background());
    let mut sink = house.sink();
    sink.open(&cx, &inputs(1)).await.unwrap();
    let bad = ["[]".to_owned(), "{".to_owned(), "{}".to_owned()];
    sink.write(&cx, &input(0), &batch(0, &bad), position(3)).await.unwrap();
    let commit = sink.commit(&cx).await.unwrap();
    assert_eq!(commit.rejected.len(), 3);
    let opened = house.sink().open(&cx, &inputs(1)).await.unwrap();
    assert_eq!(offsets(&opened, 1), [3]);
    assert_eq!(opened.last_commit.unwrap().1, commit.rejected);
    house.assert_rows(0, 1).await;
}

#[tokio::test]
async fn rows_of_more_days_than_may_be_open_are_all_stored() {
    let (house, cx) = (House::new(), Context::background());
    let mut sink = house.sink();
    sink.open(&cx, &inputs(1)).await.unwrap();
    let day = |n: u32| {
        let (month, day) = (1 + n / 28, 1 + n % 28);
        format!(r#"{{"event":"e","timestamp":"2026-{month:02}-{day:02}T00:00:00.000Z"}}"#)
    };
    let events: Vec<String> = (0..150).map(day).collect();
    sink.write(&cx, &input(0), &batch(0, &events), position(150)).await.unwrap();
    sink.commit(&cx).await.unwrap();
    house.assert_rows(150, 1).await;
    assert_eq!(house.files(".parquet").len(), 150);
}
