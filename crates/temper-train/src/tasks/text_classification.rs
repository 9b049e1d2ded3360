//! A label of each text; of checkpoints that were trained elsewhere also several labels, or numbers.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};
use serde_json::{Map, Value, json};
use temper_data::{
    DataReport, EncodeSettings, EncodedSet, LabelledText, TextInput, TextTokenizer, encode_all,
    load_text_classification,
};
use temper_hub::Hub;
use temper_models::{Head, HeadRequest, HeadTask, Mode, Model, ModelConfig, OutputMeaning, TokenBatch};

use super::classified::Classified;
use super::{Decoded, Scores, Task};
use crate::data::{Split, SplitSet, Splits, thin_out};
use crate::metrics::{ConfusionMatrix, share_interval};
use crate::terminal::field;
use crate::training::Examples;
use crate::{RunRequest, Settings, TrainError};

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

    fn meaning_in_words(&self) -> &'static str {
        match self.meaning {
            OutputMeaning::SingleLabel => "probabilities of labels of which one is right (softmax)",
            OutputMeaning::MultiLabel => {
                "probabilities of labels that are right or not each by itself (sigmoid)"
            }
            OutputMeaning::Regression => "numbers, not probabilities (problem_type regression)",
        }
    }

    fn by_name(&self, values: &[f64]) -> Value {
        let named = values.iter().enumerate().map(|(id, value)| (self.name(id), json!(value)));
        Value::Object(named.collect())
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

fn encode(
    rows: &[LabelledText],
    tokenizer: &TextTokenizer,
    settings: &Settings,
    cache: &Path,
) -> Result<EncodedSet, TrainError> {
    let texts: Vec<TextInput<'_>> = rows.iter().map(LabelledText::input).collect();
    let encode = EncodeSettings { max_length: settings.max_seq_length, truncation: settings.truncation };
    Ok(encode_all(tokenizer, &texts, &encode, Some(cache))?)
}

fn split(rows: Vec<LabelledText>, encoded: EncodedSet) -> SplitSet<TextClassification> {
    let targets = Arc::new(rows.iter().map(|row| row.label).collect());
    let text = |row: LabelledText| match row.pair {
        Some(pair) => format!("{}\t{pair}", row.text),
        None => row.text,
    };
    let texts = rows.into_iter().map(text).collect();
    SplitSet { texts, examples: Examples { encoded: Arc::new(encoded), targets } }
}

impl Task for TextClassification {
    type Target = usize;
    type Prediction = Classified;

    fn load(
        hub: &Hub,
        request: &RunRequest,
        tokenizer: &TextTokenizer,
        wanted: &[Split],
    ) -> Result<(Self, Splits<Self>), TrainError> {
        let mut data = load_text_classification(hub, &request.dataset_request())?;
        for (split, rows) in
            Split::ALL.into_iter().zip([&mut data.train, &mut data.validation, &mut data.test])
        {
            if !wanted.contains(&split) {
                rows.clear();
            }
        }
        let settings = &request.settings;
        let cache = request.sources.cache().join("encoded");
        let train = encode(&data.train, tokenizer, settings, &cache)?;
        let validation = encode(&data.validation, tokenizer, settings, &cache)?;
        let test = encode(&data.test, tokenizer, settings, &cache)?;
        let mean = train.tokens_total as f64 / train.items.len().max(1) as f64;
        let full_train_tokens = (mean * data.full_train_rows as f64) as usize;
        let (rows, train) = thin_out(std::mem::take(&mut data.train), train, settings.max_train_tokens);
        data.train = rows;
        let report = DataReport::new(&data, [&train, &validation, &test]);
        let splits = Splits {
            name: data.name,
            columns: data.columns,
            resolved: data.resolved,
            train: split(data.train, train),
            validation: split(data.validation, validation),
            test: split(data.test, test),
            full_train_tokens,
            report,
        };
        Ok((Self::new(data.label_names), splits))
    }

    fn of_model(model: &Model, config: &ModelConfig) -> Result<Self, TrainError> {
        match model.head {
            Some(Head::SequenceClassification(_)) => {
                let labels = config.labels()?;
                // transformers has two labels where nothing is said.
                let outputs = if labels.is_empty() { 2 } else { labels.len() };
                Ok(Self { meaning: config.output_meaning(outputs)?, labels })
            }
            _ => Err(TrainError::Usage(
                "the model has no classification head; fine-tune it first: temper finetune MODEL DATASET"
                    .into(),
            )),
        }
    }

    fn check_data(&self, data: &Self) -> Result<(), TrainError> {
        if self.meaning != data.meaning {
            return Err(TrainError::Usage(format!(
                "the dataset has one label a text, and the model is not for that: its outputs are {}",
                self.meaning_in_words()
            )));
        }
        if self.labels != data.labels {
            return Err(TrainError::Usage(format!(
                "the dataset has the labels {:?}, the model {:?}: they belong to different tasks",
                data.labels, self.labels
            )));
        }
        Ok(())
    }

    fn unlabelled(&self, encoded: EncodedSet) -> Examples<Self> {
        // Prediction has no targets; the loader wants one an example.
        let targets = Arc::new(vec![0; encoded.items.len()]);
        Examples { encoded: Arc::new(encoded), targets }
    }

    fn notice(&self) -> Option<String> {
        let words = self.meaning_in_words();
        (self.meaning != OutputMeaning::SingleLabel).then(|| format!("the model's outputs are {words}"))
    }

    fn not_finite(&self, prediction: &Classified) -> Option<&'static str> {
        prediction.logits.iter().any(|logit| !logit.is_finite()).then_some("the model's logits")
    }

    fn head(&self, settings: &Settings) -> HeadRequest {
        HeadRequest::New {
            task: HeadTask::SequenceClassification,
            labels: self.labels.clone(),
            pooling: settings.pooling,
            seed: settings.seed,
        }
    }

    fn loss(&self, model: &Model, tokens: &TokenBatch, targets: &[usize], mode: Mode) -> Tensor<1> {
        let logits = self.logits(model, tokens, mode);
        let ids: Vec<i32> = targets.iter().map(|&target| target as i32).collect();
        let rows = ids.len();
        let device = logits.device().inner();
        let targets = Tensor::<1, Int>::from_data(TensorData::new(ids, [rows]), &device);
        // [sequences, labels] -> [sequences] -> [1]
        temper_kernels::cross_entropy(logits, targets).sum()
    }

    fn predict(&self, model: &Model, tokens: &TokenBatch) -> Vec<Classified> {
        let logits = self.logits(model, tokens, Mode::Evaluate);
        let labels = logits.dims()[1];
        let values: Vec<f32> = logits.into_data().iter::<f32>().collect();
        values.chunks(labels).map(|row| Classified { logits: row.to_vec() }).collect()
    }

    fn score(&self, predictions: &[Classified], targets: &[usize]) -> Scores {
        let pairs = targets.iter().copied().zip(predictions.iter().map(Classified::label));
        let confusion = ConfusionMatrix::new(&self.labels, pairs);
        let losses = predictions.iter().zip(targets).map(|(prediction, &target)| prediction.loss(target));
        Scores {
            metrics: vec![
                ("accuracy", confusion.accuracy()),
                ("macro_f1", confusion.macro_f1()),
                ("mcc", confusion.mcc()),
                ("loss", losses.sum::<f64>() / targets.len().max(1) as f64),
            ],
            interval: share_interval(confusion.correct(), targets.len()),
            baseline: confusion.majority(),
            confusion: Some(confusion),
        }
    }

    fn is_right(&self, prediction: &Classified, target: &usize) -> bool {
        prediction.label() == *target
    }

    fn worst(&self, predictions: &[Classified], targets: &[usize]) -> Vec<(usize, String)> {
        let mut wrong: Vec<(usize, f64)> = predictions
            .iter()
            .zip(targets)
            .enumerate()
            .filter(|(_, (prediction, target))| prediction.label() != **target)
            .map(|(example, (prediction, &target))| (example, prediction.loss(target)))
            .collect();
        wrong.sort_by(|left, right| right.1.total_cmp(&left.1));
        let explain = |example: usize| {
            let prediction = &predictions[example];
            let label = prediction.label();
            format!(
                "{} ({:.0} %), should be {}",
                self.labels[label],
                100.0 * prediction.probabilities()[label],
                self.labels[targets[example]]
            )
        };
        wrong.into_iter().take(10).map(|(example, _)| (example, explain(example))).collect()
    }

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

    fn difference(&self, first: &[Classified], second: &[Classified]) -> f64 {
        let logits = |predictions: &[Classified]| {
            predictions.iter().flat_map(|prediction| prediction.logits.clone()).collect::<Vec<_>>()
        };
        let (first, second) = (logits(first), logits(second));
        let differences = first.iter().zip(&second).map(|(left, right)| f64::from((left - right).abs()));
        // A NaN must not hide behind max, which ignores it.
        differences.fold(0.0, |most, next| if next.is_nan() { f64::INFINITY } else { most.max(next) })
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
        let predictions = [classified(&[2.0, 0.0]), classified(&[9.0, 0.0]), classified(&[0.0, 1.0])];
        let scores = task.score(&predictions, &[0, 1, 0]);
        assert!((scores.headline() - 1.0 / 3.0).abs() < 1e-9);
        assert!((scores.baseline - 2.0 / 3.0).abs() < 1e-9);
        let worst = task.worst(&predictions, &[0, 1, 0]);
        assert_eq!(worst.iter().map(|(example, _)| *example).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(worst[0].1, "neg (100 %), should be pos");
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
    fn numbers_that_are_none_are_seen() {
        let task = TextClassification::new(Vec::new());
        assert_eq!(task.not_finite(&classified(&[1.0, 2.0])), None);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(task.not_finite(&classified(&[1.0, bad])).is_some());
        }
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

    #[test]
    fn a_nan_is_an_infinite_difference() {
        let task = TextClassification::new(Vec::new());
        let difference = task.difference(&[classified(&[1.0, f32::NAN])], &[classified(&[1.5, 0.0])]);
        assert_eq!(difference, f64::INFINITY);
    }
}
