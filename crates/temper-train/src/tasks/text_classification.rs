//! A label of each text; of checkpoints that were trained elsewhere also several labels, or numbers.

use std::sync::Arc;

use burn::tensor::{Tensor, TensorData};
use serde_json::{Map, Value, json};
use temper_data::{
    DataError, DataReport, Diagnosis, EncodeSettings, EncodedSet, LabelKind, LabelRequest, LabelledText,
    RowsRequest, SplitContent, TaskKind, TextClassificationData, TextInput, TextLabel, UnlabelledText,
    encode_all, examine_text_classification, load_text_classification,
};
use temper_models::{Head, HeadRequest, HeadTask, Mode, Model, ModelConfig, OutputMeaning, TokenBatch};

use super::OfModel;
use super::decisions::LABEL_THRESHOLD;
use super::labelled_texts::LabelledTexts;
use super::objective::{LabelCounts, Objective};
use super::text_outputs::TextOutputs;
use super::text_predictions::TextPredictions;
use super::{Encoder, ExamineRequest, LoadRequest, Output, Predictions, Splits, Task};
use crate::examples::{Features, Target, full_train_tokens, within_budget};
use crate::settings::ProblemType;
use crate::{Settings, TrainError};

/// Where a model's record keeps what its labels are.
const PROBLEM_TYPE: &str = "problem_type";
/// Where it keeps what is between them.
const LABEL_SEPARATOR: &str = "label_separator";

/// One label a text; a checkpoint from elsewhere may give several, or numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct TextClassification {
    outputs: TextOutputs,
    /// The separator of labels in a text cell of its training data.
    separator: Option<String>,
    objective: Objective,
}

impl TextClassification {
    /// One of these labels for each text.
    pub fn new(labels: Vec<String>) -> Self {
        Self::of(labels, OutputMeaning::SingleLabel)
    }

    fn of_kind(labels: Vec<String>, kind: LabelKind) -> Self {
        let meaning = match kind {
            LabelKind::One => OutputMeaning::SingleLabel,
            LabelKind::Several => OutputMeaning::MultiLabel,
            LabelKind::Number => OutputMeaning::Regression,
        };
        Self::of(labels, meaning)
    }

    fn of(labels: Vec<String>, meaning: OutputMeaning) -> Self {
        let outputs = TextOutputs::new(labels, meaning);
        Self { outputs, separator: None, objective: Objective::default() }
    }

    fn logits(&self, model: &Model, tokens: &TokenBatch, mode: Mode) -> Tensor<2> {
        model.classify(tokens, mode).expect("the model was loaded with a classification head")
    }
}

/// Reads and encodes a dataset for this task.
///
/// # Errors
/// [`TrainError::Data`].
pub(super) fn load(request: &LoadRequest<'_>) -> Result<Splits, TrainError> {
    let asked = asked(&request.dataset, request.settings, request.record.as_ref());
    let separator = asked.separator.clone();
    let threshold =
        request.record.as_ref().and_then(label_threshold).unwrap_or(request.settings.label_threshold);
    let TextClassificationData { mut rows, label_names, kind } =
        load_text_classification(request.hub, &asked)?;
    request.drop_unwanted(&mut rows);
    let train = encode(&rows.train, request)?;
    let validation = encode(&rows.validation, request)?;
    let test = encode(&rows.test, request)?;
    let full_train_tokens = full_train_tokens(&train, rows.train.len(), rows.full_train_rows);
    let train = thin_out(&mut rows.train, train, request.settings.max_train_tokens);
    let counts = [&rows.train, &rows.validation, &rows.test].map(|rows| counts(rows, label_names.len()));
    let [of_train, of_validation, of_test] = &counts;
    let contents = [content(of_train, &train), content(of_validation, &validation), content(of_test, &test)];
    let mut task = TextClassification { separator, ..TextClassification::of_kind(label_names, kind) };
    task.outputs.threshold = threshold;
    task.objective = objective(&task, request.settings, of_train, rows.train.len())?;
    let counted: &[String] = if kind == LabelKind::Number { &[] } else { &task.outputs.labels };
    let report = DataReport::new(&rows, counted, contents);
    Ok(Splits {
        task: Arc::new(task.clone()),
        name: rows.name,
        columns: rows.columns,
        resolved: rows.resolved,
        train: features(&rows.train, train, &task),
        validation: features(&rows.validation, validation, &task),
        test: features(&rows.test, test, &task),
        examples: Arc::new(LabelledTexts {
            outputs: task.outputs,
            rows: [rows.train, rows.validation, rows.test],
        }),
        full_train_tokens,
        report,
    })
}

/// Finds what may be wrong with a dataset for this task.
///
/// # Errors
/// What concerns no single row.
pub(super) fn examine(request: &ExamineRequest<'_>) -> Result<Diagnosis, DataError> {
    let asked = asked(&request.dataset, request.settings, None);
    examine_text_classification(request.hub, &asked, request.measure)
}

/// What to read. Labels for a model that is scored are read as in its training, as `record` says.
fn asked(rows: &RowsRequest, settings: &Settings, record: Option<&Map<String, Value>>) -> LabelRequest {
    let recorded = |key: &str| record.and_then(|record| record.get(key));
    let trained = recorded(PROBLEM_TYPE);
    let trained = trained.and_then(|problem| serde_json::from_value(problem.clone()).ok());
    let kind = settings.problem_type.or(trained).map(|problem| match problem {
        ProblemType::SingleLabelClassification => LabelKind::One,
        ProblemType::MultiLabelClassification => LabelKind::Several,
        ProblemType::Regression => LabelKind::Number,
    });
    let trained = recorded(LABEL_SEPARATOR).and_then(Value::as_str).map(str::to_owned);
    LabelRequest { rows: rows.clone(), kind, separator: settings.label_separator.clone().or(trained) }
}

fn label_threshold(record: &Map<String, Value>) -> Option<f64> {
    record.get(LABEL_THRESHOLD).and_then(Value::as_f64)
}

/// What is minimised; it is worked out of the training rows.
///
/// # Errors
/// [`TrainError::Usage`] for settings that do not fit the labels.
fn objective(
    task: &TextClassification,
    settings: &Settings,
    counts: &[usize],
    rows: usize,
) -> Result<Objective, TrainError> {
    let examples = match task.outputs.meaning {
        OutputMeaning::SingleLabel => None,
        OutputMeaning::MultiLabel => Some(rows),
        OutputMeaning::Regression => {
            Objective::refuse(settings, "regression", &[])?;
            return Ok(Objective::default());
        }
    };
    Objective::new(settings, &task.outputs.labels, &LabelCounts { of_labels: counts, examples })
}

fn features(rows: &[LabelledText], encoded: EncodedSet, task: &TextClassification) -> Features {
    let target = |row: &LabelledText| match &row.label {
        TextLabel::One(label) => Target::Ids(vec![*label as i32]),
        TextLabel::Several(labels) => {
            let mut values = vec![0.0; task.outputs.labels.len()];
            labels.iter().for_each(|&label| values[label] = 1.0);
            Target::Values(values)
        }
        TextLabel::Numbers(numbers) => Target::Values(numbers.clone()),
    };
    let weight = |row: &LabelledText| match row.label {
        TextLabel::One(label) => task.objective.weight(label),
        _ => 1.0,
    };
    Features::one_each(encoded, rows.iter().map(target).collect()).weighted(rows.iter().map(weight).collect())
}

fn content<'a>(labels: &'a [usize], encoded: &'a EncodedSet) -> SplitContent<'a> {
    SplitContent { examples: encoded.items.len(), labels, encoded }
}

/// Examples of each label.
fn counts(rows: &[LabelledText], labels: usize) -> Vec<usize> {
    let mut counts = vec![0; labels];
    for row in rows {
        match &row.label {
            TextLabel::One(label) => counts[*label] += 1,
            TextLabel::Several(labels) => labels.iter().for_each(|&label| counts[label] += 1),
            TextLabel::Numbers(_) => {}
        }
    }
    counts
}

fn encode(rows: &[LabelledText], request: &LoadRequest<'_>) -> Result<EncodedSet, TrainError> {
    let texts: Vec<TextInput<'_>> = rows.iter().map(LabelledText::input).collect();
    let Encoder { tokenizer, max_length, truncation, .. } = request.encoder();
    let encode = EncodeSettings { max_length, truncation };
    Ok(encode_all(tokenizer, &texts, &encode, Some(&request.cache))?)
}

/// Keeps the training rows that a token budget leaves.
fn thin_out(rows: &mut Vec<LabelledText>, train: EncodedSet, budget: Option<usize>) -> EncodedSet {
    let from_cache = train.from_cache;
    let kept = within_budget(train.tokens_total, train.items.len(), budget);
    let all = std::mem::take(rows).into_iter().zip(train.items).zip(kept);
    let (kept, items) = all.filter(|(_, kept)| *kept).map(|(pair, _)| pair).unzip();
    *rows = kept;
    EncodedSet::new(items, from_cache)
}

/// The task of a model with a head for labels of texts.
///
/// # Errors
/// [`TrainError::Model`] for labels or a `problem_type` that cannot be understood.
pub(super) fn of_model(model: &Model, config: &ModelConfig, record: &Map<String, Value>) -> OfModel {
    if !matches!(model.head, Some(Head::SequenceClassification(_))) {
        return Ok(None);
    }
    let labels = config.labels()?;
    // transformers has two labels where nothing is said.
    let outputs = if labels.is_empty() { 2 } else { labels.len() };
    let meaning = config.output_meaning(outputs)?;
    let separator = record.get(LABEL_SEPARATOR).and_then(Value::as_str).map(str::to_owned);
    let mut task = TextClassification { separator, ..TextClassification::of(labels, meaning) };
    if let Some(threshold) = label_threshold(record) {
        task.outputs.threshold = threshold;
    }
    Ok(Some(Arc::new(task)))
}

impl Task for TextClassification {
    fn kind(&self) -> TaskKind {
        TaskKind::TextClassification
    }

    fn labels(&self) -> &[String] {
        &self.outputs.labels
    }

    /// How labels are read, where it differs from the default: without it, numbers are classes, and a cell of text is one
    /// label.
    fn record(&self) -> Map<String, Value> {
        let number = (self.outputs.meaning == OutputMeaning::Regression)
            .then(|| json!(self.outputs.meaning.problem_type()));
        let threshold =
            (self.outputs.meaning == OutputMeaning::MultiLabel).then(|| json!(self.outputs.threshold));
        let separator = self.separator.as_ref().map(|separator| json!(separator));
        let parts = [(PROBLEM_TYPE, number), (LABEL_SEPARATOR, separator), (LABEL_THRESHOLD, threshold)];
        parts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }

    fn targets_in_words(&self) -> &'static str {
        match self.outputs.meaning {
            OutputMeaning::SingleLabel => "one label for each text",
            OutputMeaning::MultiLabel => "any number of labels for each text",
            OutputMeaning::Regression => "numbers for a text",
        }
    }

    fn outputs_in_words(&self) -> &'static str {
        match self.outputs.meaning {
            OutputMeaning::SingleLabel => "probabilities of labels of which one is right (softmax)",
            OutputMeaning::MultiLabel => {
                "probabilities of labels that are right or not each by itself (sigmoid)"
            }
            OutputMeaning::Regression => "numbers, not probabilities (problem_type regression)",
        }
    }

    fn head(&self, settings: &Settings) -> HeadRequest {
        HeadRequest::New {
            task: HeadTask::SequenceClassification,
            labels: self.outputs.labels.clone(),
            pooling: settings.pooling,
            seed: settings.seed,
            outputs: self.outputs.meaning,
            keep: !settings.new_head,
        }
    }

    fn notice(&self) -> Option<String> {
        let words = self.outputs_in_words();
        (self.outputs.meaning != OutputMeaning::SingleLabel)
            .then(|| format!("the model's outputs are {words}"))
    }

    fn loss(&self, model: &Model, tokens: &TokenBatch, targets: &[Target], mode: Mode) -> Tensor<1> {
        let logits = self.logits(model, tokens, mode);
        let device = logits.device().inner();
        if self.outputs.meaning == OutputMeaning::SingleLabel {
            let ids = targets.iter().flat_map(|target| target.ids().iter().copied()).collect();
            return self.objective.of_one_label(logits, ids);
        }
        let values: Vec<f32> = targets.iter().flat_map(|target| target.values().iter().copied()).collect();
        // [sequences, labels]
        let shape = logits.dims();
        let values = Tensor::<2>::from_data(TensorData::new(values, shape), &device);
        let values = if logits.device().is_autodiff() { Tensor::from_inner(values) } else { values };
        let sum = match self.outputs.meaning {
            OutputMeaning::MultiLabel => self.objective.of_several_labels(logits, values),
            _ => (logits - values).powi_scalar(2).sum(),
        };
        // The mean over the outputs of a text, as in transformers.
        sum / shape[1] as f64
    }

    fn outputs(&self, model: &Model, tokens: &TokenBatch, _targets: &[Target]) -> Vec<Output> {
        let logits = self.logits(model, tokens, Mode::Evaluate);
        let columns = logits.dims()[1];
        let values: Vec<f32> = logits.into_data().iter::<f32>().collect();
        values.chunks(columns).map(|row| Output::new(columns, row.to_vec())).collect()
    }

    fn begin(
        &self,
        texts: &[UnlabelledText],
        encoded: EncodedSet,
        _encoder: &Encoder<'_>,
    ) -> Result<(Features, Box<dyn Predictions>), TrainError> {
        let predictions = TextPredictions::new(self.outputs.clone(), texts.len());
        Ok((Features::unlabelled(encoded), Box::new(predictions)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_for_other_outputs_or_labels_is_refused() {
        let data = TextClassification::new(vec!["a".into(), "b".into()]);
        assert!(data.check_data(&data).is_ok());
        for (meaning, words) in
            [(OutputMeaning::MultiLabel, "sigmoid"), (OutputMeaning::Regression, "regression")]
        {
            let model = TextClassification::of(data.outputs.labels.clone(), meaning);
            assert!(model.check_data(&data).unwrap_err().to_string().contains(words));
        }
        let other = TextClassification::new(vec!["a".into(), "c".into()]);
        assert!(other.check_data(&data).unwrap_err().to_string().contains("different tasks"));
    }
}
