use super::*;

#[test]
fn the_variable_names_a_point_and_a_count() {
    let armed = parse("journal.before_sync:3").unwrap();
    assert_eq!(armed.name, "journal.before_sync");
    assert_eq!(armed.remaining.into_inner(), 3);
    for bad in ["", "x", "x:", "x:0", "x:-1", ":x"] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}
