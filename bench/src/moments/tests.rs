use super::{Moments, compare};

#[test]
fn percentiles_are_over_what_was_seen_and_the_time_over_all() {
    let (mut sent, mut seen) = (Moments::new(3).unwrap(), Moments::new(3).unwrap());
    for (number, moment) in [(0, 1_000_000), (1, 1_500_000), (2, 2_000_000)] {
        sent.note(number, moment).unwrap();
    }
    seen.note(0, 1_004_000).unwrap();
    seen.note(2, 2_008_000).unwrap();
    let (seconds, latency) = compare(&sent, &seen).unwrap();
    assert!((seconds - 1.008).abs() < 1e-9, "{seconds}");
    assert!((latency.p99 - 8.0).abs() < 1e-9, "{latency:?}");
}

#[test]
fn an_event_that_is_seen_twice_is_an_error() {
    let mut seen = Moments::new(1).unwrap();
    seen.note(0, 1).unwrap();
    assert!(seen.note(0, 2).is_err());
    assert!(seen.note(1, 2).is_err());
}

#[test]
fn a_file_gives_back_what_was_saved() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut moments = Moments::new(2).unwrap();
    moments.note(1, 1_795_342_260_000_123).unwrap();
    moments.save(file.path()).unwrap();
    assert_eq!(Moments::load(file.path()).unwrap(), moments);
}
