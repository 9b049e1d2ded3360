//! ROUGE (Lin 2004).

use serde::Serialize;

use super::ngrams::{common, counts};

/// F1 of a text by three measures, each from 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rouge {
    /// Of words.
    pub rouge1: f64,
    /// Of pairs of words.
    pub rouge2: f64,
    /// Of the longest common subsequence of words.
    pub rouge_l: f64,
}

impl Rouge {
    /// Scores a text; of several references, the best by each measure.
    ///
    /// Equals `rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False).score_multi` of
    /// rouge_score 0.1.2.
    pub fn of(text: &str, references: &[impl AsRef<str>]) -> Self {
        let words = words(text);
        references.iter().fold(Self::default(), |best, reference| {
            let reference = self::words(reference.as_ref());
            let of_runs = |length: usize| {
                let (found, wanted) = (counts(&words, length), counts(&reference, length));
                f1(common(&found, &wanted), found.values().sum(), wanted.values().sum())
            };
            Self {
                rouge1: best.rouge1.max(of_runs(1)),
                rouge2: best.rouge2.max(of_runs(2)),
                rouge_l: best.rouge_l.max(f1(
                    longest_common(&words, &reference),
                    words.len(),
                    reference.len(),
                )),
            }
        })
    }
}

/// Means over texts.
#[derive(Clone, Copy, Debug, Default)]
pub struct RougeScores {
    sum: Rouge,
    texts: usize,
}

impl RougeScores {
    /// Adds a text.
    pub fn add(&mut self, score: Rouge) {
        self.sum.rouge1 += score.rouge1;
        self.sum.rouge2 += score.rouge2;
        self.sum.rouge_l += score.rouge_l;
        self.texts += 1;
    }

    /// The means; 0 without texts.
    pub fn mean(&self) -> Rouge {
        let mean = |sum: f64| sum / self.texts.max(1) as f64;
        Rouge {
            rouge1: mean(self.sum.rouge1),
            rouge2: mean(self.sum.rouge2),
            rouge_l: mean(self.sum.rouge_l),
        }
    }
}

/// Runs of ASCII letters and digits, in small letters.
fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// 0 where nothing is in common.
fn f1(common: usize, found: usize, wanted: usize) -> f64 {
    if common == 0 {
        return 0.0;
    }
    let (precision, recall) = (common as f64 / found as f64, common as f64 / wanted as f64);
    2.0 * precision * recall / (precision + recall)
}

/// The length of the longest common subsequence.
fn longest_common(left: &[String], right: &[String]) -> usize {
    let mut row = vec![0; right.len() + 1];
    for word in left {
        let mut diagonal = 0;
        for (place, other) in right.iter().enumerate() {
            let above = row[place + 1];
            row[place + 1] = if word == other { diagonal + 1 } else { above.max(row[place]) };
            diagonal = above;
        }
    }
    row[right.len()]
}
