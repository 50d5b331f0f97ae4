//! Deterministic routing: murmur2 as Kafka's Java client computes it.
//!
//! The same bytes go to the same partition on the journal and on Kafka, whoever produced them.

use crate::PartitionId;

/// Returns the partition of `count` that `key` belongs to.
///
/// # Panics
/// When `count` is zero.
pub fn partition_of(key: &[u8], count: u32) -> PartitionId {
    assert!(count > 0, "a topic has at least one partition");
    // Kafka: `Utils.toPositive(Utils.murmur2(key)) % numPartitions`.
    PartitionId((murmur2(key) & 0x7fff_ffff) % count)
}

/// Returns the 32-bit murmur2 of `data` with Kafka's seed.
pub fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    // Kafka's lengths are 32-bit: longer input never reaches a partitioner.
    #[expect(clippy::cast_possible_truncation, reason = "records are bounded far below 4 GiB")]
    let mut hash = SEED ^ (data.len() as u32);
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests;
