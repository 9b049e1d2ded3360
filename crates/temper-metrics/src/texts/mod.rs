//! Scores of texts against references: ROUGE as rouge_score 0.1.2, BLEU and chrF as sacrebleu 2.6.0.

mod bleu;
mod chrf;
mod ngrams;
mod rouge;

pub use bleu::{Bleu, bleu_tokens};
pub use chrf::Chrf;
pub use rouge::{Rouge, RougeScores};
