//! Predicted answers to questions, and their scores.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use temper_data::Question;
use temper_metrics::answers::{AnswerScore, ScoredQuestion, SquadReport, SquadScores, normalize_answer};
use temper_metrics::bootstrap_interval;

use super::best_spans::{AnswerSpan, BestSpans, softmax};
use super::decisions::NULL_THRESHOLD;
use super::span_loss::span_loss_of;
use super::spans::{ContextWindow, SplitQuestions, characters};
use super::{Decoded, Output, Predictions, ScoreTable, ScoredPredictions, Scores};
use crate::examples::Target;
use crate::terminal::field;

/// Seed of the resamples that an interval is of.
const INTERVAL_SEED: u64 = 42;

/// What a model says of some questions. Of logits only the best spans stay.
pub(super) struct Answers {
    null_threshold: Option<f64>,
    /// Whether some questions have no answer: scores are then those of SQuAD 2.0, else of SQuAD 1.1.
    unanswerable: bool,
    questions: Arc<[Question]>,
    /// Of each feature.
    windows: Arc<[ContextWindow]>,
    targets: Arc<Vec<Target>>,
    /// The question that each feature is of.
    examples: Arc<Vec<usize>>,
    /// Of each feature, as far as they came; 0 where no answer is known.
    losses: Vec<f64>,
    /// Of each question.
    found: Vec<BestSpans>,
}

impl Answers {
    pub(super) fn new(null_threshold: Option<f64>, unanswerable: bool, split: &SplitQuestions) -> Self {
        let SplitQuestions { rows, windows, features } = split;
        Self {
            null_threshold,
            unanswerable,
            questions: rows.clone(),
            windows: windows.clone(),
            targets: features.targets.clone(),
            examples: features.examples.clone(),
            losses: vec![0.0; windows.len()],
            found: vec![BestSpans::default(); rows.len()],
        }
    }

    /// Answers all questions otherwise than by a model.
    pub(super) fn give(&mut self, answers: impl Iterator<Item = Range<usize>>) {
        for (found, bytes) in self.found.iter_mut().zip(answers) {
            *found = BestSpans { spans: vec![AnswerSpan { bytes, score: 0.0 }], null: Some(-1.0) };
        }
    }

    /// The best span of a question, whether or not it is the answer.
    fn best(&self, example: usize) -> &str {
        let best = self.found[example].spans.first();
        best.map_or("", |span| &self.questions[example].context[span.bytes.clone()])
    }

    /// Whether a question is said to have no answer.
    fn is_null(&self, example: usize) -> bool {
        self.null_threshold.is_some_and(|threshold| self.found[example].null_margin() > threshold)
    }

    /// The answer; empty where there is none.
    fn answer(&self, example: usize) -> &str {
        if self.is_null(example) { "" } else { self.best(example) }
    }

    fn truth(&self, example: usize) -> Vec<&str> {
        self.questions[example].answers.iter().map(|answer| answer.text.as_str()).collect()
    }

    fn score_of(&self, example: usize, answer: &str) -> AnswerScore {
        let truth = self.truth(example);
        match self.unanswerable {
            true => AnswerScore::v2(answer, &truth),
            false => AnswerScore::v1(answer, &truth).unwrap_or_default(),
        }
    }

    fn answer_scores(&self) -> Vec<AnswerScore> {
        (0..self.questions.len()).map(|example| self.score_of(example, self.answer(example))).collect()
    }

    /// Spans and, where a question may have none, "no answer" with their probabilities among each other; the best first.
    fn n_best(&self, example: usize) -> Vec<(Range<usize>, f64)> {
        let BestSpans { spans, null } = &self.found[example];
        let null = null.filter(|_| self.null_threshold.is_some()).map(|score| (0..0, score));
        let all = spans.iter().map(|span| (span.bytes.clone(), span.score)).chain(null);
        let (ranges, scores): (Vec<_>, Vec<_>) = all.unzip();
        let mut all: Vec<(Range<usize>, f64)> = ranges.into_iter().zip(softmax(&scores)).collect();
        all.sort_by(|left, right| right.1.total_cmp(&left.1));
        all
    }

    /// The answer with its probability among the n best.
    fn answer_and_probability(&self, example: usize) -> (Range<usize>, f64) {
        let answer = match self.found[example].spans.first() {
            Some(best) if !self.is_null(example) => best.bytes.clone(),
            _ => 0..0,
        };
        let n_best = self.n_best(example);
        let probability = n_best.iter().find(|(bytes, _)| *bytes == answer).map_or(0.0, |found| found.1);
        (answer, probability)
    }

    /// A part of a context as JSON, with its place in characters.
    fn part(&self, example: usize, bytes: &Range<usize>, probability: f64) -> Map<String, Value> {
        let context = &self.questions[example].context;
        let place = characters(context, bytes.clone());
        let fields = [
            ("text", json!(context[bytes.clone()])),
            ("start", json!(place.start)),
            ("end", json!(place.end)),
            ("probability", json!(probability)),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// What SQuAD 2.0's script says, with the best span of each question and how much better "no answer" is.
    fn report(&self) -> Option<SquadReport> {
        let scored = |example: usize| {
            let margin = self.found[example].null_margin();
            ScoredQuestion::new(self.best(example), &self.truth(example), margin)
        };
        let scored: Vec<ScoredQuestion> = (0..self.questions.len()).map(scored).collect();
        SquadReport::of(&scored, self.null_threshold.unwrap_or(f64::INFINITY)).filter(|_| self.unanswerable)
    }
}

/// What [`SquadReport`] has beyond the mean scores.
fn report_metrics(report: &SquadReport) -> [(&'static str, f64); 4] {
    let SquadReport { best_exact, best_f1, .. } = report;
    [
        ("best_f1", best_f1.score / 100.0),
        ("best_f1_threshold", best_f1.threshold),
        ("best_exact", best_exact.score / 100.0),
        ("best_exact_threshold", best_exact.threshold),
    ]
}

fn report_table(report: &SquadReport) -> ScoreTable {
    let row = |name: &str, scores: Option<SquadScores>| {
        let SquadScores { exact, f1, total } = scores?;
        Some((name.to_owned(), vec![f1 / 100.0, exact / 100.0, total as f64]))
    };
    let rows = [row("has answer", report.has_answer), row("no answer", report.no_answer)];
    ScoreTable {
        title: "Questions",
        columns: vec!["f1", "exact", "support"],
        rows: rows.into_iter().flatten().collect(),
    }
}

impl Predictions for Answers {
    fn decide_by(&mut self, record: &Map<String, Value>) {
        if let Some(threshold) = record.get(NULL_THRESHOLD).and_then(Value::as_f64) {
            self.null_threshold = Some(threshold);
        }
    }

    fn add(&mut self, feature: usize, output: Output) {
        let example = self.examples[feature];
        let context = &self.questions[example].context;
        self.losses[feature] = span_loss_of(&output.logits, &self.targets[feature]);
        self.found[example].add(&self.windows[feature], context, &output.logits);
    }

    /// The answer as `text`, with `start` and `end` in characters of its context (both 0 where there is none) and its
    /// probability among the n best. (`score` is what a run's predictions call the score of an example.)
    fn decode(&self, example: usize) -> Decoded {
        let (answer, probability) = self.answer_and_probability(example);
        let mut fields = self.part(example, &answer, probability);
        let n_best = self.n_best(example);
        let n_best = n_best.iter().map(|(bytes, probability)| self.part(example, bytes, *probability));
        fields.insert("n_best".into(), n_best.map(Value::Object).collect());
        let text = &self.questions[example].context[answer];
        Decoded { line: format!("{}\t{probability:.4}", field(text)), fields }
    }
}

impl ScoredPredictions for Answers {
    /// The threshold with the highest F1, where some questions have no answer.
    fn tuned(&self) -> Map<String, Value> {
        let report = self.report().filter(|_| self.null_threshold.is_some());
        report.iter().map(|report| (NULL_THRESHOLD.to_owned(), json!(report.best_f1.threshold))).collect()
    }

    /// The answers that count as right; none for a question without one.
    fn expected(&self, example: usize) -> Option<Value> {
        let answers = self.questions[example].answers.iter().map(|answer| &answer.text);
        Some(json!(answers.collect::<Vec<_>>()))
    }

    /// F1 and exact answers as shares of 1, not in percent as SQuAD's scripts print them.
    fn scores(&self) -> Scores {
        let scores = self.answer_scores();
        let count = scores.len().max(1) as f64;
        let f1 = |examples: &[usize]| {
            examples.iter().map(|&example| scores[example].f1).sum::<f64>() / examples.len() as f64
        };
        let all = (SquadScores::of(scores.iter().copied()), self.report());
        let percent = |value: fn(&SquadScores) -> f64| all.0.as_ref().map_or(0.0, value) / 100.0;
        let mut metrics = vec![
            ("f1", percent(|scores| scores.f1)),
            ("exact", percent(|scores| scores.exact)),
            ("loss", self.losses.iter().sum::<f64>() / self.losses.len().max(1) as f64),
        ];
        metrics.extend(all.1.iter().flat_map(report_metrics));
        let nothing = (0..scores.len()).map(|example| self.score_of(example, "").f1);
        Scores {
            metrics: metrics.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            lower_is_better: false,
            interval: bootstrap_interval(scores.len(), INTERVAL_SEED, f1),
            baseline: nothing.sum::<f64>() / count,
            baseline_name: "no answer to any question",
            confusion: None,
            calibration: None,
            tables: all.1.iter().map(report_table).collect(),
        }
    }

    /// F1 of each question.
    fn example_scores(&self) -> Vec<f64> {
        self.answer_scores().into_iter().map(|score| score.f1).collect()
    }

    fn worst(&self, count: usize) -> Vec<(usize, String)> {
        let named = |answer: &str| match answer {
            "" => "no answer".to_owned(),
            answer => format!("\"{answer}\""),
        };
        let scores = self.example_scores();
        let wrong = (0..scores.len()).filter(|&example| scores[example] == 0.0);
        let mut wrong: Vec<(usize, f64)> =
            wrong.map(|example| (example, self.answer_and_probability(example).1)).collect();
        wrong.sort_by(|left, right| right.1.total_cmp(&left.1));
        let explain = |(example, probability): (usize, f64)| {
            let (answer, truth) = (named(self.answer(example)), self.truth(example));
            let right = named(truth.first().copied().unwrap_or_default());
            (example, format!("{answer} ({:.0} %), should be {right}", 100.0 * probability))
        };
        wrong.into_iter().take(count).map(explain).collect()
    }
}

/// Of the sentence that shares most words with the question, the longest run of words that the question does not have, in
/// bytes. Of equal ones the first.
pub(super) fn by_shared_words(question: &str, context: &str) -> Range<usize> {
    let asked: HashSet<String> = normalize_answer(question).split(' ').map(str::to_owned).collect();
    let is_asked = |word: &Range<usize>| asked.contains(&normalize_answer(&context[word.clone()]));
    let best = sentences(context).into_iter().rev().max_by_key(|words| {
        let shared = words.iter().filter(|word| is_asked(word));
        shared.map(|word| &context[word.clone()]).collect::<HashSet<_>>().len()
    });
    let words = best.unwrap_or_default();
    let runs = words.split(is_asked).rev().max_by_key(|run| run.len());
    match runs {
        Some([first, .., last]) => first.start..last.end,
        Some([only]) => only.clone(),
        _ => 0..0,
    }
}

/// The words of each sentence between white space, in bytes. A sentence ends with a word that ends in `.`, `!` or `?`.
fn sentences(text: &str) -> Vec<Vec<Range<usize>>> {
    let place = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    let mut sentences = vec![Vec::new()];
    for word in text.split_whitespace() {
        let start = place(word);
        if let Some(last) = sentences.last_mut() {
            last.push(start..start + word.len());
        }
        if word.ends_with(['.', '!', '?']) {
            sentences.push(Vec::new());
        }
    }
    sentences
}
