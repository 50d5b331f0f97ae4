//! Fingerprints of key names: one integer comparison tells most names apart.

use std::ops::Range;

/// The first bytes of a name, of which a fingerprint is made.
const HEAD_BYTES: usize = 16;

/// An odd number without a pattern in its bits.
const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

/// For each length what is left of the sixteen bytes that begin with a name.
static MASKS: [[u64; 2]; HEAD_BYTES + 1] = {
    let mut masks = [[0; 2]; HEAD_BYTES + 1];
    let mut length = 1;
    while length <= HEAD_BYTES {
        let mask = u128::MAX >> (128 - 8 * length);
        masks[length] = [mask as u64, (mask >> 64) as u64];
        length += 1;
    }
    masks
};

/// Returns a 32-bit fingerprint of `name`.
///
/// Equal names have equal tags; the converse is checked by comparing the bytes.
pub(super) fn tag_of(name: &str) -> u32 {
    tag_within(name.as_bytes(), 0..name.len())
}

/// Returns the fingerprint of the name that stands at `name` in `text`.
///
/// From its length, its first sixteen bytes, and, if it is longer, its last eight. What follows
/// the name in the text makes this fast: sixteen bytes are loaded at once and cut.
#[inline(always)]
pub(super) fn tag_within(text: &[u8], name: Range<usize>) -> u32 {
    let length = name.len();
    let head = match text[name.start..].first_chunk::<HEAD_BYTES>() {
        Some(bytes) => *bytes,
        None => short(&text[name.clone()]),
    };
    let word = |at: usize| u64::from_le_bytes(head.as_chunks::<8>().0[at]);
    let [low, high] = MASKS[length.min(HEAD_BYTES)];
    let mut mixed = (word(0) & low) ^ (word(1) & high).wrapping_mul(MIX) ^ length as u64;
    if let Some(last) = text[name].last_chunk::<8>().filter(|_| length > HEAD_BYTES) {
        mixed ^= u64::from_le_bytes(*last).rotate_left(47);
    }
    (mixed.wrapping_mul(MIX) >> 32) as u32
}

/// The head of a name so near the end of its text that sixteen bytes cannot be loaded.
#[cold]
fn short(name: &[u8]) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    let length = name.len().min(HEAD_BYTES);
    head[..length].copy_from_slice(&name[..length]);
    head
}
