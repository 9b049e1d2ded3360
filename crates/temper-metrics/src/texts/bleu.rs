//! BLEU (Papineni et al. 2002), as sacrebleu computes it (Post 2018).

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use super::ngrams::counts;
use crate::answers::is_space;

/// Tokens of the longest run that counts.
const LONGEST: usize = 4;

/// BLEU of a corpus: sums over its texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bleu {
    correct: [usize; LONGEST],
    total: [usize; LONGEST],
    /// Tokens of the texts, and of the reference of each that is nearest in length.
    found: usize,
    wanted: usize,
}

impl Bleu {
    /// Adds a text with its references.
    pub fn add(&mut self, text: &str, references: &[impl AsRef<str>]) {
        let tokens = bleu_tokens(text);
        let references: Vec<Vec<String>> =
            references.iter().map(|reference| bleu_tokens(reference.as_ref())).collect();
        self.found += tokens.len();
        // Of equally near ones the shorter.
        let distance = |length: usize| (length.abs_diff(tokens.len()), length);
        self.wanted += references.iter().map(Vec::len).min_by_key(|&length| distance(length)).unwrap_or(0);
        for length in 1..=LONGEST {
            let mut most: HashMap<&[String], usize> = HashMap::new();
            for reference in &references {
                for (run, count) in counts(reference, length) {
                    let most = most.entry(run).or_default();
                    *most = count.max(*most);
                }
            }
            for (run, count) in counts(&tokens, length) {
                self.correct[length - 1] += count.min(most.get(run).copied().unwrap_or(0));
                self.total[length - 1] += count;
            }
        }
    }

    /// BLEU from 0 to 100.
    ///
    /// Equals `sacrebleu.corpus_bleu(texts, references).score` of sacrebleu 2.6.0: tokens by its 13a, what is never right
    /// smoothed exponentially.
    pub fn score(&self) -> f64 {
        if self.correct.iter().all(|&correct| correct == 0) {
            return 0.0;
        }
        let mut smoothing = 1.0;
        let mut logarithms = 0.0;
        for (&correct, &total) in self.correct.iter().zip(&self.total) {
            if total == 0 {
                // Shorter than that: sacrebleu takes the logarithm of 0 for -9999999999.
                return 0.0;
            }
            let precision = if correct == 0 {
                smoothing *= 2.0;
                100.0 / (smoothing * total as f64)
            } else {
                100.0 * correct as f64 / total as f64
            };
            logarithms += precision.ln();
        }
        let brevity = match self.found {
            0 => 0.0,
            found if found < self.wanted => (1.0 - self.wanted as f64 / found as f64).exp(),
            _ => 1.0,
        };
        brevity * (logarithms / LONGEST as f64).exp()
    }
}

/// A text in tokens as mteval-v13a has them: sacrebleu's default.
pub fn bleu_tokens(text: &str) -> Vec<String> {
    static RULES: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
        let rule = |pattern: &str| Regex::new(pattern).expect("the pattern is constant and valid");
        [
            // Punctuation of ASCII but for ' , - and .
            (rule(r"([\x7B-\x7E\x5B-\x60\x20-\x26\x28-\x2B\x3A-\x40\x2F])"), " $1 "),
            (rule(r"([^0-9])([.,])"), "$1 $2 "),
            (rule(r"([.,])([^0-9])"), " $1 $2"),
            (rule(r"([0-9])(-)"), "$1 $2 "),
        ]
    });
    let mut line = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    for (entity, character) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
        line = line.replace(entity, character);
    }
    line = format!(" {line} ");
    for (pattern, replacement) in RULES.iter() {
        line = pattern.replace_all(&line, *replacement).into_owned();
    }
    line.split(is_space).filter(|token| !token.is_empty()).map(str::to_owned).collect()
}
