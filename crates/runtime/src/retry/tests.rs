use super::*;

#[test]
fn delays_stay_below_the_ceiling_for_ever() {
    let settings =
        Settings { initial: Duration::from_millis(10), ceiling: Duration::from_millis(80) };
    let mut backoff = Backoff::new(settings, Rng::from_seed(1));
    for attempt in 0..100 {
        let ceiling = Duration::from_millis(10 << attempt.min(3));
        assert!(backoff.next_delay() <= ceiling);
    }
    backoff.reset();
    assert!(backoff.next_delay() <= Duration::from_millis(10));
}
