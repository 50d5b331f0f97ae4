//! Names of keys at a glance: whether one has an escape, and whether two may be the same.

use super::Node;

/// Looks for a backslash, eight bytes at a time: names are short, and a call would cost more.
#[inline]
pub(super) fn has_backslash(name: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const BACKSLASHES: u64 = ONES * b'\\' as u64;
    // A byte of `word` is zero exactly where the name has a backslash (Mycroft's test).
    let has = |bytes: [u8; 8]| {
        let word = u64::from_le_bytes(bytes) ^ BACKSLASHES;
        word.wrapping_sub(ONES) & !word & (ONES << 7) != 0
    };
    let (words, rest) = name.as_chunks::<8>();
    words.iter().any(|word| has(*word))
        || match name.last_chunk::<8>() {
            Some(last) => has(*last),
            None => rest.contains(&b'\\'),
        }
}

/// Above this many keys, finding those that occur twice is done by sorting.
pub(super) const KEYS_COMPARED_MAX: usize = 64;

/// Whether two keys of an object may be the same, from their tags alone.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Two bits of each tag: a tag seen before has found both.
    low: u64,
    high: u64,
    pub(super) maybe_twice: bool,
}

impl Seen {
    /// Adds the tag of a key; `before` are the keys before it.
    #[inline(always)]
    pub(super) fn insert(&mut self, tag: u32, before: &[Node]) {
        let (low, high) = (1_u64 << (tag & 63), 1_u64 << (tag >> 26));
        if self.low & low != 0 && self.high & high != 0 {
            // With many keys a search per key would add up: they are sorted later in any case.
            let is_many = before.len() > KEYS_COMPARED_MAX;
            self.maybe_twice |= is_many || before.iter().any(|node| node.tag == tag);
        }
        self.low |= low;
        self.high |= high;
    }
}
