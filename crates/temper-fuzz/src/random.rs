//! Random choices that depend only on a seed and a number.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A source of choices.
pub struct Random(ChaCha8Rng);

impl Random {
    /// The choices of input `index` under `seed`.
    pub fn new(seed: u64, index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&index.to_le_bytes());
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 where there is none.
    pub fn below(&mut self, bound: usize) -> usize {
        // The bias is of no account here.
        (self.number() % bound.max(1) as u64) as usize
    }

    /// True once in `count` times.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    /// One of the items, of which there is at least one.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// A small number above 0: each is half as likely as the previous one, up to `most`.
    pub fn few(&mut self, most: usize) -> usize {
        (self.number().trailing_ones() as usize + 1).min(most.max(1))
    }

    /// A part of `length` items, at most `most` long: its beginning and its end.
    pub fn range(&mut self, length: usize, most: usize) -> (usize, usize) {
        let start = self.below(length);
        let size = self.below(most.min(length - start) + 1);
        (start, start + size)
    }
}
