//! Frames on their way to the disk, and what happens once they are durable.

use millstream_model::Timestamp;

use super::active::Active;
use super::frame::{self, Stamp};
use super::group::StagedFrame;
use super::shared::Shared;
use crate::metrics;

/// A frame whose head is encoded for the place where it will stand.
#[derive(Debug)]
pub(super) struct EncodedFrame {
    pub head: Vec<u8>,
    body_len: u32,
    crc: u32,
    time: Timestamp,
}

impl EncodedFrame {
    /// Returns the bytes of the whole frame.
    pub(super) fn len(&self) -> u64 {
        self.head.len() as u64 + u64::from(self.body_len)
    }
}

/// Returns about how many bytes frames will take.
pub(super) fn frames_bytes(frames: &[StagedFrame]) -> u64 {
    let records = |frame: &StagedFrame| -> u64 {
        frame.change.sections().iter().map(|section| u64::from(section.bytes) + 28).sum()
    };
    frames.iter().map(|frame| records(frame) + frame::HEAD_BYTES_MIN as u64).sum()
}

/// Encodes the heads of frames that will stand behind the end of the active segment.
pub(super) fn encode(
    frames: &[StagedFrame],
    active: &Active,
    time: Timestamp,
) -> Vec<EncodedFrame> {
    let mut previous = active.previous;
    let mut encoded = Vec::with_capacity(frames.len());
    for frame in frames {
        let body: u64 =
            frame.change.sections().iter().map(|section| u64::from(section.bytes)).sum();
        let body_len = u32::try_from(body).expect("a group is bounded by segment_bytes_max, 1 GiB");
        let stamp =
            Stamp { previous, incarnation: active.incarnation, durable_end: active.end, time };
        let mut head = Vec::with_capacity(256);
        previous = frame::encode(&mut head, frame.change.kind(), stamp, body_len, |buf| {
            frame.change.encode(buf);
        });
        encoded.push(EncodedFrame { head, body_len, crc: previous, time });
    }
    encoded
}

/// Takes durable frames over: first the index, then the state, then the readers (L3, L4).
pub(super) fn finish(
    shared: &Shared,
    active: &mut Active,
    encoded: &[EncodedFrame],
    frames: &[StagedFrame],
) {
    let (mut bytes, mut records) = (0, 0);
    for (encoded, frame) in encoded.iter().zip(frames) {
        let body_at = active.end + encoded.head.len() as u64;
        active.end += encoded.len();
        active.previous = encoded.crc;
        let sections = frame.change.sections();
        active.segment.add(sections, body_at, active.end, encoded.time);
        active.has_records |= !sections.is_empty();
        bytes += u64::from(encoded.body_len);
        records += sections.iter().map(|section| u64::from(section.count)).sum::<u64>();
    }
    shared.change_state(|state| {
        for (encoded, frame) in encoded.iter().zip(frames) {
            let applied = state.apply(&frame.change, active.incarnation, encoded.time);
            // The file holds the change already: going on with a state that refuses it would
            // give out offsets twice. Recovery would refuse the file just the same.
            applied.expect("L2, L6: a change was checked against the state before it was written");
        }
    });
    let sections = frames.iter().flat_map(|frame| frame.change.sections());
    let mut keys: Vec<_> = sections.map(|section| section.key).collect();
    keys.sort_unstable();
    keys.dedup();
    shared.publish(keys.into_iter());
    metrics::appended(bytes, records);
}
