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
