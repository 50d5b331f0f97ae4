use super::*;

#[test]
fn a_prefix_holds_exactly_the_keys_that_begin_with_it() {
    let keys: [&[u8]; 9] =
        [b"", b"a", b"ab", b"ab\xff", b"ab\xff\xffz", b"ac", b"\xff", b"\xff\xff", b"\xff\xff\x01"];
    for prefix in keys {
        let range = KeyRange::prefix(prefix);
        for key in keys {
            assert_eq!(range.contains(key), key.starts_with(prefix), "{prefix:?} {key:?}");
        }
    }
}

#[test]
fn a_range_that_ends_before_it_starts_is_empty() {
    let range = KeyRange::between(b"b", b"a");
    assert!([&b"a"[..], b"b", b"c"].iter().all(|key| !range.contains(key)));
}
