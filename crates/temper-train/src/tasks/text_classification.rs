use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Int, Tensor, TensorData};
use serde::Serialize;
use serde_json::{Map, json};
use temper_data::{
    DataReport, EncodeSettings, EncodedSet, LabelledText, TextInput, TextTokenizer, Truncation,
    UnlabelledText, encode_all, load_text_classification,
};
use temper_hub::Hub;
use temper_models::{Head, HeadRequest, HeadTask, Mode, Model, ModelConfig, TokenBatch};

use super::{Decoded, Scores, Task};
use crate::data::{Split, SplitSet, Splits, thin_out};
use crate::metrics::{ConfusionMatrix, share_interval};
use crate::training::Examples;
use crate::{RunRequest, Settings, TrainError};

/// One label a text.
#[derive(Clone, Debug, PartialEq)]
pub struct TextClassification {
    /// Names of the labels, by id.
    pub labels: Vec<String>,
}

/// What a classifier says of one text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Classified {
    /// One a label.
    pub logits: Vec<f32>,
}

impl Classified {
    /// The id of the label with the highest logit.
    pub fn label(&self) -> usize {
        let best = self.logits.iter().enumerate().max_by(|left, right| left.1.total_cmp(right.1));
        best.map_or(0, |(id, _)| id)
    }

    /// Softmax of the logits, one a label.
    pub fn probabilities(&self) -> Vec<f64> {
        let highest = self.logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = self.logits.iter().map(|&logit| f64::from(logit - highest).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.into_iter().map(|power| power / sum).collect()
    }

    /// Cross-entropy in nats.
    pub fn loss(&self, target: usize) -> f64 {
        -self.probabilities()[target].max(f64::MIN_POSITIVE).ln()
    }
}

impl TextClassification {
    fn logits(&self, model: &Model, tokens: &TokenBatch, mode: Mode) -> Tensor<2> {
        model.classify(tokens, mode).expect("the model was loaded with a classification head")
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
            resolved: data.resolved,
            train: split(data.train, train),
            validation: split(data.validation, validation),
            test: split(data.test, test),
            full_train_tokens,
            report,
        };
        Ok((Self { labels: data.label_names }, splits))
    }

    fn of_model(model: &Model, config: &ModelConfig) -> Result<Self, TrainError> {
        match model.head {
            Some(Head::SequenceClassification(_)) => Ok(Self { labels: config.labels()? }),
            _ => Err(TrainError::Usage(
                "the model has no classification head; fine-tune it first: cargo xtask finetune MODEL DATASET".into(),
            )),
        }
    }

    fn encode(
        &self,
        texts: &[UnlabelledText],
        tokenizer: &TextTokenizer,
        max_seq_length: usize,
    ) -> Result<Examples<Self>, TrainError> {
        let inputs: Vec<TextInput<'_>> = texts.iter().map(UnlabelledText::input).collect();
        let settings = EncodeSettings { max_length: max_seq_length, truncation: Truncation::Head };
        let encoded = Arc::new(encode_all(tokenizer, &inputs, &settings, None)?);
        // Prediction has no targets; the loader wants one an example.
        Ok(Examples { encoded, targets: Arc::new(vec![0; texts.len()]) })
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
        let (label, probabilities) = (prediction.label(), prediction.probabilities());
        let named: Map<_, _> =
            probabilities.iter().enumerate().map(|(id, &value)| (self.name(id), json!(value))).collect();
        let mut fields = Map::new();
        fields.insert("label".into(), json!(self.name(label)));
        fields.insert("probabilities".into(), named.into());
        fields.insert("logits".into(), json!(prediction.logits));
        Decoded { line: format!("{}\t{:.4}", self.name(label), probabilities[label]), fields }
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
    fn probabilities_are_softmax_and_do_not_overflow() {
        let probabilities = classified(&[1000.0, 1000.0 + 2.0_f32.ln()]).probabilities();
        assert!((probabilities[0] - 1.0 / 3.0).abs() < 1e-4, "{probabilities:?}");
        assert!((classified(&[0.0, 0.0]).loss(1) - std::f64::consts::LN_2).abs() < 1e-12);
    }

    #[test]
    fn scores_and_worst_errors() {
        let task = TextClassification { labels: vec!["neg".into(), "pos".into()] };
        let predictions = [classified(&[2.0, 0.0]), classified(&[9.0, 0.0]), classified(&[0.0, 1.0])];
        let scores = task.score(&predictions, &[0, 1, 0]);
        assert!((scores.headline() - 1.0 / 3.0).abs() < 1e-9);
        assert!((scores.baseline - 2.0 / 3.0).abs() < 1e-9);
        let worst = task.worst(&predictions, &[0, 1, 0]);
        assert_eq!(worst.iter().map(|(example, _)| *example).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(worst[0].1, "neg (100 %), should be pos");
    }

    #[test]
    fn a_nan_is_an_infinite_difference() {
        let task = TextClassification { labels: Vec::new() };
        let difference = task.difference(&[classified(&[1.0, f32::NAN])], &[classified(&[1.5, 0.0])]);
        assert_eq!(difference, f64::INFINITY);
    }
}
