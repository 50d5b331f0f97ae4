use super::*;

fn at(partition: i32, high: i64) -> Missed {
    Missed { topic: "positions".to_owned(), partition, high }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_held_since_the_first_read_that_saw_it() {
    let watch = Watch::default();
    let first = Instant::now();
    assert_eq!(watch.look(&at(0, 10), 4, first).unwrap().since, first);
    tokio::time::advance(Duration::from_secs(30)).await;
    let again = watch.look(&at(0, 12), 4, Instant::now()).unwrap();
    assert_eq!((again.offset, again.since), (4, first));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_moved_or_went_is_forgotten() {
    let watch = Watch::default();
    watch.look(&at(0, 10), 4, Instant::now());
    tokio::time::advance(Duration::from_secs(30)).await;
    let now = Instant::now();
    assert_eq!(watch.look(&at(0, 12), 7, now).unwrap().since, now, "another transaction");
    assert!(watch.look(&at(0, 12), 12, now).is_none(), "nothing holds it back any more");
    tokio::time::advance(Duration::from_secs(30)).await;
    let now = Instant::now();
    assert_eq!(watch.look(&at(0, 14), 7, now).unwrap().since, now);
}
