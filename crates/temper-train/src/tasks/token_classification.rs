//! A label of each word: entities, parts of speech.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Tensor;
use serde_json::{Map, Value, json};
use temper_data::{
    DataReport, DatasetRows, EncodedSet, SplitContent, TagRequest, TaggedText, Task as Kind, UnlabelledText,
    load_token_classification, split_tag,
};
use temper_metrics::entities::{Entity, EntityScores, lenient_entities};
use temper_metrics::{ConfusionMatrix, Counts, bootstrap_interval, share_interval};
use temper_models::{HeadRequest, HeadTask, Mode, Model, ModelConfig, TokenBatch};

use super::classified::Classified;
use super::list::OfModel;
use super::words::{Reading, Sentence, Words, encode};
use super::{
    Baseline, Decoded, Encoder, Examples, LoadRequest, Output, Predictions, ScoreTable, Scores, Splits, Task,
    per_token,
};
use crate::examples::{Features, Split, Target, full_train_tokens};
use crate::terminal::field;
use crate::{Settings, TrainError};

/// Seed of the resamples that an interval is of.
const INTERVAL_SEED: u64 = 42;

/// One of these labels a word.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenClassification {
    /// Names of the labels, by id: tags such as B-person, or plain names.
    pub labels: Vec<String>,
}

impl TokenClassification {
    /// Whether labels are tags of entities.
    fn marks_entities(&self) -> bool {
        self.labels.iter().any(|label| split_tag(label).is_some())
    }

    /// The label that a word has of which the model says nothing: outside of entities.
    fn outside(&self) -> usize {
        self.labels.iter().position(|label| label == "O").unwrap_or_default()
    }

    fn names(&self, labels: impl Iterator<Item = usize>) -> Vec<&str> {
        labels.map(|label| self.labels.get(label).map_or("O", String::as_str)).collect()
    }

    /// The entities of a sentence; a run of words with one plain label is none.
    fn entities(&self, labels: impl Iterator<Item = usize>) -> Vec<Entity> {
        lenient_entities(&self.names(labels))
    }
}

/// Reads and encodes a dataset for this task.
///
/// # Errors
/// [`TrainError::Data`].
pub(super) fn load(request: &LoadRequest<'_>) -> Result<Splits, TrainError> {
    let data =
        load_token_classification(request.hub, &TagRequest { rows: request.dataset.clone(), strict: false })?;
    let mut rows = data.rows;
    request.drop_unwanted(&mut rows);
    let task = TokenClassification { labels: data.tag_names };
    let encoded = |rows: &[TaggedText]| encode_rows(rows, request);
    let mut train = encoded(&rows.train)?;
    let full_train_tokens =
        full_train_tokens(&train.features.encoded, rows.train.len(), rows.full_train_rows);
    if request.thin_out(&mut rows.train, &train.features) {
        train = encoded(&rows.train)?;
    }
    let (validation, test) = (encoded(&rows.validation)?, encoded(&rows.test)?);
    let report = report(&rows, &task.labels, [&train, &validation, &test]);
    let (name, columns, resolved) = (rows.name, rows.columns, rows.resolved);
    let [train_features, validation_features, test_features] =
        [&train, &validation, &test].map(|words| words.features.clone());
    let split = |rows, words: Words| SplitWords { rows, readings: words.readings, features: words.features };
    let splits = [split(rows.train, train), split(rows.validation, validation), split(rows.test, test)];
    Ok(Splits {
        task: Arc::new(task.clone()),
        name,
        columns,
        resolved,
        examples: Arc::new(Sentences { task, splits }),
        train: train_features,
        validation: validation_features,
        test: test_features,
        full_train_tokens,
        report,
    })
}

fn encode_rows(rows: &[TaggedText], request: &LoadRequest<'_>) -> Result<Words, TrainError> {
    let sentences: Vec<Sentence> = rows.iter().map(Sentence::of_row).collect();
    let tags: Vec<&[usize]> = rows.iter().map(|row| row.tags.as_slice()).collect();
    Ok(encode(&sentences, Some(&tags), &request.encoder(), request.settings.label_all_tokens)?)
}

fn report(rows: &DatasetRows<TaggedText>, labels: &[String], words: [&Words; 3]) -> DataReport {
    let splits = [&rows.train, &rows.validation, &rows.test];
    let counts = splits.map(|rows| {
        let mut counts = vec![0; labels.len()];
        rows.iter().flat_map(|row| &row.tags).for_each(|&tag| counts[tag] += 1);
        counts
    });
    let content = |split: usize| SplitContent {
        examples: splits[split].len(),
        labels: &counts[split],
        encoded: &words[split].features.encoded,
    };
    DataReport::new(rows, labels, [content(0), content(1), content(2)])
}

/// The task of a model with a head for labels of tokens.
///
/// # Errors
/// [`TrainError::Model`] for labels that cannot be understood.
pub(super) fn of_model(_: &Model, config: &ModelConfig, _: &Map<String, Value>) -> OfModel {
    if config.head().map(|head| head.kind.task()) != Some(HeadTask::TokenClassification) {
        return Ok(None);
    }
    Ok(Some(Arc::new(TokenClassification { labels: config.labels()? })))
}

impl Task for TokenClassification {
    fn kind(&self) -> Kind {
        Kind::TokenClassification
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn targets_in_words(&self) -> &'static str {
        "one label a word"
    }

    fn outputs_in_words(&self) -> &'static str {
        "probabilities of labels of which one is right for each word (softmax)"
    }

    fn head(&self, settings: &Settings) -> HeadRequest {
        let (labels, pooling, seed) = (self.labels.clone(), settings.pooling, settings.seed);
        HeadRequest::New {
            task: HeadTask::TokenClassification,
            labels,
            pooling,
            seed,
            outputs: temper_models::OutputMeaning::SingleLabel,
        }
    }

    fn notice(&self) -> Option<String> {
        None
    }

    fn loss(&self, model: &Model, tokens: &TokenBatch, targets: &[Target], mode: Mode) -> Tensor<1> {
        per_token::cross_entropy(per_token::logits(model, tokens, mode), targets)
    }

    fn outputs(&self, model: &Model, tokens: &TokenBatch) -> Vec<Output> {
        per_token::outputs(model, tokens)
    }

    fn is_spread(&self) -> bool {
        true
    }

    fn begin(
        &self,
        texts: &[UnlabelledText],
        _encoded: EncodedSet,
        encoder: &Encoder<'_>,
    ) -> Result<(Features, Box<dyn Predictions>), TrainError> {
        let sentences: Vec<Sentence> = texts.iter().map(|text| Sentence::split(&text.text)).collect();
        let words = encode(&sentences, None, encoder, false)?;
        let predictions = WordPredictions::new(self, sentences, words.readings, &words.features);
        Ok((words.features, Box::new(predictions)))
    }
}

/// A split's sentences, encoded.
#[derive(Debug)]
struct SplitWords {
    rows: Vec<TaggedText>,
    readings: Vec<Vec<Reading>>,
    features: Features,
}

/// The sentences of a dataset.
#[derive(Debug)]
struct Sentences {
    task: TokenClassification,
    /// By split.
    splits: [SplitWords; 3],
}

impl Sentences {
    fn predictions(&self, split: Split) -> WordPredictions {
        let SplitWords { rows, readings, features } = &self.splits[split as usize];
        let sentences = rows.iter().map(Sentence::of_row).collect();
        let predictions = WordPredictions::new(&self.task, sentences, readings.clone(), features);
        WordPredictions { truth: rows.iter().map(|row| row.tags.clone()).collect(), ..predictions }
    }
}

impl Examples for Sentences {
    fn text(&self, split: Split, example: usize) -> String {
        Sentence::of_row(&self.splits[split as usize].rows[example]).text
    }

    fn predictions(self: Arc<Self>, split: Split) -> Box<dyn Predictions> {
        Box::new(Sentences::predictions(&self, split))
    }

    /// The most frequent label of each word in training, `O` for other words: what can be known by heart.
    fn baselines(&self) -> Vec<Baseline> {
        let started = Instant::now();
        let mut counts: HashMap<&str, HashMap<usize, usize>> = HashMap::new();
        for row in &self.splits[Split::Train as usize].rows {
            for (word, &tag) in row.words.iter().zip(&row.tags) {
                *counts.entry(word).or_default().entry(tag).or_default() += 1;
            }
        }
        let most = |counts: &HashMap<usize, usize>| {
            counts.iter().max_by_key(|&(&tag, &count)| (count, std::cmp::Reverse(tag))).map(|(&tag, _)| tag)
        };
        let known: HashMap<&str, usize> =
            counts.iter().filter_map(|(word, counts)| Some((*word, most(counts)?))).collect();
        let training_seconds = started.elapsed().as_secs_f64();
        let mut predictions = Sentences::predictions(self, Split::Test);
        for (row, found) in self.splits[Split::Test as usize].rows.iter().zip(&mut predictions.words) {
            for (word, found) in row.words.iter().zip(found) {
                let label = known.get(word.as_str()).copied().unwrap_or(self.task.outside());
                *found = Some(Found { label, probability: 1.0, loss: 0.0 });
            }
        }
        let scores = predictions.scores();
        let metrics = scores.metrics.into_iter().filter(|(name, _)| name != "loss").collect();
        let (interval, scores) = (scores.interval, predictions.example_scores());
        let name = "most frequent label of each word".into();
        vec![Baseline { name, metrics, interval, training_seconds, scores }]
    }
}

/// What a model says of a word.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Found {
    label: usize,
    probability: f64,
    /// Cross-entropy in nats, where the right label is known.
    loss: f64,
}

/// What a model says of the words of some sentences.
struct WordPredictions {
    task: TokenClassification,
    sentences: Vec<Sentence>,
    /// Of each feature.
    readings: Vec<Vec<Reading>>,
    /// The sentence that each feature is of.
    examples: Arc<Vec<usize>>,
    /// By sentence and word; nothing for a word of which the tokenizer leaves nothing.
    words: Vec<Vec<Option<Found>>>,
    /// The right labels by sentence; empty where they are not known.
    truth: Vec<Vec<usize>>,
}

impl WordPredictions {
    fn new(
        task: &TokenClassification,
        sentences: Vec<Sentence>,
        readings: Vec<Vec<Reading>>,
        features: &Features,
    ) -> Self {
        let words = sentences.iter().map(|sentence| vec![None; sentence.words.len()]).collect();
        let examples = features.examples.clone();
        Self { task: task.clone(), sentences, readings, examples, words, truth: Vec::new() }
    }

    /// The labels of a sentence's words.
    fn labels(&self, example: usize) -> impl Iterator<Item = usize> {
        let outside = self.task.outside();
        self.words[example].iter().map(move |found| found.map_or(outside, |found| found.label))
    }

    /// Right and predicted entities of each sentence.
    fn entities(&self) -> impl Iterator<Item = (Vec<Entity>, Vec<Entity>)> {
        self.truth.iter().enumerate().map(|(example, truth)| {
            (self.task.entities(truth.iter().copied()), self.task.entities(self.labels(example)))
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
        Scores {
            metrics: metrics.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            lower_is_better: false,
            interval: bootstrap_interval(counts.len(), INTERVAL_SEED, f1),
            baseline: 0.0,
            baseline_name: "no entity anywhere",
            confusion: None,
            tables: vec![table],
        }
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
        for Reading { word, tokens } in &self.readings[feature] {
            let place = tokens.start * output.columns;
            let row = Classified { logits: output.logits[place..place + output.columns].to_vec() };
            let label = row.label();
            let loss = self.truth.get(example).map_or(0.0, |truth| row.loss(truth[*word]));
            let probability = row.probabilities()[label];
            self.words[example][*word] = Some(Found { label, probability, loss });
        }
    }

    fn scores(&self) -> Scores {
        let words = self.truth.iter().map(Vec::len).sum();
        let confusion = ConfusionMatrix::new(&self.task.labels, self.pairs());
        match self.task.marks_entities() {
            true => self.entity_scores(confusion.accuracy()),
            false => self.label_scores(confusion, words),
        }
    }

    /// F1 of the entities of a sentence, 1 where there is none to find and none was found; the share of right labels
    /// where they mark no entities.
    fn example_scores(&self) -> Vec<f64> {
        if self.task.marks_entities() {
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
            let predicted = self.task.names(self.labels(example));
            let right = self.task.names(self.truth[example].iter().copied());
            let differences =
                words.iter().zip(predicted).zip(right).filter(|((_, found), right)| found != right);
            let told =
                differences.map(|((word, found), right)| format!("{word}: {found}, should be {right}"));
            (example, told.collect::<Vec<_>>().join("; "))
        };
        wrong.into_iter().take(count).map(explain).collect()
    }

    fn decode(&self, example: usize) -> Decoded {
        let labels = self.task.names(self.labels(example));
        let words = self.sentences[example].texts();
        let mut fields = Map::new();
        if !self.task.marks_entities() {
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
