//! Joined checksums are those of the joined bytes.

use proptest::prelude::*;

use super::combine;

fn check(first: &[u8], second: &[u8]) {
    let joined = crc32c::crc32c(&[first, second].concat());
    let combined = combine(crc32c::crc32c(first), crc32c::crc32c(second), second.len());
    assert_eq!(combined, joined, "{} and {} bytes", first.len(), second.len());
}

proptest! {
    #[test]
    fn a_joined_checksum_is_that_of_the_joined_bytes(
        first in proptest::collection::vec(any::<u8>(), 0..300),
        second in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        check(&first, &second);
    }
}

#[test]
fn long_runs_are_joined_like_short_ones() {
    for len in [0, 1, 69_388, (1 << 20) - 1, 1 << 20] {
        check(b"before", &vec![0xa5; len]);
    }
}

#[test]
fn lengths_beyond_memory_agree_with_the_crate() {
    for len in [1 << 31, (1 << 32) - 1, 1 << 32, (1 << 40) + 12_345] {
        assert_eq!(combine(7, 9, len), crc32c::crc32c_combine(7, 9, len), "{len}");
    }
}
