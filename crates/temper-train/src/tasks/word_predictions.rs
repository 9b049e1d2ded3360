//! Predictions for the words of sentences (labels, entities), and their scores.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use temper_data::split_tag;
use temper_metrics::entities::{Entity, EntityScores, TagScheme, lenient_entities, strict_entities};
use temper_metrics::{ConfusionMatrix, Counts, bootstrap_interval, share_interval};

use super::classified::{Classified, cross_entropy};
use super::predictions::{Decoded, Output, Predictions, ScoreTable, ScoredPredictions, Scores};
use super::words::{Sentence, WordTokens};
use crate::examples::Features;
use crate::settings::Aggregation;
use crate::terminal::field;

/// Seed of the resamples that an interval is of.
const INTERVAL_SEED: u64 = 42;

/// The labels that words may have, and how a word gets one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WordLabels {
    /// By id.
    pub(super) names: Vec<String>,
    /// How they mark entities, where it is known.
    pub(super) scheme: Option<TagScheme>,
    /// Which tokens of a word decide.
    pub(super) aggregation: Aggregation,
}

impl WordLabels {
    /// Whether labels are tags of entities.
    fn marks_entities(&self) -> bool {
        self.names.iter().any(|label| split_tag(label).is_some())
    }

    /// The label that a word has of which the model says nothing: outside of entities.
    pub(super) fn outside(&self) -> usize {
        self.names.iter().position(|label| label == "O").unwrap_or_default()
    }

    fn of_ids(&self, labels: impl Iterator<Item = usize>) -> Vec<&str> {
        labels.map(|label| self.names.get(label).map_or("O", String::as_str)).collect()
    }

    /// The probabilities of a word's labels, of the logits of its tokens.
    fn probabilities(&self, tokens: impl Iterator<Item = Classified>) -> Vec<f64> {
        let mut tokens = tokens.map(|token| token.probabilities());
        let first = tokens.next().unwrap_or_default();
        let highest = |row: &[f64]| row.iter().copied().fold(0.0, f64::max);
        match self.aggregation {
            Aggregation::First => first,
            // The first of equal ones, as numpy's argmax.
            Aggregation::Max => {
                tokens.fold(first, |best, next| if highest(&next) > highest(&best) { next } else { best })
            }
            Aggregation::Average => {
                let mut count = 1.0;
                let mut sums = first;
                for token in tokens {
                    sums.iter_mut().zip(token).for_each(|(sum, probability)| *sum += probability);
                    count += 1.0;
                }
                sums.into_iter().map(|sum| sum / count).collect()
            }
        }
    }

    /// The entities of a sentence; a run of words with one plain label is none.
    fn entities(&self, labels: impl Iterator<Item = usize>) -> Vec<Entity> {
        lenient_entities(&self.of_ids(labels))
    }
}

/// What a model says of a word.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct WordPrediction {
    pub(super) label: usize,
    pub(super) probability: f64,
    /// Cross-entropy in nats, where the right label is known.
    pub(super) loss: f64,
}

/// What a model says of the words of some sentences.
pub(super) struct WordPredictions {
    names: WordLabels,
    sentences: Vec<Sentence>,
    /// Of each feature.
    readings: Vec<Vec<WordTokens>>,
    /// The sentence that each feature is of.
    examples: Arc<Vec<usize>>,
    /// By sentence and word; nothing for a word of which the tokenizer leaves nothing.
    pub(super) words: Vec<Vec<Option<WordPrediction>>>,
    /// The right labels by sentence; empty where they are not known.
    pub(super) truth: Vec<Vec<usize>>,
}

impl WordPredictions {
    pub(super) fn new(
        names: WordLabels,
        sentences: Vec<Sentence>,
        readings: Vec<Vec<WordTokens>>,
        features: &Features,
    ) -> Self {
        let words = sentences.iter().map(|sentence| vec![None; sentence.words.len()]).collect();
        let examples = features.examples.clone();
        Self { names, sentences, readings, examples, words, truth: Vec::new() }
    }

    /// The labels of a sentence's words.
    fn labels(&self, example: usize) -> impl Iterator<Item = usize> {
        let outside = self.names.outside();
        self.words[example].iter().map(move |found| found.map_or(outside, |found| found.label))
    }

    /// Right and predicted entities of each sentence.
    fn entities(&self) -> impl Iterator<Item = (Vec<Entity>, Vec<Entity>)> {
        self.truth.iter().enumerate().map(|(example, truth)| {
            (self.names.entities(truth.iter().copied()), self.names.entities(self.labels(example)))
        })
    }

    /// Right and predicted labels of all words.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let of = |(example, truth): (usize, &Vec<usize>)| {
            truth.iter().copied().zip(self.labels(example)).collect::<Vec<_>>()
        };
        self.truth.iter().enumerate().flat_map(of)
    }

    fn loss(&self) -> f64 {
        let losses: Vec<f64> = self.words.iter().flatten().flatten().map(|found| found.loss).collect();
        losses.iter().sum::<f64>() / losses.len().max(1) as f64
    }

    /// Scores of entities, as seqeval 1.2.2 has them by default.
    fn entity_scores(&self, accuracy: f64) -> Scores {
        let mut scores = EntityScores::default();
        let mut counts = Vec::new();
        for (truth, predicted) in self.entities() {
            scores.add(&truth, &predicted);
            counts.push(count(&truth, &predicted));
        }
        let all = scores.micro_average();
        let table = ScoreTable {
            title: "Entities",
            columns: vec!["precision", "recall", "f1", "support"],
            rows: scores
                .by_kind()
                .into_iter()
                .map(|(kind, of)| (kind, vec![of.precision, of.recall, of.f1, of.support as f64]))
                .collect(),
        };
        let f1 = |sentences: &[usize]| {
            let sum =
                |of: fn(&Counts) -> usize| sentences.iter().map(|&sentence| of(&counts[sentence])).sum();
            let counts = Counts {
                correct: sum(|counts| counts.correct),
                predicted: sum(|counts| counts.predicted),
                support: sum(|counts| counts.support),
            };
            counts.scores().f1
        };
        let metrics = [
            ("f1", all.f1),
            ("precision", all.precision),
            ("recall", all.recall),
            ("accuracy", accuracy),
            ("loss", self.loss()),
        ];
        let strict = self.strict_f1().map(|f1| ("strict_f1", f1));
        let metrics = metrics.into_iter().chain(strict);
        Scores {
            metrics: metrics.map(|(name, value)| (name.to_owned(), value)).collect(),
            lower_is_better: false,
            interval: bootstrap_interval(counts.len(), INTERVAL_SEED, f1),
            baseline: 0.0,
            baseline_name: "no entity anywhere",
            confusion: None,
            calibration: None,
            tables: vec![table],
        }
    }

    /// F1 as seqeval 1.2.2 has it in its strict mode: of entities that are tagged as the scheme requires. None where the
    /// scheme is not known or does not have a tag.
    fn strict_f1(&self) -> Option<f64> {
        let scheme = self.names.scheme?;
        let mut scores = EntityScores::default();
        for (example, truth) in self.truth.iter().enumerate() {
            let truth = self.names.of_ids(truth.iter().copied());
            let predicted = self.names.of_ids(self.labels(example));
            scores.add(&strict_entities(&truth, scheme).ok()?, &strict_entities(&predicted, scheme).ok()?);
        }
        Some(scores.micro_average().f1)
    }

    /// Scores of labels that mark no entities.
    fn label_scores(&self, confusion: ConfusionMatrix, words: usize) -> Scores {
        let metrics =
            [("accuracy", confusion.accuracy()), ("macro_f1", confusion.macro_f1()), ("loss", self.loss())];
        Scores {
            metrics: metrics.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            lower_is_better: false,
            interval: Some(share_interval(confusion.correct(), words)),
            baseline: confusion.majority(),
            baseline_name: "always the most common label",
            confusion: Some(confusion),
            calibration: None,
            tables: Vec::new(),
        }
    }

    /// An entity as JSON, with its place in the text in characters.
    fn entity(&self, example: usize, entity: &Entity) -> Value {
        let sentence = &self.sentences[example];
        let (start, end) = (sentence.words[entity.start].start, sentence.words[entity.end - 1].end);
        let found = &self.words[example][entity.start..entity.end];
        let sum: f64 = found.iter().flatten().map(|found| found.probability).sum();
        let place = sentence.characters(start..end);
        json!({
            "type": entity.kind,
            "text": sentence.text[start..end],
            "start": place.start,
            "end": place.end,
            "score": sum / found.len() as f64,
        })
    }
}

fn count(truth: &[Entity], predicted: &[Entity]) -> Counts {
    let correct = predicted.iter().filter(|entity| truth.contains(entity)).count();
    Counts { correct, predicted: predicted.len(), support: truth.len() }
}

impl Predictions for WordPredictions {
    fn add(&mut self, feature: usize, output: Output) {
        let example = self.examples[feature];
        for WordTokens { word, tokens } in &self.readings[feature] {
            let rows = output.logits[tokens.start * output.columns..tokens.end * output.columns]
                .chunks(output.columns);
            let probabilities = self.names.probabilities(rows.map(|row| Classified { logits: row.to_vec() }));
            let best = probabilities.iter().enumerate().rev().max_by(|left, right| left.1.total_cmp(right.1));
            let Some((label, &probability)) = best else { continue };
            let loss =
                self.truth.get(example).map_or(0.0, |truth| cross_entropy(probabilities[truth[*word]]));
            self.words[example][*word] = Some(WordPrediction { label, probability, loss });
        }
    }

    fn decode(&self, example: usize) -> Decoded {
        let labels = self.names.of_ids(self.labels(example));
        let words = self.sentences[example].texts();
        let mut fields = Map::new();
        if !self.names.marks_entities() {
            let pairs: Vec<String> =
                words.iter().zip(&labels).map(|(word, label)| format!("{word}={label}")).collect();
            fields.extend([("words".to_owned(), json!(words)), ("labels".to_owned(), json!(labels))]);
            return Decoded { line: field(&pairs.join(" ")).into_owned(), fields };
        }
        let entities: Vec<Value> =
            lenient_entities(&labels).iter().map(|entity| self.entity(example, entity)).collect();
        let told = |entity: &Value| {
            let text = |name: &str| entity[name].as_str().unwrap_or_default().to_owned();
            format!("{}={} ({}-{})", text("type"), text("text"), entity["start"], entity["end"])
        };
        let line =
            entities.iter().map(|entity| field(&told(entity)).into_owned()).collect::<Vec<_>>().join("\t");
        fields.extend([
            ("entities".to_owned(), json!(entities)),
            ("words".to_owned(), json!(words)),
            ("labels".to_owned(), json!(labels)),
        ]);
        Decoded { line, fields }
    }
}

impl ScoredPredictions for WordPredictions {
    fn scores(&self) -> Scores {
        let words = self.truth.iter().map(Vec::len).sum();
        let confusion = ConfusionMatrix::new(&self.names.names, self.pairs());
        match self.names.marks_entities() {
            true => self.entity_scores(confusion.accuracy()),
            false => self.label_scores(confusion, words),
        }
    }

    fn expected(&self, example: usize) -> Option<Value> {
        let names = self.truth.get(example)?.iter().map(|&label| &self.names.names[label]);
        Some(json!(names.collect::<Vec<_>>()))
    }

    /// F1 of the entities of a sentence, 1 where there is none to find and none was found; the share of right labels
    /// where they mark no entities.
    fn example_scores(&self) -> Vec<f64> {
        if self.names.marks_entities() {
            let score = |(truth, predicted): (Vec<Entity>, Vec<Entity>)| {
                if truth.is_empty() && predicted.is_empty() {
                    1.0
                } else {
                    count(&truth, &predicted).scores().f1
                }
            };
            return self.entities().map(score).collect();
        }
        let share = |(example, truth): (usize, &Vec<usize>)| {
            let right =
                truth.iter().zip(self.labels(example)).filter(|(truth, label)| *truth == label).count();
            right as f64 / truth.len().max(1) as f64
        };
        self.truth.iter().enumerate().map(share).collect()
    }

    fn worst(&self, count: usize) -> Vec<(usize, String)> {
        let scores = self.example_scores();
        let loss =
            |example: usize| self.words[example].iter().flatten().map(|found| found.loss).fold(0.0, f64::max);
        let mut wrong: Vec<usize> = (0..scores.len()).filter(|&example| scores[example] < 1.0).collect();
        wrong.sort_by(|&left, &right| loss(right).total_cmp(&loss(left)));
        let explain = |example: usize| {
            let words = self.sentences[example].texts();
            let predicted = self.names.of_ids(self.labels(example));
            let right = self.names.of_ids(self.truth[example].iter().copied());
            let differences =
                words.iter().zip(predicted).zip(right).filter(|((_, found), right)| found != right);
            let told =
                differences.map(|((word, found), right)| format!("{word}: {found}, should be {right}"));
            (example, told.collect::<Vec<_>>().join("; "))
        };
        wrong.into_iter().take(count).map(explain).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probabilities(aggregation: Aggregation) -> Vec<f64> {
        let labels = WordLabels { names: vec!["O".into(), "B-x".into()], scheme: None, aggregation };
        // Probabilities 0.6 and 0.4, then 0.1 and 0.9, then 0.95 and 0.05.
        let rows = [[0.6_f32, 0.4], [0.1, 0.9], [0.95, 0.05]];
        let token = |row: [f32; 2]| Classified { logits: row.iter().map(|value| value.ln()).collect() };
        labels.probabilities(rows.into_iter().map(token))
    }

    /// As `TokenClassificationPipeline.aggregate_word` of transformers 5.
    #[test]
    fn the_tokens_of_a_word_decide_as_in_transformers() {
        for (aggregation, expected) in [
            (Aggregation::First, [0.6, 0.4]),
            (Aggregation::Max, [0.95, 0.05]),
            (Aggregation::Average, [0.55, 0.45]),
        ] {
            let found = probabilities(aggregation);
            let is_near = found.iter().zip(expected).all(|(found, right)| (found - right).abs() < 1e-6);
            assert!(is_near, "{aggregation:?}: {found:?}");
        }
    }
}
