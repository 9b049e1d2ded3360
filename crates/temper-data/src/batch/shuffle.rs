//! Shuffling that is the same on every machine and with every version of `rand`.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Sets these streams apart from any other use of the same seed.
const PURPOSE: &[u8; 16] = b"temper epoch v1\0";

/// The generator of one epoch: ChaCha with 8 rounds, its key made of seed and epoch (both
/// little-endian) and the purpose.
pub(super) fn epoch_generator(seed: u64, epoch: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    key[16..].copy_from_slice(PURPOSE);
    ChaCha8Rng::from_seed(key)
}

/// Fisher-Yates from the last element to the second.
pub(super) fn shuffle(items: &mut [usize], generator: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        let other = below(last as u64 + 1, generator);
        items.swap(last, other as usize);
    }
}

/// A whole number below `bound`: the high half of `bound` times a 64-bit draw. One draw each
/// time; the bias is at most `bound` / 2^64.
fn below(bound: u64, generator: &mut ChaCha8Rng) -> u64 {
    ((u128::from(bound) * u128::from(generator.next_u64())) >> 64) as u64
}
