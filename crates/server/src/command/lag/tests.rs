use super::*;

fn row(task: &str, lag: u64, delay_ms: Option<u64>) -> LagRow {
    LagRow {
        task: task.to_owned(),
        role: "clean".to_owned(),
        state: Some("running".to_owned()),
        topic: "events".to_owned(),
        partition: 0,
        next: Some(5),
        end: Some(5 + lag),
        lag: Some(lag),
        unit: Unit::Records,
        delay_ms,
        problem: None,
        unknown: None,
    }
}

#[test]
fn the_table_has_units() {
    let refused = LagRow { problem: Some("gone".to_owned()), state: None, ..row("b", 0, None) };
    let expected = "\
task  input     position  end    behind (records)  delay   state
────  ────────  ────────  ─────  ────────────────  ──────  ────────────────
a     events/0         5  12350  12 345            65.0 s  running
b     events/0         5      5  0                 ?       refused, see below

b: gone
";
    let text = text(&[row("a", 12_345, Some(65_000)), refused]);
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let lines: Vec<_> = text.lines().map(words).collect();
    let expected: Vec<_> = expected.replace("65.0 s", "1 m 5 s").lines().map(words).collect();
    assert_eq!(lines[0], expected[0]);
    assert_eq!(lines[2..], expected[2..]);
}

#[test]
fn a_task_that_is_late_or_cannot_go_on_is_not_so() {
    let check = |rows: &[LagRow], max, expected| assert_eq!(verdict(rows, max), expected);
    let (late, lost) = (row("a", 1, Some(2_001)), row("a", 1, None));
    check(std::slice::from_ref(&late), None, Code::Done);
    check(std::slice::from_ref(&late), Some(2), Code::NotSo);
    check(std::slice::from_ref(&late), Some(3), Code::Done);
    check(&[lost], Some(3_600), Code::NotSo);
    check(&[], Some(0), Code::Done);
}

#[test]
fn what_is_not_known_is_a_question_mark_and_its_cause_is_said_once() {
    let unknown = |task: &str| LagRow {
        next: None,
        end: None,
        lag: None,
        unknown: Some("Kafka is away".to_owned()),
        ..row(task, 0, None)
    };
    let rows = [unknown("a"), unknown("b")];
    assert_eq!(notes(&rows), ["a, b: Kafka is away"]);
    let text = text(&rows);
    assert_eq!(text.matches("unknown, see below").count(), 2, "{text}");
    assert_eq!(text.matches('?').count(), 8, "{text}");
    assert_eq!(verdict(&rows, Some(60)), Code::NotSo);
}

#[test]
fn a_state_is_shown_where_a_node_was_asked_for_it() {
    let elsewhere = |task: &str| LagRow { state: None, ..row(task, 0, Some(0)) };
    let beside = text(&[row("a", 0, Some(0)), elsewhere("b")]);
    assert!(beside.contains("running") && beside.contains("not on this node"), "{beside}");
    let without = text(&[elsewhere("a"), elsewhere("b")]);
    assert!(!without.contains("state") && !without.contains("not on"), "{without}");
    let orphan = LagRow { role: "orphan".to_owned(), ..elsewhere("c") };
    let without = text(&[elsewhere("a"), orphan]);
    assert!(without.contains("left the configuration") && !without.contains("not on"), "{without}");
}

#[test]
fn where_logs_count_differently_each_cell_has_its_unit() {
    let rows = [row("a", 3, Some(0)), LagRow { unit: Unit::Offsets, ..row("b", 4, Some(0)) }];
    let text = text(&rows);
    assert!(text.contains("3 records") && text.contains("4 offsets"), "{text}");
}
