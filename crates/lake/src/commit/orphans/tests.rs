//! Tests of what a file's name says.

use super::*;

#[test]
fn only_our_names_tell_when_a_file_was_begun() {
    let id = uuid::Builder::from_unix_timestamp_millis(1_795_341_600_123, &[7; 10]).into_uuid();
    let at = Some(Timestamp::from_millis(1_795_341_600_123));
    assert_eq!(begun(&format!("ms-{id}.parquet")), at);
    assert_eq!(begun(&format!("ms-{id}-0-m0.avro")), at);
    assert_eq!(begun(&format!("00012-{id}.metadata.json")), at);
    let random = Uuid::from_u128(0x1234_5678_9abc_4def_8123_4567_89ab_cdef);
    assert_eq!(begun(&format!("00012-{random}.metadata.json")), None);
    assert_eq!(begun(&format!("00000-0-{id}.parquet")), None);
    assert_eq!(begun("ms-.parquet"), None);
    assert_eq!(begun("version-hint.text"), None);
}
