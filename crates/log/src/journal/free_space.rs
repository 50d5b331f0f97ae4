//! How much of the disk is free, without asking it at every commit.
//!
//! What the journal itself wrote since it asked is subtracted; what others write shows a tenth of
//! a second later. Nothing that must hold depends on the answer: it only decides when intake is
//! refused early. A disk that is full before that refuses the allocation ahead of a group, before
//! anything of it is written, and what positions need is set aside already.

use std::time::Duration;

use tokio::time::Instant;

/// How long an answer is used.
const AGE_MAX: Duration = Duration::from_millis(100);

/// What the disk said when it was last asked.
#[derive(Debug, Default)]
pub(super) struct FreeSpace {
    answer: Option<Answer>,
}

#[derive(Debug, Clone, Copy)]
struct Answer {
    at: Instant,
    free: u64,
    /// The bytes of the journal's files at that moment.
    bytes_used: u64,
}

impl FreeSpace {
    /// Returns the free bytes while the journal's files have `bytes_used`; asks when the last
    /// answer is too old.
    pub(super) fn bytes(&mut self, bytes_used: u64, ask: impl FnOnce() -> u64) -> u64 {
        let fresh = self.answer.filter(|answer| answer.at.elapsed() < AGE_MAX);
        let answer =
            fresh.unwrap_or_else(|| Answer { at: Instant::now(), free: ask(), bytes_used });
        self.answer = Some(answer);
        answer.free.saturating_sub(bytes_used.saturating_sub(answer.bytes_used))
    }

    /// Forgets the last answer: room was made or taken that the journal's bytes do not show.
    pub(super) fn forget(&mut self) {
        self.answer = None;
    }
}

#[cfg(test)]
mod tests;
