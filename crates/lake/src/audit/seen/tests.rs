//! Tests of the bitmap.

use super::*;

#[test]
fn each_origin_is_new_once() {
    let mut seen = Seen::default();
    for offset in [0, 1, 63, 64, CHUNK_OFFSETS - 1, CHUNK_OFFSETS, u64::from(u32::MAX) * 9] {
        assert!(seen.insert("a", 0, offset));
        assert!(seen.insert("a", 1, offset));
        assert!(seen.insert("b", 0, offset));
        assert!(!seen.insert("a", 0, offset));
    }
}
