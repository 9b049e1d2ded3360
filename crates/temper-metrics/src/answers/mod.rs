//! Scores of answers to questions, as the official scripts of SQuAD 1.1 (Rajpurkar et al. 2016) and SQuAD 2.0
//! (Rajpurkar et al. 2018) give them.
//!
//! The scripts differ where an answer is empty in normal form ([`normalize_answer`]): evaluate-v2.0.py leaves such true
//! answers out and gives two empty answers an F1 of 1, evaluate-v1.1.py an F1 of 0.

mod normal;
mod report;

use std::collections::HashMap;

use serde::Serialize;

pub(crate) use normal::is_space;
pub use normal::normalize_answer;
pub use report::{BestThreshold, ScoredQuestion, SquadReport, SquadScores};

/// How good an answer is. The default is that of no answer at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct AnswerScore {
    /// Whether it is a true answer in normal form.
    pub exact: bool,
    /// F1 of its words, against the true answer for which it is highest; from 0 to 1.
    pub f1: f64,
}

impl AnswerScore {
    /// The score under SQuAD 1.1; none without true answers, where evaluate-v1.1.py fails.
    pub fn v1(answer: &str, truth: &[impl AsRef<str>]) -> Option<Self> {
        let answer = normalize_answer(answer);
        let scores = truth.iter().map(|truth| {
            let truth = normalize_answer(truth.as_ref());
            Self { exact: answer == truth, f1: word_f1(&answer, &truth) }
        });
        scores.reduce(Self::highest)
    }

    /// The score under SQuAD 2.0. Without true answers the right answer is an empty one.
    pub fn v2(answer: &str, truth: &[impl AsRef<str>]) -> Self {
        let answer = normalize_answer(answer);
        let truth = truth.iter().map(|truth| normalize_answer(truth.as_ref()));
        let scores = truth.filter(|truth| !truth.is_empty()).map(|truth| {
            let exact = answer == truth;
            Self { exact, f1: word_f1(&answer, &truth) }
        });
        scores.reduce(Self::highest).unwrap_or_else(|| Self::of_no_answer(answer.is_empty()))
    }

    /// The score of what is right or wrong as a whole.
    fn of_no_answer(right: bool) -> Self {
        Self { exact: right, f1: f64::from(u8::from(right)) }
    }

    fn highest(self, other: Self) -> Self {
        Self { exact: self.exact || other.exact, f1: self.f1.max(other.f1) }
    }
}

/// F1 of the words of two answers in normal form; a word counts as often as it is in both. 0 where they share none.
fn word_f1(answer: &str, truth: &str) -> f64 {
    let mut left: HashMap<&str, usize> = HashMap::new();
    truth.split_ascii_whitespace().for_each(|word| *left.entry(word).or_default() += 1);
    let same = answer.split_ascii_whitespace().filter(|word| match left.get_mut(word) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    });
    let same = same.count();
    if same == 0 {
        return 0.0;
    }
    let words = |text: &str| text.split_ascii_whitespace().count() as f64;
    let (precision, recall) = (same as f64 / words(answer), same as f64 / words(truth));
    2.0 * precision * recall / (precision + recall)
}
