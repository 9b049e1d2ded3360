//! The best spans that a model finds for a question, over all windows of its context.

use std::cmp::Ordering;
use std::ops::Range;

use super::spans::ContextWindow;

/// Spans that are kept for a question: `n_best_size` of transformers' run_qa.py by default.
pub(super) const KEPT: usize = 20;
/// Tokens of an answer at most: `max_answer_length` of run_qa.py by default.
pub(super) const MAX_TOKENS: usize = 30;

/// A part of a context that may be the answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Span {
    /// In the context; never empty.
    pub(super) bytes: Range<usize>,
    /// Logit of its first token as a start and logit of its last as an end together.
    pub(super) score: f32,
}

impl Span {
    /// Better ones first; of equal ones the earlier, then the shorter.
    fn order(&self, other: &Self) -> Ordering {
        let place = |span: &Self| (span.bytes.start, span.bytes.end);
        other.score.total_cmp(&self.score).then_with(|| place(self).cmp(&place(other)))
    }
}

/// What is known of a question's answer, after some of its windows or all.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct BestSpans {
    /// The best first; a span that several windows have counts once, with its highest score.
    pub(super) spans: Vec<Span>,
    /// The lowest score that a window gives to "no answer in here".
    pub(super) null: Option<f32>,
}

impl BestSpans {
    /// Takes what the model gives for a window. Windows may come in any order.
    ///
    /// transformers' `postprocess_qa_predictions` (utils_qa.py, 5.23) looks among the best 20 starts and the best 20
    /// ends alone; here each span of at most [`MAX_TOKENS`] tokens is looked at.
    ///
    /// # Shapes
    /// - logits: `[tokens of the window, 2]`
    pub(super) fn add(&mut self, window: &ContextWindow, context: &str, logits: &[f32]) {
        let null = logits[2 * window.null] + logits[2 * window.null + 1];
        self.null = Some(self.null.map_or(null, |lowest| lowest.min(null)));
        let (starts, ends): (Vec<f32>, Vec<f32>) = logits[2 * window.first..]
            .chunks_exact(2)
            .take(window.places.len())
            .map(|ends| (ends[0], ends[1]))
            .unzip();
        for (first, &start) in starts.iter().enumerate() {
            for (last, &end) in ends.iter().enumerate().skip(first).take(MAX_TOKENS) {
                let score = start + end;
                // Most fall short of those that are kept; an equal one may come before one of them.
                if self.spans.len() < KEPT || self.spans[KEPT - 1].score <= score {
                    let bytes = window.places[first].0 as usize..window.places[last].1 as usize;
                    self.keep(bytes, score, context);
                }
            }
        }
    }

    /// Keeps a span without the white space around it, if there is anything else.
    fn keep(&mut self, bytes: Range<usize>, score: f32, context: &str) {
        let Some(text) = context.get(bytes.clone()) else { return };
        let start = bytes.start + text.len() - text.trim_start().len();
        let span = Span { bytes: start..start + text.trim().len(), score };
        if span.bytes.is_empty() {
            return;
        }
        if let Some(same) = self.spans.iter().position(|kept| kept.bytes == span.bytes) {
            if self.spans[same].score >= score {
                return;
            }
            self.spans.remove(same);
        }
        let place = self.spans.partition_point(|kept| kept.order(&span) == Ordering::Less);
        self.spans.insert(place, span);
        self.spans.truncate(KEPT);
    }

    /// How much better "no answer" is than the best span; infinite where there is none.
    pub(super) fn null_margin(&self) -> f64 {
        match (self.null, self.spans.first()) {
            (Some(null), Some(best)) => f64::from(null) - f64::from(best.score),
            _ => f64::INFINITY,
        }
    }
}

/// Softmax of scores.
pub(super) fn softmax(scores: &[f32]) -> Vec<f64> {
    let highest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = scores.iter().map(|&score| f64::from(score - highest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
