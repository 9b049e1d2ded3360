//! Generated texts, and their scores against the right ones.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use temper_data::{TextPair, TextTokenizer};
use temper_metrics::bootstrap_interval;
use temper_metrics::texts::{Bleu, Chrf, Rouge, RougeScores};

use super::{Decoded, Output, Predictions, ScoredPredictions, Scores};
use crate::examples::Features;
use crate::terminal::field;

/// Seed of the resamples that an interval is of.
const INTERVAL_SEED: u64 = 42;

/// What a model generates for a source.
#[derive(Clone, Debug, Default)]
pub(super) struct GeneratedText {
    /// The text.
    pub(super) text: String,
    /// Tokens of the right target, and their loss in nats after the right ones before.
    pub(super) tokens: usize,
    pub(super) loss: f64,
}

/// What a model writes of some sources.
pub(super) struct WrittenTexts {
    tokenizer: TextTokenizer,
    rows: Arc<[TextPair]>,
    /// The row that each feature is of.
    examples: Arc<Vec<usize>>,
    written: Vec<GeneratedText>,
}

impl WrittenTexts {
    /// None yet.
    pub(super) fn new(tokenizer: TextTokenizer, rows: Arc<[TextPair]>, features: &Features) -> Self {
        let written = vec![GeneratedText::default(); rows.len()];
        Self { tokenizer, rows, examples: features.examples.clone(), written }
    }

    /// Takes what was written otherwise than by a model.
    pub(super) fn give(&mut self, example: usize, written: GeneratedText) {
        self.written[example] = written;
    }

    fn rouge(&self, example: usize) -> Rouge {
        Rouge::of(&self.written[example].text, &[&self.rows[example].target])
    }

    fn is_exact(&self, example: usize) -> bool {
        self.written[example].text.trim() == self.rows[example].target.trim()
    }
}

impl Predictions for WrittenTexts {
    fn add(&mut self, feature: usize, output: Output) {
        let losses = output.logits.chunks(2).map(|row| f64::from(row[0]));
        self.written[self.examples[feature]] = GeneratedText {
            text: self.tokenizer.decode(&output.written).unwrap_or_default(),
            tokens: output.logits.len() / 2,
            loss: losses.sum(),
        };
    }

    fn decode(&self, example: usize) -> Decoded {
        let text = &self.written[example].text;
        let fields = Map::from_iter([("written".to_owned(), json!(text))]);
        Decoded { line: field(text).into_owned(), fields }
    }
}

impl ScoredPredictions for WrittenTexts {
    fn expected(&self, example: usize) -> Option<Value> {
        Some(json!(self.rows[example].target))
    }

    /// ROUGE from 0 to 1; BLEU and chrF from 0 to 100, as their field writes them.
    fn scores(&self) -> Scores {
        let (mut rouge, mut bleu, mut chrf) = (RougeScores::default(), Bleu::default(), Chrf::default());
        let (mut copied, mut exact) = (RougeScores::default(), 0);
        let mut of_texts = Vec::with_capacity(self.rows.len());
        for (example, (row, written)) in self.rows.iter().zip(&self.written).enumerate() {
            let score = self.rouge(example);
            of_texts.push(score.rouge_l);
            rouge.add(score);
            bleu.add(&written.text, &[&row.target]);
            chrf.add(&written.text, &[&row.target]);
            copied.add(Rouge::of(&row.source, &[&row.target]));
            exact += usize::from(self.is_exact(example));
        }
        let tokens: usize = self.written.iter().map(|written| written.tokens).sum();
        let loss: f64 = self.written.iter().map(|written| written.loss).sum();
        let mean = rouge.mean();
        let metrics = [
            ("rouge_l", mean.rouge_l),
            ("rouge1", mean.rouge1),
            ("rouge2", mean.rouge2),
            ("bleu", bleu.score()),
            ("chrf", chrf.score()),
            ("exact", exact as f64 / self.rows.len().max(1) as f64),
            ("loss", loss / tokens.max(1) as f64),
        ];
        let of = |texts: &[usize]| texts.iter().map(|&text| of_texts[text]).sum::<f64>() / texts.len() as f64;
        Scores {
            metrics: metrics.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            lower_is_better: false,
            interval: bootstrap_interval(of_texts.len(), INTERVAL_SEED, of),
            baseline: copied.mean().rouge_l,
            baseline_name: "the source itself",
            confusion: None,
            calibration: None,
            tables: Vec::new(),
        }
    }

    /// ROUGE-L of each text.
    fn example_scores(&self) -> Vec<f64> {
        (0..self.rows.len()).map(|example| self.rouge(example).rouge_l).collect()
    }

    fn worst(&self, count: usize) -> Vec<(usize, String)> {
        let mean = |example: usize| self.written[example].loss / self.written[example].tokens.max(1) as f64;
        let mut wrong: Vec<usize> = (0..self.rows.len()).filter(|&example| !self.is_exact(example)).collect();
        wrong.sort_by(|&left, &right| mean(right).total_cmp(&mean(left)));
        let explain = |example: usize| {
            let (written, target) = (&self.written[example].text, &self.rows[example].target);
            (example, format!("{written}; should be: {target}"))
        };
        wrong.into_iter().take(count).map(explain).collect()
    }
}
