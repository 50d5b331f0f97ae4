use super::*;

#[track_caller]
fn check(text: &str, expected: Option<u64>) {
    assert_eq!(text.parse::<ByteSize>().ok(), expected.map(ByteSize), "{text}");
}

#[test]
fn human_units_are_read() {
    check("64 MiB", Some(64 << 20));
    check("64MiB", Some(64 << 20));
    check("1 gb", Some(1_000_000_000));
    check("512", Some(512));
    check("7 B", Some(7));
}

#[test]
fn what_is_no_size_is_refused() {
    check("", None);
    check("MiB", None);
    check("1.5 MiB", None);
    check("-1", None);
    check("3 parsecs", None);
    check("99999999999 TiB", None);
}

#[test]
fn printing_is_the_inverse_of_parsing() {
    for bytes in [0, 1, 1_000, 1_024, 1_025, 64 << 20, 3 << 30, 5_000_000] {
        let size = ByteSize(bytes);
        assert_eq!(size.to_string().parse(), Ok(size));
    }
}
