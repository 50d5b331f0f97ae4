//! Which blocks of a file have a place on the medium.

/// A set of block numbers, small and dense.
#[derive(Debug, Clone, Default, Hash)]
pub(super) struct Blocks {
    bits: Vec<bool>,
    count: u64,
}

impl Blocks {
    /// The blocks `0..end`.
    pub(super) fn up_to(end: usize) -> Self {
        Self { bits: vec![true; end], count: end as u64 }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn contains(&self, block: usize) -> bool {
        self.bits.get(block).copied().unwrap_or(false)
    }

    pub(super) fn insert(&mut self, block: usize) {
        if self.bits.len() <= block {
            self.bits.resize(block + 1, false);
        }
        self.count += u64::from(!std::mem::replace(&mut self.bits[block], true));
    }

    /// Returns how many of the blocks `0..end` are missing.
    pub(super) fn missing(&self, end: usize) -> u64 {
        let there = self.bits.iter().take(end).filter(|bit| **bit).count();
        (end - there) as u64
    }

    pub(super) fn insert_up_to(&mut self, end: usize) {
        self.count += self.missing(end);
        self.bits.resize(self.bits.len().max(end), false);
        self.bits[..end].fill(true);
    }

    /// Gives back the blocks from `end` on.
    pub(super) fn truncate(&mut self, end: usize) {
        self.bits.truncate(end);
        self.count = self.bits.iter().filter(|bit| **bit).count() as u64;
    }
}
