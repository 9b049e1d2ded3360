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
pub(super) struct AnswerSpan {
    /// In the context; never empty.
    pub(super) bytes: Range<usize>,
    /// Logit of its first token as a start and logit of its last as an end together.
    pub(super) score: f32,
}

impl AnswerSpan {
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
    pub(super) spans: Vec<AnswerSpan>,
    /// The lowest score that a window gives to "no answer in here".
    pub(super) null: Option<f32>,
}

impl BestSpans {
    /// Takes what the model gives for a window. Windows may come in any order.
    ///
    /// transformers' `postprocess_qa_predictions` (utils_qa.py, 5.23) looks only at the best 20 starts and the best
    /// 20 ends; here each span of at most [`MAX_TOKENS`] tokens is looked at.
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
        let span = AnswerSpan { bytes: start..start + text.trim().len(), score };
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

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: &str = "a b c d e f";

    /// Two tokens, then the tokens of a context from some letter on, then one more.
    fn window(from: u32, tokens: u32) -> ContextWindow {
        let places = (from..from + tokens).map(|letter| (2 * letter, 2 * letter + 1)).collect();
        ContextWindow { null: 0, first: 2, places }
    }

    /// Logits of a window: those of the null token, and those of the tokens of its context. Other tokens have higher ones.
    fn logits(null: f32, ends: &[(f32, f32)]) -> Vec<f32> {
        let context = ends.iter().flat_map(|&(start, end)| [start, end]);
        [null / 2.0, null / 2.0, 90.0, 90.0].into_iter().chain(context).chain([90.0, 90.0]).collect()
    }

    fn texts(best: &BestSpans) -> Vec<(&str, f32)> {
        best.spans.iter().map(|span| (&CONTEXT[span.bytes.clone()], span.score)).collect()
    }

    #[test]
    fn the_best_spans_come_first_and_none_ends_before_it_begins() {
        let mut best = BestSpans::default();
        best.add(&window(0, 3), CONTEXT, &logits(1.0, &[(0.0, 9.0), (5.0, 0.0), (0.0, 4.0)]));
        let expected = [("a", 9.0), ("b c", 9.0), ("b", 5.0), ("a b c", 4.0), ("c", 4.0), ("a b", 0.0)];
        assert_eq!(texts(&best), expected, "of equal ones the earlier, then the shorter");
        assert_eq!((best.null, best.null_margin()), (Some(1.0), -8.0));
    }

    #[test]
    fn windows_may_come_in_any_order() {
        let windows = [
            (window(0, 4), logits(3.0, &[(0.0, 1.0), (2.0, 0.5), (0.0, 3.0), (1.0, 1.0)])),
            (window(2, 4), logits(2.0, &[(4.0, 3.0), (1.0, 0.0), (0.0, 2.5), (0.0, 0.0)])),
        ];
        let of = |order: [usize; 2]| {
            let mut best = BestSpans::default();
            order.iter().for_each(|&index| best.add(&windows[index].0, CONTEXT, &windows[index].1));
            best
        };
        let best = of([0, 1]);
        assert_eq!(best, of([1, 0]));
        // Both windows have `c`: 0 + 3 and 4 + 3.
        assert_eq!(texts(&best)[0], ("c", 7.0));
        assert_eq!(best.spans.iter().filter(|span| span.bytes == (4..5)).count(), 1);
        assert_eq!(best.null, Some(2.0), "the lowest counts");
    }

    #[test]
    fn a_span_is_no_longer_than_an_answer_and_only_the_best_are_kept() {
        let words: Vec<String> = (0..40).map(|word| format!("w{word:02}")).collect();
        let context = words.join(" ");
        let places = (0..40).map(|word| (4 * word, 4 * word + 3)).collect();
        let window = ContextWindow { null: 0, first: 2, places };
        // The first token is the best start, the last one the best end: too far from each other.
        let ends: Vec<(f32, f32)> = (0..40).map(|word| (40.0 - word as f32, word as f32)).collect();
        let mut best = BestSpans::default();
        best.add(&window, &context, &logits(0.0, &ends));
        assert_eq!(best.spans.len(), KEPT);
        let words = |span: &AnswerSpan| context[span.bytes.clone()].split(' ').count();
        assert_eq!((words(&best.spans[0]), best.spans[0].bytes.start), (MAX_TOKENS, 0));
        assert!(best.spans.iter().all(|span| words(span) <= MAX_TOKENS));
        assert!(best.spans.windows(2).all(|pair| pair[0].score >= pair[1].score));
    }

    #[test]
    fn white_space_is_no_part_of_an_answer() {
        let window = ContextWindow { null: 0, first: 2, places: vec![(0, 1), (1, 3), (3, 4)] };
        let mut best = BestSpans::default();
        best.add(&window, "a b\u{a0}", &logits(0.0, &[(0.0, 0.0), (2.0, 2.0), (9.0, 9.0)]));
        let texts: Vec<&str> = best.spans.iter().map(|span| &"a b\u{a0}"[span.bytes.clone()]).collect();
        // The third token alone is a blank; with the second it is that one.
        assert_eq!(texts[0], "b");
        assert!(texts.iter().all(|text| text.trim() == *text && !text.is_empty()), "{texts:?}");
    }

    #[test]
    fn without_a_span_there_is_no_answer() {
        let mut best = BestSpans::default();
        assert_eq!(best.null_margin(), f64::INFINITY);
        best.add(&window(0, 0), "", &logits(1.0, &[]));
        assert_eq!((best.spans.len(), best.null_margin()), (0, f64::INFINITY));
    }

    #[test]
    fn scores_become_probabilities() {
        let found = softmax(&[1000.0 + 3.0_f32.ln(), 1000.0]);
        assert!((found[0] - 0.75).abs() < 1e-4 && (found[1] - 0.25).abs() < 1e-4, "{found:?}");
        assert_eq!(softmax(&[]), Vec::<f64>::new());
    }
}
