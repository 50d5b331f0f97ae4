use super::*;

fn budget(bytes: u64) -> Budget {
    Budget::new(ByteSize(bytes))
}

#[test]
fn shares_never_exceed_the_budget_and_come_back() {
    let budget = budget(100);
    let first = budget.take(60).expect("fits");
    assert!(budget.take(41).is_err());
    let second = budget.take(40).expect("fits exactly");
    assert_eq!(budget.used(), 100);
    drop(first);
    assert_eq!(budget.used(), 40);
    drop(second);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_share_that_cannot_grow_stays_as_it_was() {
    let budget = budget(100);
    let mut share = budget.take(60).expect("fits");
    assert!(share.grow_to(101).is_err());
    assert_eq!((share.bytes(), budget.used()), (60, 60));
    share.grow_to(100).expect("fits");
    share.shrink_to(10);
    assert_eq!((share.bytes(), budget.used()), (10, 10));
    share.grow_to(5).expect("is larger already");
    assert_eq!(share.bytes(), 10);
}

#[test]
fn splitting_and_absorbing_keep_the_sum() {
    let budget = budget(100);
    let mut share = budget.take(60).expect("fits");
    let mut part = share.split(25);
    assert_eq!((share.bytes(), part.bytes(), budget.used()), (35, 25, 60));
    part.absorb(share);
    assert_eq!((part.bytes(), budget.used()), (60, 60));
    drop(part);
    assert_eq!(budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_what_is_in_flight_over_the_rate_it_drains_at() {
    let budget = budget(10_000);
    assert_eq!(budget.retry_after(), RETRY_AFTER_UNKNOWN);
    let held = budget.take(8_000).expect("fits");
    // 2,000 bytes drain in one second.
    drop(budget.take(2_000).expect("fits"));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(budget.retry_after(), Duration::from_secs(4));
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn retry_after_stays_within_its_bounds() {
    let budget = budget(1_000_000);
    let _held = budget.take(900_000).expect("fits");
    drop(budget.take(1).expect("fits"));
    tokio::time::advance(Duration::from_millis(200)).await;
    assert_eq!(budget.retry_after(), RETRY_AFTER_MAX);
    drop(budget.take(100_000).expect("fits"));
    for _ in 0..1000 {
        drop(budget.take(100_000).expect("fits"));
    }
    tokio::time::advance(Duration::from_millis(200)).await;
    assert_eq!(budget.retry_after(), RETRY_AFTER_MIN);
}
