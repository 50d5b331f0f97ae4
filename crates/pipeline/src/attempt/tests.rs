use millstream_model::Classify;

use super::*;

#[derive(Debug, thiserror::Error)]
#[error("wanted")]
struct Wanted(ErrorClass);

impl Classify for Wanted {
    fn class(&self) -> ErrorClass {
        self.0
    }
}

const AT: Offset = Offset(5);

fn around(class: ErrorClass) -> Failure {
    Failure::of("transact", &Wanted(class))
}

fn of_record() -> Failure {
    Failure::of_record("clean", ErrorClass::Bug, "panicked".to_owned())
}

#[test]
fn the_second_failure_at_one_position_halves() {
    let mut portion = Portion::new(1000);
    let fetched = Fetch { records: 10, bytes: 800 };
    portion.failed(AT, fetched, &around(ErrorClass::Transient));
    assert_eq!(portion.bytes(), 1000);
    portion.failed(AT, fetched, &around(ErrorClass::Transient));
    assert_eq!(portion.bytes(), 400);
    portion.progress();
    assert_eq!(portion.bytes(), 800);
    portion.progress();
    assert_eq!(portion.bytes(), 1000);
    portion.failed(AT, fetched, &around(ErrorClass::Transient));
    portion.failed(Offset(6), fetched, &around(ErrorClass::Transient));
    assert_eq!(portion.bytes(), 1000, "another position");
}

#[test]
fn a_full_log_never_halves() {
    let mut portion = Portion::new(1000);
    for _ in 0..5 {
        let fetched = Fetch { records: 10, bytes: 800 };
        portion.failed(AT, fetched, &around(ErrorClass::Overloaded));
    }
    assert_eq!(portion.bytes(), 1000);
}

#[test]
fn only_a_single_record_that_is_at_fault_is_poison() {
    let mut portion = Portion::new(1000);
    let (one, two) = (Fetch { records: 1, bytes: 80 }, Fetch { records: 2, bytes: 160 });
    for class in [ErrorClass::Transient, ErrorClass::Invalid, ErrorClass::Bug] {
        portion.failed(AT, one, &around(class));
        assert_eq!(portion.poison_at(AT), None, "{class}: what is around it is at fault");
    }
    portion.failed(AT, two, &of_record());
    assert_eq!(portion.poison_at(AT), None, "one of two");
    portion.failed(AT, one, &of_record());
    assert_eq!(portion.poison_at(AT), Some(&of_record()));
    assert_eq!(portion.poison_at(Offset(6)), None);
    portion.progress();
    assert_eq!(portion.poison_at(AT), None);
}

#[tokio::test(start_paused = true)]
async fn work_goes_on_while_the_drain_lasts_and_is_then_cancelled() {
    let drain_max = Duration::from_secs(10);
    for (work_secs, expected) in [(5, true), (20, false)] {
        let (cx, inner) = (Context::background(), Context::background());
        cx.cancel();
        let work = inner.sleep(Duration::from_secs(work_secs));
        assert_eq!(finish(&cx, &inner, drain_max, work).await.is_ok(), expected);
    }
}
