//! Choosing among scores: the best, or drawn. In f32 on the host, as transformers does.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Sets these streams apart from any other use of the same seed.
const PURPOSE: &[u8; 8] = b"generate";

/// The logarithms of the probabilities that scores stand for.
pub fn log_softmax(scores: &mut [f32]) {
    let highest = highest(scores);
    let sum: f32 = scores.iter().map(|score| (score - highest).exp()).sum();
    let log = sum.ln();
    scores.iter_mut().for_each(|score| *score = *score - highest - log);
}

/// The probabilities that scores stand for.
pub fn softmax(scores: &[f32]) -> Vec<f32> {
    let highest = highest(scores);
    let powers: Vec<f32> = scores.iter().map(|score| (score - highest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

fn highest(scores: &[f32]) -> f32 {
    scores.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// Places of the `count` best scores, best first; of equal ones the earlier.
pub fn best(scores: &[f32], count: usize) -> Vec<usize> {
    let mut places: Vec<usize> = Vec::with_capacity(count + 1);
    for (place, score) in scores.iter().enumerate() {
        let is_full = places.len() == count;
        if is_full && places.last().is_none_or(|&last| *score <= scores[last]) {
            continue;
        }
        let at = places.partition_point(|&other| scores[other] >= *score);
        places.insert(at, place);
        places.truncate(count);
    }
    places
}

/// Draws for one prompt. Its stream depends on the seed, the prompt and how often the same prompt came
/// before: not on what else is generated next to it, and it is the same on every machine.
#[derive(Clone, Debug)]
pub struct Sampler(ChaCha8Rng);

impl Sampler {
    /// The stream of a prompt that came `repetition` times before.
    pub fn new(seed: u64, prompt: &[u32], repetition: u64) -> Self {
        // FNV-1a, a byte at a time.
        let bytes = prompt.iter().flat_map(|id| id.to_le_bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&hash.to_le_bytes());
        key[16..24].copy_from_slice(&repetition.to_le_bytes());
        key[24..].copy_from_slice(PURPOSE);
        Self(ChaCha8Rng::from_seed(key))
    }

    /// A place, with the probability that its score stands for.
    pub fn draw(&mut self, scores: &[f32]) -> usize {
        let weights = softmax(scores);
        self.draw_weighted(&weights).unwrap_or(0)
    }

    /// Different places, one after the other, each with its share of what is left. Where nothing is left,
    /// the best of the others follow.
    pub fn draw_distinct(&mut self, scores: &[f32], count: usize) -> Vec<usize> {
        let mut weights = softmax(scores);
        let mut places = Vec::with_capacity(count);
        while places.len() < count {
            let Some(place) = self.draw_weighted(&weights) else { break };
            weights[place] = 0.0;
            places.push(place);
        }
        if places.len() < count {
            let others = best(scores, count + places.len()).into_iter();
            let others = others.filter(|place| !places.contains(place)).take(count - places.len());
            let others: Vec<usize> = others.collect();
            places.extend(others);
        }
        places
    }

    /// A place with its share of all weights; `None` when they are all zero.
    fn draw_weighted(&mut self, weights: &[f32]) -> Option<usize> {
        let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        let goal = self.uniform() * total;
        let mut sum = 0.0;
        let mut last = None;
        for (place, &weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            sum += f64::from(weight);
            last = Some(place);
            if sum > goal {
                break;
            }
        }
        last
    }

    /// A number in `[0, 1)` from the upper 53 bits.
    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }
}
