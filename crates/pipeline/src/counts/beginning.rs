//! Where a task began: the offset of each of its inputs before which it never read.
//!
//! A pipeline that is added when retention has already deleted a part of its topic begins behind
//! that part. Its counts say what it read since; the mark says since where, so that `reconcile`
//! neither misses the records before nor takes them for read. It stands among the positions of
//! the task's first transaction and never changes. (A sink keeps the same in its own commits.)
//!
//! **How many records were before?** Where offsets count records ([`LogAdmin::is_gapless`]) it is
//! the offset. On Kafka it is not, and nobody knows exactly: what is gone cannot be counted any
//! more, and the appenders' counts go on while the task begins. What is exact there:
//!
//! * a task that began at offset 0 has nothing before it;
//! * what is in flight, by reading: the records from the reader's position to the end that a
//!   `read_committed` reader sees, counted. Both ends are exact, so is the number between;
//! * what was read, by the task's counts.
//!
//! So the books of such a task are drawn up from where it began: accepted is what it read plus
//! what is counted in flight. Only the comparison with the appender's own count, which includes
//! the unknown number before, is left out for it. [`records_before`] says which case it is.
//!
//! Encoding, version 1, little-endian, inputs in order:
//!
//! ```text
//!  0         1                         each input
//!  +---------+   +---------------+-------+-----------+--------+
//!  | version |   | topic's bytes | topic | partition | offset |
//!  | u8 = 1  |   | u8            | ASCII | u32       | u64    |
//!  +---------+   +---------------+-------+-----------+--------+
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use millstream_log::{Committed, LogAdmin};
use millstream_model::{Classify, ErrorClass, Offset, SourceId, TopicName, TopicPartition};
use thiserror::Error;

/// The source id under which a task notes where it began.
pub const BEGINNING_SOURCE: &str = "ms.begin";

const VERSION: u8 = 1;

/// Where a task began to read each of its inputs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Beginning {
    /// The first offset that the task would have read, by input.
    pub inputs: BTreeMap<TopicPartition, Offset>,
}

/// Bytes that say of no beginning.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BeginningError {
    /// A newer program wrote them.
    #[error("the mark of a beginning has version {found}, this program knows {VERSION}")]
    Version {
        /// What they say.
        found: u8,
    },
    /// They are cut off, too long, or out of order.
    #[error("the mark of a beginning is damaged at byte {at}")]
    Damaged {
        /// Where.
        at: usize,
    },
}

impl Classify for BeginningError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Corrupt
    }
}

impl Beginning {
    /// Notes that a task with a single input begins at `offset`.
    pub fn at(input: TopicPartition, offset: Offset) -> Self {
        Self { inputs: BTreeMap::from([(input, offset)]) }
    }

    /// Returns the source id [`BEGINNING_SOURCE`].
    pub fn source_id() -> SourceId {
        SourceId::new(BEGINNING_SOURCE).expect("the constant is a source id")
    }

    /// Returns where a task that began did so; everywhere at offset 0 when it left no mark.
    pub fn of_committed(committed: &Committed) -> Result<Self, BeginningError> {
        match committed.positions.get(&Self::source_id()) {
            Some(bytes) => Self::decode(bytes),
            None => Ok(Self::default()),
        }
    }

    /// Returns where the task began to read `input`.
    pub fn of(&self, input: &TopicPartition) -> Offset {
        self.inputs.get(input).copied().unwrap_or(Offset::ZERO)
    }

    /// Encodes the mark as version 1.
    pub fn encode(&self) -> Bytes {
        let mut bytes = vec![VERSION];
        for (input, offset) in &self.inputs {
            let topic = input.topic.as_str().as_bytes();
            bytes.push(u8::try_from(topic.len()).expect("a topic's name has at most 249 bytes"));
            bytes.extend_from_slice(topic);
            bytes.extend_from_slice(&input.partition.0.to_le_bytes());
            bytes.extend_from_slice(&offset.0.to_le_bytes());
        }
        Bytes::from(bytes)
    }

    /// Reads what [`Beginning::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, BeginningError> {
        let mut rest = match bytes.split_first() {
            Some((&VERSION, rest)) => rest,
            Some((&found, _)) => return Err(BeginningError::Version { found }),
            None => return Err(BeginningError::Damaged { at: 0 }),
        };
        let mut inputs = BTreeMap::new();
        while !rest.is_empty() {
            let damaged = BeginningError::Damaged { at: bytes.len() - rest.len() };
            let Some((input, offset, after)) = split_input(rest) else { return Err(damaged) };
            let is_in_order = inputs.last_key_value().is_none_or(|(last, _)| *last < input);
            if !is_in_order {
                return Err(damaged);
            }
            inputs.insert(input, offset);
            rest = after;
        }
        Ok(Self { inputs })
    }
}

/// Returns how many records a partition of this log ever held before `offset`; `None` when the
/// log cannot tell.
pub fn records_before(log: &dyn LogAdmin, offset: Offset) -> Option<u64> {
    (offset == Offset::ZERO || log.is_gapless()).then_some(offset.0)
}

fn split_input(bytes: &[u8]) -> Option<(TopicPartition, Offset, &[u8])> {
    let (len, rest) = bytes.split_first()?;
    let (topic, rest) = rest.split_at_checked(usize::from(*len))?;
    let topic = TopicName::new(std::str::from_utf8(topic).ok()?).ok()?;
    let (partition, rest) = rest.split_first_chunk()?;
    let (offset, rest) = rest.split_first_chunk()?;
    let input = TopicPartition::new(topic, u32::from_le_bytes(*partition));
    Some((input, Offset(u64::from_le_bytes(*offset)), rest))
}

#[cfg(test)]
mod tests;
