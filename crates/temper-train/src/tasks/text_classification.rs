//! A label of each text; of checkpoints that were trained elsewhere also several labels, or numbers.

use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};
use serde_json::{Map, Value, json};
use temper_data::{
    DataReport, EncodeSettings, EncodedSet, LabelledText, SplitContent, Task as Kind, TextClassificationData,
    TextInput, UnlabelledText, encode_all, load_text_classification,
};
use temper_models::{Head, HeadRequest, HeadTask, Mode, Model, ModelConfig, OutputMeaning, TokenBatch};

use super::classified::Classified;
use super::list::OfModel;
use super::{Baseline, Decoded, Encoder, Examples, LoadRequest, Output, Predictions, Scores, Splits, Task};
use crate::baselines::{Fitted, fitted};
use crate::examples::{Features, Split, Target, full_train_tokens, within_budget};
use crate::terminal::field;
use crate::{Settings, TrainError};
use temper_metrics::{ConfusionMatrix, share_interval};

/// One label a text; a checkpoint from elsewhere may give several, or numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct TextClassification {
    /// Names of the labels, by id.
    pub labels: Vec<String>,
    /// What the outputs mean; training is for one label a text.
    pub meaning: OutputMeaning,
}

impl TextClassification {
    /// One of these labels a text.
    pub fn new(labels: Vec<String>) -> Self {
        Self { labels, meaning: OutputMeaning::SingleLabel }
    }

    fn logits(&self, model: &Model, tokens: &TokenBatch, mode: Mode) -> Tensor<2> {
        model.classify(tokens, mode).expect("the model was loaded with a classification head")
    }

    /// What transformers calls the function that makes of logits what is printed.
    fn function(&self) -> &'static str {
        match self.meaning {
            OutputMeaning::SingleLabel => "softmax",
            OutputMeaning::MultiLabel => "sigmoid",
            OutputMeaning::Regression => "none",
        }
    }

    fn by_name(&self, values: &[f64]) -> Value {
        let named = values.iter().enumerate().map(|(id, value)| (self.name(id), json!(value)));
        Value::Object(named.collect())
    }

    /// A prediction in words.
    fn decode(&self, prediction: &Classified) -> Decoded {
        match self.meaning {
            OutputMeaning::SingleLabel => self.decode_label(prediction),
            OutputMeaning::MultiLabel => {
                let probabilities = prediction.independent_probabilities();
                let labels = probabilities.iter().enumerate().filter(|(_, probability)| **probability >= 0.5);
                let labels: Vec<String> = labels.map(|(id, _)| self.name(id)).collect();
                let mut fields = Map::from_iter([("labels".to_owned(), json!(labels))]);
                fields.insert("probabilities".into(), self.by_name(&probabilities));
                self.decode_each(&probabilities, fields, prediction)
            }
            OutputMeaning::Regression => {
                let values: Vec<f64> = prediction.logits.iter().map(|&logit| f64::from(logit)).collect();
                let fields = Map::from_iter([("values".to_owned(), self.by_name(&values))]);
                self.decode_each(&values, fields, prediction)
            }
        }
    }

    /// The label with the highest probability.
    fn decode_label(&self, prediction: &Classified) -> Decoded {
        let (label, probabilities) = (prediction.label(), prediction.probabilities());
        let mut fields = Map::new();
        fields.insert("label".into(), json!(self.name(label)));
        fields.insert("probabilities".into(), self.by_name(&probabilities));
        fields.insert("logits".into(), json!(prediction.logits));
        Decoded { line: format!("{}\t{:.4}", field(&self.name(label)), probabilities[label]), fields }
    }

    /// Every output by name, as `name=value`.
    fn decode_each(
        &self,
        values: &[f64],
        mut fields: Map<String, Value>,
        prediction: &Classified,
    ) -> Decoded {
        fields.insert("function".into(), json!(self.function()));
        fields.insert("logits".into(), json!(prediction.logits));
        let column = |(id, value): (usize, &f64)| format!("{}={value:.4}", field(&self.name(id)));
        let line = values.iter().enumerate().map(column).collect::<Vec<_>>().join("\t");
        Decoded { line, fields }
    }

    fn name(&self, label: usize) -> String {
        self.labels.get(label).cloned().unwrap_or_else(|| format!("LABEL_{label}"))
    }
}

/// Reads and encodes a dataset for this task.
///
/// # Errors
/// [`TrainError::Data`].
pub(super) fn load(request: &LoadRequest<'_>) -> Result<Splits, TrainError> {
    let TextClassificationData { mut rows, label_names } =
        load_text_classification(request.hub, &request.dataset)?;
    request.drop_unwanted(&mut rows);
    let train = encode(&rows.train, request)?;
    let validation = encode(&rows.validation, request)?;
    let test = encode(&rows.test, request)?;
    let full_train_tokens = full_train_tokens(&train, rows.train.len(), rows.full_train_rows);
    let train = thin_out(&mut rows.train, train, request.settings.max_train_tokens);
    let counts = [&rows.train, &rows.validation, &rows.test].map(|rows| counts(rows, label_names.len()));
    let [of_train, of_validation, of_test] = &counts;
    let contents = [content(of_train, &train), content(of_validation, &validation), content(of_test, &test)];
    let report = DataReport::new(&rows, &label_names, contents);
    let task = TextClassification::new(label_names);
    Ok(Splits {
        task: Arc::new(task.clone()),
        name: rows.name,
        columns: rows.columns,
        resolved: rows.resolved,
        train: features(&rows.train, train),
        validation: features(&rows.validation, validation),
        test: features(&rows.test, test),
        examples: Arc::new(Texts { task, rows: [rows.train, rows.validation, rows.test] }),
        full_train_tokens,
        report,
    })
}

fn features(rows: &[LabelledText], encoded: EncodedSet) -> Features {
    Features::one_each(encoded, rows.iter().map(|row| Target::Ids(vec![row.label as i32])).collect())
}

fn content<'a>(labels: &'a [usize], encoded: &'a EncodedSet) -> SplitContent<'a> {
    SplitContent { examples: encoded.items.len(), labels, encoded }
}

/// Examples of each label.
fn counts(rows: &[LabelledText], labels: usize) -> Vec<usize> {
    let mut counts = vec![0; labels];
    rows.iter().for_each(|row| counts[row.label] += 1);
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
pub(super) fn of_model(model: &Model, config: &ModelConfig, _: &Map<String, Value>) -> OfModel {
    if !matches!(model.head, Some(Head::SequenceClassification(_))) {
        return Ok(None);
    }
    let labels = config.labels()?;
    // transformers has two labels where nothing is said.
    let outputs = if labels.is_empty() { 2 } else { labels.len() };
    let meaning = config.output_meaning(outputs)?;
    Ok(Some(Arc::new(TextClassification { labels, meaning })))
}

impl Task for TextClassification {
    fn kind(&self) -> Kind {
        Kind::TextClassification
    }

    fn labels(&self) -> &[String] {
        &self.labels
    }

    fn targets_in_words(&self) -> &'static str {
        match self.meaning {
            OutputMeaning::SingleLabel => "one label a text",
            OutputMeaning::MultiLabel => "any number of labels a text",
            OutputMeaning::Regression => "numbers for a text",
        }
    }

    fn outputs_in_words(&self) -> &'static str {
        match self.meaning {
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
            labels: self.labels.clone(),
            pooling: settings.pooling,
            seed: settings.seed,
        }
    }

    fn notice(&self) -> Option<String> {
        let words = self.outputs_in_words();
        (self.meaning != OutputMeaning::SingleLabel).then(|| format!("the model's outputs are {words}"))
    }

    fn loss(&self, model: &Model, tokens: &TokenBatch, targets: &[Target], mode: Mode) -> Tensor<1> {
        let logits = self.logits(model, tokens, mode);
        let ids: Vec<i32> = targets.iter().flat_map(|target| ids_of(target).iter().copied()).collect();
        let rows = ids.len();
        let device = logits.device().inner();
        let targets = Tensor::<1, Int>::from_data(TensorData::new(ids, [rows]), &device);
        // [sequences, labels] -> [sequences] -> [1]
        temper_kernels::cross_entropy(logits, targets).sum()
    }

    fn outputs(&self, model: &Model, tokens: &TokenBatch) -> Vec<Output> {
        let logits = self.logits(model, tokens, Mode::Evaluate);
        let columns = logits.dims()[1];
        let values: Vec<f32> = logits.into_data().iter::<f32>().collect();
        values.chunks(columns).map(|row| Output { columns, logits: row.to_vec() }).collect()
    }

    fn begin(
        &self,
        texts: &[UnlabelledText],
        encoded: EncodedSet,
        _encoder: &Encoder<'_>,
    ) -> Result<(Features, Box<dyn Predictions>), TrainError> {
        let rows = vec![None; texts.len()];
        let predictions = Classifications { task: self.clone(), rows, targets: Vec::new() };
        Ok((Features::unlabelled(encoded), Box::new(predictions)))
    }
}

/// The ids of a target; none of one that is not known.
fn ids_of(target: &Target) -> &[i32] {
    match target {
        Target::Ids(ids) => ids,
        _ => &[],
    }
}

/// The labelled texts of a dataset.
#[derive(Debug)]
struct Texts {
    task: TextClassification,
    /// By split.
    rows: [Vec<LabelledText>; 3],
}

impl Texts {
    fn split(&self, split: Split) -> &[LabelledText] {
        &self.rows[split as usize]
    }

    fn texts(&self, split: Split) -> Vec<String> {
        self.split(split).iter().map(in_words).collect()
    }

    fn labels(&self, split: Split) -> Vec<usize> {
        self.split(split).iter().map(|row| row.label).collect()
    }
}

/// A text; those of a pair with a TAB between.
fn in_words(row: &LabelledText) -> String {
    match &row.pair {
        Some(pair) => format!("{}\t{pair}", row.text),
        None => row.text.clone(),
    }
}

impl Examples for Texts {
    fn text(&self, split: Split, example: usize) -> String {
        in_words(&self.split(split)[example])
    }

    fn predictions(self: Arc<Self>, split: Split) -> Box<dyn Predictions> {
        let targets = self.labels(split);
        Box::new(Classifications { task: self.task.clone(), rows: vec![None; targets.len()], targets })
    }

    fn baselines(&self) -> Vec<Baseline> {
        let labels = self.task.labels.len();
        let (train, test) = (self.texts(Split::Train), self.texts(Split::Test));
        let scored = |Fitted { name, log_probabilities, training_seconds }: Fitted| {
            let classified =
                |row: Vec<f64>| Classified { logits: row.iter().map(|&value| value as f32).collect() };
            let rows = log_probabilities.into_iter().map(classified).map(Some).collect();
            let predictions =
                Classifications { task: self.task.clone(), rows, targets: self.labels(Split::Test) };
            let scores = predictions.scores();
            let (metrics, interval) = (scores.metrics, scores.interval);
            Baseline { name, metrics, interval, training_seconds, scores: predictions.example_scores() }
        };
        fitted(&train, &self.labels(Split::Train), labels, &test).into_iter().map(scored).collect()
    }
}

/// What a model says of some texts.
struct Classifications {
    task: TextClassification,
    /// By text, as far as they came.
    rows: Vec<Option<Classified>>,
    /// The right labels; none where they are not known.
    targets: Vec<usize>,
}

impl Classifications {
    /// Those that came, with what they should be.
    fn pairs(&self) -> impl Iterator<Item = (usize, &Classified, usize)> {
        let rows = self.rows.iter().zip(&self.targets).enumerate();
        rows.filter_map(|(example, (row, &target))| Some((example, row.as_ref()?, target)))
    }
}

impl Predictions for Classifications {
    fn add(&mut self, feature: usize, output: Output) {
        self.rows[feature] = Some(Classified { logits: output.logits });
    }

    fn scores(&self) -> Scores {
        let pairs = self.pairs().map(|(_, row, target)| (target, row.label()));
        let confusion = ConfusionMatrix::new(&self.task.labels, pairs);
        let loss: f64 = self.pairs().map(|(_, row, target)| row.loss(target)).sum();
        let count = self.targets.len();
        let metrics = [
            ("accuracy", confusion.accuracy()),
            ("macro_f1", confusion.macro_f1()),
            ("mcc", confusion.mcc()),
            ("loss", loss / count.max(1) as f64),
        ];
        Scores {
            metrics: metrics.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            lower_is_better: false,
            interval: Some(share_interval(confusion.correct(), count)),
            baseline: confusion.majority(),
            baseline_name: "always the most common label",
            confusion: Some(confusion),
            tables: Vec::new(),
        }
    }

    fn example_scores(&self) -> Vec<f64> {
        self.pairs().map(|(_, row, target)| f64::from(u8::from(row.label() == target))).collect()
    }

    fn worst(&self, count: usize) -> Vec<(usize, String)> {
        let wrong = self.pairs().filter(|(_, row, target)| row.label() != *target);
        let mut wrong: Vec<(usize, &Classified, usize)> = wrong.collect();
        wrong.sort_by(|left, right| right.1.loss(right.2).total_cmp(&left.1.loss(left.2)));
        let explain = |row: &Classified, target: usize| {
            format!(
                "{} ({:.0} %), should be {}",
                self.task.labels[row.label()],
                100.0 * row.probabilities()[row.label()],
                self.task.labels[target]
            )
        };
        wrong.into_iter().take(count).map(|(example, row, target)| (example, explain(row, target))).collect()
    }

    fn decode(&self, example: usize) -> Decoded {
        match &self.rows[example] {
            Some(row) => self.task.decode(row),
            None => Decoded { line: String::new(), fields: Map::new() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(logits: &[f32]) -> Classified {
        Classified { logits: logits.to_vec() }
    }

    #[test]
    fn scores_and_worst_errors() {
        let task = TextClassification::new(vec!["neg".into(), "pos".into()]);
        let rows = [classified(&[2.0, 0.0]), classified(&[9.0, 0.0]), classified(&[0.0, 1.0])];
        let predictions = Classifications { task, rows: rows.map(Some).to_vec(), targets: vec![0, 1, 0] };
        let scores = predictions.scores();
        assert!((scores.headline() - 1.0 / 3.0).abs() < 1e-9);
        assert!((scores.baseline - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(predictions.example_scores(), [1.0, 0.0, 0.0]);
        let worst = predictions.worst(10);
        assert_eq!(worst.iter().map(|(example, _)| *example).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(worst[0].1, "neg (100 %), should be pos");
        assert_eq!(predictions.worst(1).len(), 1);
    }

    #[test]
    fn outputs_are_said_to_be_what_they_are() {
        let labels: Vec<String> = vec!["a".into(), "b".into()];
        let decode = |meaning, logits: &[f32]| {
            TextClassification { labels: labels.clone(), meaning }.decode(&classified(logits))
        };
        let several = decode(OutputMeaning::MultiLabel, &[0.0, 3.0_f32.ln()]);
        assert_eq!(several.line, "a=0.5000\tb=0.7500");
        assert_eq!(several.fields["labels"], json!(["a", "b"]));
        assert_eq!(several.fields["function"], "sigmoid");
        assert!((several.fields["probabilities"]["b"].as_f64().unwrap() - 0.75).abs() < 1e-7);
        let none = decode(OutputMeaning::MultiLabel, &[-1.0, -2.0]);
        assert_eq!(none.fields["labels"], json!([]));
        let number = decode(OutputMeaning::Regression, &[-0.5, 7.0]);
        assert_eq!(number.line, "a=-0.5000\tb=7.0000");
        assert_eq!(number.fields["values"], json!({"a": -0.5, "b": 7.0}));
        assert_eq!(number.fields["function"], "none");
        assert!(!number.fields.contains_key("probabilities"));
    }

    #[test]
    fn data_for_other_outputs_or_labels_is_refused() {
        let data = TextClassification::new(vec!["a".into(), "b".into()]);
        assert!(data.check_data(&data).is_ok());
        for (meaning, words) in
            [(OutputMeaning::MultiLabel, "sigmoid"), (OutputMeaning::Regression, "regression")]
        {
            let model = TextClassification { meaning, ..data.clone() };
            assert!(model.check_data(&data).unwrap_err().to_string().contains(words));
        }
        let other = TextClassification::new(vec!["a".into(), "c".into()]);
        assert!(other.check_data(&data).unwrap_err().to_string().contains("different tasks"));
    }
}
