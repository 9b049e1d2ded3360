//! Answers to questions: spans of a context, as in SQuAD.

use std::sync::Arc;

use burn::tensor::Tensor;
use serde_json::{Map, Value, json};
use temper_data::{
    DataError, DataReport, Diagnosis, EncodedSet, Question, QuestionRequest, SplitContent, TaskKind,
    UnlabelledText, examine_question_answering, load_question_answering,
};
use temper_models::{HeadRequest, HeadTask, Mode, Model, ModelConfig, TokenBatch};

use super::OfModel;
use super::answers::{Answers, by_shared_words};
use super::decisions::NULL_THRESHOLD;
use super::objective::Objective;
use super::span_loss::span_loss;
use super::spans::{Contexts, SplitQuestions, encode};
use super::{
    Baseline, Encoder, ExamineRequest, Examples, Inputs, LoadRequest, Output, Pairing, Predictions,
    ScoredPredictions, Splits, Task, new_head, per_token,
};
use crate::examples::{Features, Split, Target, full_train_tokens};
use crate::{Settings, TrainError};

/// A span of a context that answers a question, or none.
#[derive(Clone, Debug, PartialEq)]
pub struct QuestionAnswering {
    /// A question has no answer if the score of that is higher than the best span's by more than this. None where
    /// every question is to be answered.
    pub null_threshold: Option<f64>,
}

/// Reads and encodes a dataset for this task.
///
/// # Errors
/// [`TrainError::Data`].
pub(super) fn load(request: &LoadRequest<'_>) -> Result<Splits, TrainError> {
    Objective::refuse(request.settings, "question answering", &[])?;
    let Settings { version_2_with_negative, null_score_diff_threshold, .. } = *request.settings;
    let trained = request.record.as_ref().map(threshold);
    let unanswerable = version_2_with_negative || trained.flatten().is_some();
    let data = QuestionRequest { rows: request.dataset.clone(), unanswerable };
    let mut rows = load_question_answering(request.hub, &data)?.rows;
    let mut all = rows.train.iter().chain(&rows.validation).chain(&rows.test);
    let unanswerable = unanswerable || all.any(|row| row.is_impossible);
    request.drop_unwanted(&mut rows);
    // A model answers as it was trained to, whatever the data is that it is scored on.
    let null_threshold = trained.unwrap_or(unanswerable.then_some(null_score_diff_threshold));
    let task = QuestionAnswering { null_threshold };

    let encoded = |rows: &[Question]| encode(rows, &request.encoder(), true);
    let mut train = encoded(&rows.train)?;
    let full_train_tokens =
        full_train_tokens(&train.features.encoded, rows.train.len(), rows.full_train_rows);
    if request.thin_out(&mut rows.train, &train.features) {
        train = encoded(&rows.train)?;
    }
    let (validation, test) = (encoded(&rows.validation)?, encoded(&rows.test)?);
    let contents =
        [content(&rows.train, &train), content(&rows.validation, &validation), content(&rows.test, &test)];
    let report = DataReport::new(&rows, &[], contents);
    let [train_features, validation_features, test_features] =
        [&train, &validation, &test].map(|contexts| contexts.features.clone());
    let split = |rows: Vec<Question>, contexts: Contexts| SplitQuestions {
        rows: rows.into(),
        windows: contexts.windows.into(),
        features: contexts.features,
    };
    let splits = [split(rows.train, train), split(rows.validation, validation), split(rows.test, test)];
    Ok(Splits {
        task: Arc::new(task.clone()),
        name: rows.name,
        columns: rows.columns,
        resolved: rows.resolved,
        examples: Arc::new(Questions { task, unanswerable, splits }),
        train: train_features,
        validation: validation_features,
        test: test_features,
        full_train_tokens,
        report,
    })
}

/// Finds what may be wrong with a dataset for this task.
///
/// # Errors
/// What concerns no single row.
pub(super) fn examine(request: &ExamineRequest<'_>) -> Result<Diagnosis, DataError> {
    let unanswerable = request.settings.version_2_with_negative;
    let asked = QuestionRequest { rows: request.dataset.clone(), unanswerable };
    examine_question_answering(request.hub, &asked, request.measure)
}

fn content<'a>(rows: &[Question], contexts: &'a Contexts) -> SplitContent<'a> {
    SplitContent { examples: rows.len(), labels: &[], encoded: &contexts.features.encoded }
}

fn threshold(record: &Map<String, Value>) -> Option<f64> {
    record.get(NULL_THRESHOLD).and_then(Value::as_f64)
}

/// The task of a model with a head for spans. Without a threshold in its record it answers every question.
pub(super) fn of_model(_: &Model, config: &ModelConfig, record: &Map<String, Value>) -> OfModel {
    let is_for_spans = config.head().map(|head| head.kind.task()) == Some(HeadTask::QuestionAnswering);
    let task = || Arc::new(QuestionAnswering { null_threshold: threshold(record) }) as Arc<dyn Task>;
    Ok(is_for_spans.then(task))
}

impl Task for QuestionAnswering {
    fn kind(&self) -> TaskKind {
        TaskKind::QuestionAnswering
    }

    fn inputs(&self) -> Inputs {
        Inputs { first: "question", second: "context", pairing: Pairing::Always, trained_as: &[] }
    }

    fn record(&self) -> Map<String, Value> {
        self.null_threshold.iter().map(|&threshold| (NULL_THRESHOLD.to_owned(), json!(threshold))).collect()
    }

    fn targets_in_words(&self) -> &'static str {
        "a span of a context for each question"
    }

    fn outputs_in_words(&self) -> &'static str {
        "probabilities of the tokens where an answer begins and of those where it ends"
    }

    fn head(&self, settings: &Settings) -> HeadRequest {
        new_head(HeadTask::QuestionAnswering, &[], settings)
    }

    fn loss(&self, model: &Model, tokens: &TokenBatch, targets: &[Target], mode: Mode) -> Tensor<1> {
        span_loss(per_token::logits(model, tokens, mode), &tokens.sequences, targets)
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
        let asked = |text: &UnlabelledText| Question {
            id: String::new(),
            title: None,
            question: text.text.clone(),
            context: text.pair.clone().unwrap_or_default(),
            answers: Vec::new(),
            is_impossible: false,
            row: text.row,
        };
        let rows: Vec<Question> = texts.iter().map(asked).collect();
        let Contexts { features, windows } = encode(&rows, encoder, false)?;
        let split = SplitQuestions { rows: rows.into(), windows: windows.into(), features };
        let answers = Answers::new(self.null_threshold, false, &split);
        Ok((split.features, Box::new(answers)))
    }
}

/// The questions of a dataset.
#[derive(Debug)]
struct Questions {
    task: QuestionAnswering,
    /// Whether some have no answer.
    unanswerable: bool,
    /// By split.
    splits: [SplitQuestions; 3],
}

impl Questions {
    fn answers(&self, split: Split) -> Answers {
        Answers::new(self.task.null_threshold, self.unanswerable, &self.splits[split as usize])
    }
}

impl Examples for Questions {
    /// The question and its context with a TAB between.
    fn text(&self, split: Split, example: usize) -> String {
        let row = &self.splits[split as usize].rows[example];
        format!("{}\t{}", row.question, row.context)
    }

    fn predictions(self: Arc<Self>, split: Split) -> Box<dyn ScoredPredictions> {
        Box::new(self.answers(split))
    }

    /// Of the sentence that shares most words with the question, the longest run of words that the question does not
    /// have. It learns nothing.
    fn baselines(&self) -> Vec<Baseline> {
        let mut answers = self.answers(Split::Test);
        let rows = &self.splits[Split::Test as usize].rows;
        answers.give(rows.iter().map(|row| by_shared_words(&row.question, &row.context)));
        let scores = answers.scores();
        let metrics = scores.metrics.into_iter().filter(|(name, _)| name != "loss").collect();
        let name = "other words of the closest sentence".into();
        let (interval, scores) = (scores.interval, answers.example_scores());
        vec![Baseline { name, metrics, interval, training_seconds: 0.0, scores }]
    }
}
