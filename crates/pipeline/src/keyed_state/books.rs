//! The books of a state: one entry that every transaction writes.
//!
//! ```text
//!  0         1             9     17              25             33
//!  +---------+-------------+-----+---------------+--------------+
//!  | version | stream time | ids | evicted early | transactions |
//!  | u8 = 1  | i64 ms      | u64 | u64           | u64          |
//!  +---------+-------------+-----+---------------+--------------+
//! ```

use millstream_model::Timestamp;

const VERSION: u8 = 1;
const ENCODED_BYTES: usize = 33;

/// What is known of a state beside its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Books {
    /// The latest accept time of an event that a step saw, clamped to our clock.
    pub time: Timestamp,
    /// The entries that the step holds.
    pub ids: u64,
    /// The entries that were forgotten before their time, ever.
    pub evicted_early: u64,
    /// The transactions that wrote to the changelog, ever.
    pub transactions: u64,
}

impl Books {
    /// Encodes the books as version 1.
    pub fn encode(&self) -> [u8; ENCODED_BYTES] {
        let Self { time, ids, evicted_early, transactions } = *self;
        let mut bytes = [0; ENCODED_BYTES];
        bytes[0] = VERSION;
        bytes[1..9].copy_from_slice(&time.as_millis().to_le_bytes());
        bytes[9..17].copy_from_slice(&ids.to_le_bytes());
        bytes[17..25].copy_from_slice(&evicted_early.to_le_bytes());
        bytes[25..].copy_from_slice(&transactions.to_le_bytes());
        bytes
    }

    /// Reads what [`Books::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[VERSION], words) = bytes.split_first_chunk()? else { return None };
        let (words, []) = words.as_chunks::<8>() else { return None };
        let [time, ids, evicted_early, transactions] = <&[[u8; 8]; 4]>::try_from(words).ok()?;
        Some(Self {
            time: Timestamp::from_millis(i64::from_le_bytes(*time)),
            ids: u64::from_le_bytes(*ids),
            evicted_early: u64::from_le_bytes(*evicted_early),
            transactions: u64::from_le_bytes(*transactions),
        })
    }
}
