//! Frame heads survive the way to the disk and back, and nothing else does.

use millstream_model::{Incarnation, Timestamp};

use super::{Kind, NoHead, Stamp, VERSION, decode, encode};

const STAMP: Stamp = Stamp {
    previous: 7,
    incarnation: Incarnation(42),
    durable_end: 4096,
    time: Timestamp::from_millis(-5),
};

fn encoded() -> Vec<u8> {
    let mut buf = Vec::new();
    encode(&mut buf, Kind::Append, STAMP, 10, |buf| buf.extend_from_slice(b"fields"));
    buf
}

#[test]
fn a_head_is_decoded_as_it_was_encoded() {
    let bytes = encoded();
    let head = decode(&bytes).unwrap();
    assert_eq!((head.kind, head.stamp, head.body_len), (Kind::Append, STAMP, 10));
    assert_eq!(head.fields, b"fields");
    assert_eq!(head.frame_len(), bytes.len() as u64 + 10);
}

#[test]
fn a_head_with_any_bit_flipped_or_any_byte_missing_is_refused() {
    let bytes = encoded();
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(decode(&bytes).is_err(), "bit {bit}");
    }
    for len in 0..bytes.len() {
        assert!(decode(&bytes[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn a_newer_version_is_named() {
    let mut bytes = encoded();
    bytes[16] = VERSION + 1;
    let crc = crc32c::crc32c(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(decode(&bytes).unwrap_err(), NoHead::Version(VERSION + 1));
}
