//! When each event was sent, or seen: one moment for each event's number.
//!
//! Sender and watcher are different processes, so moments are wall-clock time in microseconds, and
//! each process leaves its own in a file.

use std::fs;
use std::path::Path;
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, ensure};

use crate::report::Latency;

/// A moment for each number; zero where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moments(Vec<u64>);

impl Moments {
    /// Makes room for the numbers `0..events`.
    pub(crate) fn new(events: u64) -> Result<Self> {
        Ok(Self(vec![0; usize::try_from(events)?]))
    }

    /// Notes the moment of a number; a second one is an error.
    pub(crate) fn note(&mut self, number: u64, micros: u64) -> Result<()> {
        let moment = self.0.get_mut(usize::try_from(number)?);
        let moment = moment.with_context(|| format!("event {number} was never sent"))?;
        ensure!(*moment == 0, "event {number} is there twice");
        *moment = micros;
        Ok(())
    }

    /// Writes all of them to a file.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|moment| moment.to_le_bytes()).collect();
        fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
    }

    /// Reads them from a file.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let (moments, rest) = bytes.as_chunks();
        ensure!(rest.is_empty(), "{} ends in the middle of a moment", path.display());
        Ok(Self(moments.iter().map(|moment| u64::from_le_bytes(*moment)).collect()))
    }
}

/// The time now, as processes of one machine share it.
#[expect(clippy::disallowed_methods, reason = "two processes measure with one clock")]
pub(crate) fn now_micros() -> u64 {
    let now = std::time::SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
}

/// From the first event that was sent to the last that was seen, in seconds, and the percentiles of
/// the time between, over all that were seen.
pub(crate) fn compare(sent: &Moments, seen: &Moments) -> Result<(f64, Latency)> {
    ensure!(sent.0.len() == seen.0.len(), "not the same number of events");
    let pairs = sent.0.iter().zip(&seen.0).filter(|(_, seen)| **seen != 0);
    let mut millis: Vec<f64> = pairs.map(|(sent, seen)| millis(*sent, *seen)).collect();
    ensure!(!millis.is_empty() && !sent.0.contains(&0), "events that were not sent");
    millis.sort_by(f64::total_cmp);
    let (first, last) = (sent.0.iter().min(), seen.0.iter().max());
    let seconds = match (first, last) {
        (Some(first), Some(last)) => millis_between(*first, *last) / 1000.0,
        _ => f64::NAN,
    };
    Ok((seconds, Latency::of_sorted(&millis)))
}

/// A clock that was set back between the two shows as no time at all.
fn millis(sent: u64, seen: u64) -> f64 {
    millis_between(sent, seen.max(sent))
}

#[expect(clippy::cast_precision_loss, reason = "differences stay below 2^53")]
fn millis_between(first: u64, last: u64) -> f64 {
    last.saturating_sub(first) as f64 / 1000.0
}

#[cfg(test)]
mod tests;
