//! Randomness, behind a seam: seeded in tests, from the operating system in production.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng};

/// A source of random numbers; the same seed gives the same numbers.
#[derive(Debug)]
pub struct Rng(StdRng);

impl Rng {
    /// Seeds from the operating system.
    pub fn from_os() -> Self {
        Self(StdRng::from_os_rng())
    }

    /// Seeds from a number, for tests that print it.
    pub fn from_seed(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// Returns 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.random()
    }

    /// Returns 128 random bits.
    pub fn next_u128(&mut self) -> u128 {
        self.0.random()
    }

    /// Returns a number below `bound`.
    ///
    /// # Panics
    /// When `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.random_range(0..bound)
    }

    /// Returns true `numerator` times out of `denominator`.
    ///
    /// # Panics
    /// When the fraction is above one or the denominator is zero.
    pub fn chance(&mut self, numerator: u32, denominator: u32) -> bool {
        self.0.random_ratio(numerator, denominator)
    }
}
