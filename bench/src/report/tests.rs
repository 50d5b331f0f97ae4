use super::{Measure, Ratio, Report, Sample};

fn sample(done: f64, cpu_seconds: f64) -> Sample {
    Sample { done, seconds: 2.0, cpu_seconds, peak_bytes: 5 << 20, latency: None }
}

#[test]
fn a_ratio_is_taken_within_a_round_and_shows_its_spread() {
    let mut report = Report::new("x".to_owned(), "requests", 1.0);
    for (ours, theirs) in [(30.0, 10.0), (80.0, 20.0), (50.0, 10.0)] {
        report.add("ours", sample(ours, 1.0));
        report.add("theirs", sample(theirs, 1.0));
    }
    let ratio = Ratio { of: "ours", to: "theirs", measure: Measure::Rate, aim: Some(4.5) };
    let text = report.render(&[ratio]).unwrap();
    let line = "- ours ÷ theirs, by rate: **4.00 (3.00–5.00)**; aim ≥ 4.5: **not met**\n";
    assert!(text.ends_with(line), "{text}");
    assert!(text.contains("| ours | 25 (15–40) | 50 (30–80) | 1.00 | 5 | – |"), "{text}");
}

#[test]
fn a_ratio_without_one_of_its_contestants_is_left_out() {
    let mut report = Report::new("x".to_owned(), "requests", 1.0);
    report.add("ours", sample(1.0, 1.0));
    let ratio = Ratio { of: "ours", to: "theirs", measure: Measure::PerCpuSecond, aim: None };
    assert!(!report.render(&[ratio]).unwrap().contains("theirs"));
}
