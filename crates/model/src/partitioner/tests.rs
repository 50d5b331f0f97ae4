use super::*;

/// The values stand in Kafka's own `UtilsTest.testMurmur2`.
#[test]
fn murmur2_gives_the_values_of_kafkas_own_test() {
    let cases: [(&[u8], i32); 7] = [
        (b"21", -973_932_308),
        (b"foobar", -790_332_482),
        (b"a-little-bit-long-string", -985_981_536),
        (b"a-little-bit-longer-string", -1_486_304_829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        (b"abc", 479_470_107),
        (b"", 275_646_681),
    ];
    for (key, expected) in cases {
        assert_eq!(murmur2(key).cast_signed(), expected, "{key:?}");
    }
}

#[test]
fn a_partition_is_always_in_range() {
    for count in 1..40 {
        for key in 0_u32..200 {
            assert!(partition_of(&key.to_le_bytes(), count).0 < count);
        }
    }
}
