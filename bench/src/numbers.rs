//! The numbers of events that were found: a bit each, so that a second one of a kind is noticed.

use anyhow::{Result, ensure};

/// A set of numbers that remembers no number twice.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    bits: Vec<u64>,
    count: u64,
}

impl Numbers {
    /// Adds a number; a second time is an error.
    pub(crate) fn add(&mut self, number: u64) -> Result<()> {
        let word = usize::try_from(number / 64)?;
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        let bit = 1 << (number % 64);
        ensure!(self.bits[word] & bit == 0, "event {number} is stored twice");
        self.bits[word] |= bit;
        self.count += 1;
        Ok(())
    }

    /// Demands exactly the numbers `0..count`.
    pub(crate) fn expect_exactly(&self, count: u64) -> Result<()> {
        let missing = (0..count).find(|number| !self.contains(*number));
        ensure!(
            missing.is_none(),
            "event {} was acknowledged and is not there",
            missing.unwrap_or(0)
        );
        ensure!(self.count == count, "{} events are there, {count} were sent", self.count);
        Ok(())
    }

    fn contains(&self, number: u64) -> bool {
        let word = usize::try_from(number / 64).ok().and_then(|word| self.bits.get(word));
        word.is_some_and(|word| word & (1 << (number % 64)) != 0)
    }
}

#[cfg(test)]
mod tests;
