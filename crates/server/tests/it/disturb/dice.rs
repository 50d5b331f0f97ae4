//! Cards drawn in a seeded order: none is missing in a long run, and nobody knows the next one.

use millstream_runtime::Rng;

/// A deck that is shuffled anew whenever it is used up.
#[derive(Debug)]
pub(crate) struct Deck<T> {
    cards: Vec<T>,
    left: Vec<T>,
}

impl<T: Copy> Deck<T> {
    /// Takes the cards, at least one.
    pub(crate) fn new(cards: Vec<T>) -> Self {
        Self { cards, left: Vec::new() }
    }

    /// Draws the next card.
    pub(crate) fn draw(&mut self, rng: &mut Rng) -> T {
        if self.left.is_empty() {
            self.left.clone_from(&self.cards);
        }
        let number = rng.below(self.left.len() as u64);
        self.left.swap_remove(usize::try_from(number).unwrap())
    }
}
