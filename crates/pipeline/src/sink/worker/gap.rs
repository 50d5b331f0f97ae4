//! A registered position that lies beyond the sink's own, with control records alone between.
//!
//! On Kafka each transaction leaves a control record behind its records. A sink learns of it with
//! an empty fetch, and a commit of the table is too dear for that; but a position that stays one
//! offset behind shows as lag for ever. So the log's position moves on alone, and the mark
//! [`GAP_SOURCE`] says which position of the sink it stands for:
//!
//! ```text
//!   sink:        … rows ──────▶ T                      mark: (T, C)
//!   registered:  … ───────────▶ T ── control records ─▶ C
//! ```

use bytes::Bytes;
use millstream_log::{Committed, Consumed, Transaction};
use millstream_model::{LogPosition, Offset, SourceId, TopicPartition};

/// The source id under which a sink's task notes which position of the sink it stands for.
pub const GAP_SOURCE: &str = "ms.sink.gap";

const VERSION: u8 = 1;

/// Returns the transaction that moves the registered position of a sink that stands at `stored`.
pub(super) fn transaction(
    partition: &TopicPartition,
    stored: LogPosition,
    reached: LogPosition,
) -> Transaction {
    let mut mark = vec![VERSION];
    mark.extend_from_slice(&stored.offset.0.to_le_bytes());
    mark.extend_from_slice(&reached.offset.0.to_le_bytes());
    Transaction {
        records: Vec::new(),
        consumed: vec![Consumed { partition: partition.clone(), next: reached }],
        positions: vec![(source_id(), Bytes::from(mark))],
    }
}

/// Returns the position of the sink that the registered one stands for.
pub(super) fn registered(committed: &Committed, partition: &TopicPartition) -> Option<LogPosition> {
    let registered = *committed.consumed.get(partition)?;
    let mark = committed.positions.get(&source_id()).and_then(|mark| decode(mark));
    // The mark of an earlier gap says nothing about this position.
    let stored = mark.filter(|(_, reached)| *reached == registered.offset);
    Some(stored.map_or(registered, |(offset, _)| LogPosition { offset, ..registered }))
}

fn source_id() -> SourceId {
    SourceId::new(GAP_SOURCE).expect("the constant is a source id")
}

fn decode(mark: &[u8]) -> Option<(Offset, Offset)> {
    let rest = mark.strip_prefix(&[VERSION])?;
    let (stored, rest) = rest.split_first_chunk()?;
    let reached = <&[u8; 8]>::try_from(rest).ok()?;
    let (stored, reached) = (u64::from_le_bytes(*stored), u64::from_le_bytes(*reached));
    (stored <= reached).then_some((Offset(stored), Offset(reached)))
}

#[cfg(test)]
mod tests;
