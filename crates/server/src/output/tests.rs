use super::*;

#[test]
fn columns_are_aligned_and_numbers_stand_to_the_right() {
    let rows = vec![
        vec!["page_view".to_owned(), "12".to_owned()],
        vec!["purchase".to_owned(), "1234".to_owned()],
    ];
    let expected = "\
event      count
─────────  ─────
page_view     12
purchase    1234
";
    assert_eq!(table(&["event", "count"], &rows), expected);
}

#[test]
fn a_long_cell_is_cut_and_stays_on_one_line() {
    let text = table(&["value"], &[vec![format!("a\nb{}", "x".repeat(100))]]);
    assert_eq!(text.lines().count(), 3);
    assert!(text.contains("a b") && text.contains('…'));
}

#[test]
fn thousands_are_grouped() {
    assert_eq!([7, 1_000, 1_234_567].map(thousands), ["7", "1 000", "1 234 567"]);
}

#[test]
fn delays_are_said_as_people_say_them() {
    for (millis, expected) in [
        (0, "0 s"),
        (999, "999 ms"),
        (1_250, "1.2 s"),
        (65_000, "1 m 5 s"),
        (12_000_000, "3 h 20 m"),
        (266_400_000, "3 d 2 h"),
    ] {
        assert_eq!(seconds(millis), expected);
    }
}
