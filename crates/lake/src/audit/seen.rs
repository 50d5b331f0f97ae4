//! Which offsets were seen: a bitmap in chunks, small where offsets are dense.

use std::collections::HashMap;

/// Offsets a chunk covers.
const CHUNK_OFFSETS: u64 = 1 << 16;

const WORD_BITS: u64 = 64;

const CHUNK_WORDS: usize = (CHUNK_OFFSETS / WORD_BITS) as usize;

/// The origins of rows seen so far: at most one bit an offset, plus 8 KiB a chunk begun.
#[derive(Debug, Default)]
pub(super) struct Seen {
    partitions: HashMap<String, HashMap<u32, Chunks>>,
}

type Chunks = HashMap<u64, Box<[u64; CHUNK_WORDS]>>;

impl Seen {
    /// Adds an origin; false when it was there.
    pub(super) fn insert(&mut self, topic: &str, partition: u32, offset: u64) -> bool {
        if !self.partitions.contains_key(topic) {
            self.partitions.insert(topic.to_owned(), HashMap::new());
        }
        let partitions = self.partitions.get_mut(topic).expect("inserted above");
        let chunks = partitions.entry(partition).or_default();
        let chunk =
            chunks.entry(offset / CHUNK_OFFSETS).or_insert_with(|| Box::new([0; CHUNK_WORDS]));
        let within = offset % CHUNK_OFFSETS;
        let word = &mut chunk[(within / WORD_BITS) as usize];
        let bit = 1 << (within % WORD_BITS);
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }
}

#[cfg(test)]
mod tests;
