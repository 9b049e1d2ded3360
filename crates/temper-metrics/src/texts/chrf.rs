//! chrF (Popović 2015), as sacrebleu computes it.

use super::ngrams::{common, counts};
use crate::answers::is_space;

/// Characters of the longest run that counts.
const LONGEST: usize = 6;
/// How much more recall counts than precision, squared.
const FACTOR: f64 = 4.0;

/// Runs of each length that a text has, that its reference has, and that both have.
type Statistics = [[usize; 3]; LONGEST];

/// chrF of a corpus: sums over its texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chrf {
    sums: Statistics,
}

impl Chrf {
    /// Adds a text with the reference that is best for it.
    pub fn add(&mut self, text: &str, references: &[impl AsRef<str>]) {
        let characters = characters(text);
        let statistics = references.iter().map(|reference| {
            let reference = self::characters(reference.as_ref());
            std::array::from_fn(|index| {
                let (found, wanted) = (counts(&characters, index + 1), counts(&reference, index + 1));
                // What is found counts only where something is wanted.
                let of_text = if wanted.is_empty() { 0 } else { found.values().sum() };
                [of_text, wanted.values().sum(), common(&found, &wanted)]
            })
        });
        // Of equally good ones the first.
        let best = statistics.reduce(|best, next| if score(&next) > score(&best) { next } else { best });
        let best: Statistics = best.unwrap_or_default();
        for (sums, counts) in self.sums.iter_mut().zip(best) {
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }

    /// chrF2 from 0 to 100.
    ///
    /// Equals `sacrebleu.corpus_chrf(texts, references).score` of sacrebleu 2.6.0.
    pub fn score(&self) -> f64 {
        score(&self.sums)
    }
}

fn score(statistics: &Statistics) -> f64 {
    let counted = statistics.iter().filter(|[found, wanted, _]| *found > 0 && *wanted > 0);
    let (mut precision, mut recall, mut lengths) = (0.0, 0.0, 0.0);
    for &[found, wanted, both] in counted {
        precision += both as f64 / found as f64;
        recall += both as f64 / wanted as f64;
        lengths += 1.0;
    }
    if precision + recall == 0.0 {
        return 0.0;
    }
    let (precision, recall) = (precision / lengths, recall / lengths);
    100.0 * (1.0 + FACTOR) * precision * recall / (FACTOR * precision + recall)
}

/// The characters of a text without white space.
fn characters(text: &str) -> Vec<char> {
    text.chars().filter(|&character| !is_space(character)).collect()
}
