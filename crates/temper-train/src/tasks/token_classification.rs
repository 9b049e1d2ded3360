//! A label of each word: entities, parts of speech.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Tensor;
use serde_json::{Map, Value, json};
use temper_data::{
    DataError, DataReport, DatasetRows, Diagnosis, EncodedSet, SplitContent, TagRequest, TaggedText,
    TaskKind, UnlabelledText, examine_token_classification, load_token_classification,
};
use temper_metrics::entities::TagScheme;
use temper_models::{HeadRequest, HeadTask, Mode, Model, ModelConfig, TokenBatch};

use super::OfModel;
use super::decisions::AGGREGATION;
use super::objective::{LabelCounts, Objective};
use super::word_predictions::{WordLabels, WordPrediction, WordPredictions};
use super::words::{Sentence, WordTokens, Words, encode};
use super::{
    Baseline, Encoder, ExamineRequest, Examples, Inputs, LoadRequest, Output, Predictions, ScoredPredictions,
    Splits, Task, new_head, per_token,
};
use crate::examples::{Features, Split, Target, full_train_tokens};
use crate::settings::Aggregation;
use crate::{Settings, TrainError};

/// One of these labels for each word.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenClassification {
    /// Names of the labels, by id: tags such as B-person, or plain names.
    pub labels: Vec<String>,
    /// How the tags of the data mark entities, where it is known.
    scheme: Option<TagScheme>,
    /// Which tokens of a word decide its label.
    aggregation: Aggregation,
    objective: Objective,
}

impl TokenClassification {
    /// One of these labels for each word.
    pub fn new(labels: Vec<String>) -> Self {
        Self { labels, scheme: None, aggregation: Aggregation::default(), objective: Objective::default() }
    }

    fn names(&self) -> WordLabels {
        WordLabels { names: self.labels.clone(), scheme: self.scheme, aggregation: self.aggregation }
    }
}

/// Reads and encodes a dataset for this task.
///
/// # Errors
/// [`TrainError::Data`].
pub(super) fn load(request: &LoadRequest<'_>) -> Result<Splits, TrainError> {
    let asked = TagRequest { rows: request.dataset.clone(), strict: request.settings.strict_tags };
    let data = load_token_classification(request.hub, &asked)?;
    let mut rows = data.rows;
    request.drop_unwanted(&mut rows);
    let mut task = TokenClassification {
        scheme: metrics_scheme(data.scheme),
        aggregation: request.record.as_ref().map_or(request.settings.aggregation, aggregation),
        ..TokenClassification::new(data.tag_names)
    };
    let encoded = |rows: &[TaggedText]| encode_rows(rows, request);
    let mut train = encoded(&rows.train)?;
    let full_train_tokens =
        full_train_tokens(&train.features.encoded, rows.train.len(), rows.full_train_rows);
    if request.thin_out(&mut rows.train, &train.features) {
        train = encoded(&rows.train)?;
    }
    let (mut validation, mut test) = (encoded(&rows.validation)?, encoded(&rows.test)?);
    let report = report(&rows, &task.labels, [&train, &validation, &test]);
    let counts = target_counts(&train.features, task.labels.len());
    let counts = LabelCounts { of_labels: &counts, examples: None };
    task.objective = Objective::new(request.settings, &task.labels, &counts)?;
    for words in [&mut train, &mut validation, &mut test] {
        let weights = weights(&words.features, &task.objective);
        words.features = words.features.clone().weighted(weights);
    }
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

/// The scheme by which entities are found in strict mode; none where tags mark no entities.
fn metrics_scheme(scheme: temper_data::TagScheme) -> Option<TagScheme> {
    match scheme {
        temper_data::TagScheme::Bio => Some(TagScheme::Iob2),
        temper_data::TagScheme::Iob1 => Some(TagScheme::Iob1),
        temper_data::TagScheme::Bioes => Some(TagScheme::Iobes),
        temper_data::TagScheme::Bilou => Some(TagScheme::Bilou),
        temper_data::TagScheme::Plain => None,
    }
}

/// What a model recorded; a model from elsewhere has its words labelled by their first token.
fn aggregation(record: &Map<String, Value>) -> Aggregation {
    let recorded = record.get(AGGREGATION).cloned();
    recorded.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
}

/// Finds what may be wrong with a dataset for this task.
///
/// # Errors
/// What concerns no single row.
pub(super) fn examine(request: &ExamineRequest<'_>) -> Result<Diagnosis, DataError> {
    let asked = TagRequest { rows: request.dataset.clone(), strict: request.settings.strict_tags };
    examine_token_classification(request.hub, &asked, request.measure)
}

fn encode_rows(rows: &[TaggedText], request: &LoadRequest<'_>) -> Result<Words, TrainError> {
    let sentences: Vec<Sentence> = rows.iter().map(Sentence::of_row).collect();
    let tags: Vec<&[usize]> = rows.iter().map(|row| row.tags.as_slice()).collect();
    Ok(encode(&sentences, Some(&tags), &request.encoder(), request.settings.label_all_tokens)?)
}

/// Tokens that are trained to have each label.
fn target_counts(features: &Features, labels: usize) -> Vec<usize> {
    let mut counts = vec![0; labels];
    let ids = features.targets.iter().flat_map(|target| target.ids());
    ids.filter_map(|&id| usize::try_from(id).ok()).for_each(|id| counts[id] += 1);
    counts
}

/// How much the targets of each feature count together.
fn weights(features: &Features, objective: &Objective) -> Vec<f64> {
    let weight = |ids: &[i32]| {
        let labels = ids.iter().filter_map(|&id| usize::try_from(id).ok());
        labels.map(|label| objective.weight(label)).sum()
    };
    features.targets.iter().map(|target| weight(target.ids())).collect()
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
pub(super) fn of_model(_: &Model, config: &ModelConfig, record: &Map<String, Value>) -> OfModel {
    if config.head().map(|head| head.kind.task()) != Some(HeadTask::TokenClassification) {
        return Ok(None);
    }
    let task = TokenClassification::new(config.labels()?);
    Ok(Some(Arc::new(TokenClassification { aggregation: aggregation(record), ..task })))
}

impl Task for TokenClassification {
    fn kind(&self) -> TaskKind {
        TaskKind::TokenClassification
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn record(&self) -> Map<String, Value> {
        Map::from_iter([(AGGREGATION.to_owned(), json!(self.aggregation))])
    }

    fn inputs(&self) -> Inputs {
        Inputs { trained_as: &[("tokens", None)], ..Inputs::TEXTS }
    }

    fn targets_in_words(&self) -> &'static str {
        "one label a word"
    }

    fn outputs_in_words(&self) -> &'static str {
        "probabilities of labels of which one is right for each word (softmax)"
    }

    fn head(&self, settings: &Settings) -> HeadRequest {
        new_head(HeadTask::TokenClassification, &self.labels, settings)
    }

    fn loss(&self, model: &Model, tokens: &TokenBatch, targets: &[Target], mode: Mode) -> Tensor<1> {
        let ids = targets.iter().flat_map(|target| target.ids().iter().copied()).collect();
        self.objective.of_one_label(per_token::logits(model, tokens, mode), ids)
    }

    fn outputs(&self, model: &Model, tokens: &TokenBatch, _targets: &[Target]) -> Vec<Output> {
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
        let sentences: Vec<Sentence> = texts.iter().map(Sentence::of_text).collect();
        let words = encode(&sentences, None, encoder, false)?;
        let predictions = WordPredictions::new(self.names(), sentences, words.readings, &words.features);
        Ok((words.features, Box::new(predictions)))
    }
}

/// A split's sentences, encoded.
#[derive(Debug)]
struct SplitWords {
    rows: Vec<TaggedText>,
    readings: Vec<Vec<WordTokens>>,
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
        let mut predictions = WordPredictions::new(self.task.names(), sentences, readings.clone(), features);
        predictions.truth = rows.iter().map(|row| row.tags.clone()).collect();
        predictions
    }
}

impl Examples for Sentences {
    fn text(&self, split: Split, example: usize) -> String {
        Sentence::of_row(&self.splits[split as usize].rows[example]).text
    }

    fn predictions(self: Arc<Self>, split: Split) -> Box<dyn ScoredPredictions> {
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
        let outside = self.task.names().outside();
        let mut predictions = Sentences::predictions(self, Split::Test);
        for (row, found) in self.splits[Split::Test as usize].rows.iter().zip(&mut predictions.words) {
            for (word, found) in row.words.iter().zip(found) {
                let label = known.get(word.as_str()).copied().unwrap_or(outside);
                *found = Some(WordPrediction { label, probability: 1.0, loss: 0.0 });
            }
        }
        let scores = predictions.scores();
        let metrics = scores.metrics.into_iter().filter(|(name, _)| name != "loss").collect();
        let (interval, scores) = (scores.interval, predictions.example_scores());
        let name = "most frequent label of each word".into();
        vec![Baseline { name, metrics, interval, training_seconds, scores }]
    }
}
