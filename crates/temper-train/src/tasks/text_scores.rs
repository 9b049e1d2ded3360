//! The scores of predictions for texts: of one label, of several, of numbers.

use serde_json::{Map, Value, json};
use temper_data::TextLabel;
use temper_metrics::multilabel::{MultiLabelScores, micro_threshold};
use temper_metrics::{
    CALIBRATION_BINS, Calibration, ConfusionMatrix, Counts, PrecisionRecall, RegressionScores,
    bootstrap_interval, share_interval,
};
use temper_models::OutputMeaning;

use super::classified::Classified;
use super::decisions::LABEL_THRESHOLD;
use super::text_predictions::TextPredictions;
use super::{ScoreTable, ScoredPredictions, Scores};

/// Seed of the resamples that an interval is of.
const INTERVAL_SEED: u64 = 42;

impl TextPredictions {
    fn loss(&self) -> f64 {
        let losses = self.pairs().map(|(_, row, truth)| loss(row, truth));
        losses.sum::<f64>() / self.truth.len().max(1) as f64
    }

    fn single_scores(&self) -> Scores {
        let confusion = ConfusionMatrix::new(
            &self.outputs.labels,
            self.single().map(|(_, row, truth)| (truth, row.label())),
        );
        let metrics = [
            ("accuracy", confusion.accuracy()),
            ("macro_f1", confusion.macro_f1()),
            ("mcc", confusion.mcc()),
            ("loss", self.loss()),
            ("macro_recall", confusion.macro_recall()),
        ];
        Scores {
            metrics: named(&metrics),
            lower_is_better: false,
            interval: Some(share_interval(confusion.correct(), self.truth.len())),
            baseline: confusion.majority(),
            baseline_name: "always the most common label",
            confusion: Some(confusion),
            calibration: self.calibration(),
            tables: Vec::new(),
        }
    }

    /// None where a probability is no number, or there is no example.
    fn calibration(&self) -> Option<Calibration> {
        let sure = |(_, row, truth): (usize, &Classified, usize)| {
            let label = row.label();
            (row.probabilities()[label], label == truth)
        };
        Calibration::of(&self.single().map(sure).collect::<Vec<_>>(), CALIBRATION_BINS).ok()
    }

    /// As scikit-learn 1.9 has them with `zero_division=0`.
    fn several_scores(&self) -> Scores {
        let labels = self.outputs.labels.len();
        let (mut scores, mut counts, mut prevalence) =
            (MultiLabelScores::new(labels), Vec::new(), vec![0; labels]);
        for (_, row, truth) in self.pairs() {
            let (right, found) = (flags(truth, labels), self.predicted(row));
            counts.push(count(&right, &found));
            right.iter().zip(&mut prevalence).for_each(|(&right, count)| *count += usize::from(right));
            scores.add(&right, &found).expect("as many outputs as labels");
        }
        let f1 = |texts: &[usize]| sum(texts.iter().map(|&text| &counts[text])).scores().f1;
        // Of any fixed set of labels, that of the labels that more than half of the texts have.
        let texts = counts.len();
        let frequent = prevalence.iter().filter(|&&count| 2 * count > texts);
        let fixed = Counts {
            correct: frequent.clone().sum(),
            predicted: frequent.count() * texts,
            support: prevalence.iter().sum(),
        };
        let rows = scores.by_label().into_iter().zip(&self.outputs.labels);
        let row = |(of, label): (PrecisionRecall, &String)| {
            (label.clone(), vec![of.precision, of.recall, of.f1, of.support as f64])
        };
        let metrics = [
            ("micro_f1", scores.micro_average().f1),
            ("macro_f1", scores.macro_average().f1),
            ("subset_accuracy", scores.subset_accuracy()),
            ("hamming_loss", scores.hamming_loss()),
            ("loss", self.loss()),
        ];
        Scores {
            metrics: named(&metrics),
            lower_is_better: false,
            interval: bootstrap_interval(texts, INTERVAL_SEED, f1),
            baseline: fixed.scores().f1,
            baseline_name: "always the labels that most texts have",
            confusion: None,
            calibration: None,
            tables: vec![ScoreTable {
                title: "Labels",
                columns: vec!["precision", "recall", "f1", "support"],
                rows: rows.map(row).collect(),
            }],
        }
    }

    fn number_scores(&self) -> Scores {
        let numbers = |pair: &dyn Fn(&Classified, &TextLabel) -> Vec<f64>| -> Vec<f64> {
            self.pairs().flat_map(|(_, row, truth)| pair(row, truth)).collect()
        };
        let truth = numbers(&|_, truth| values(truth));
        let found = numbers(&|row, _| row.logits.iter().map(|&logit| f64::from(logit)).collect());
        let outputs = self.outputs.labels.len().max(1);
        let squares: Vec<f64> =
            truth.iter().zip(&found).map(|(right, found)| (right - found).powi(2)).collect();
        let rmse = |texts: &[usize]| {
            let sum: f64 =
                texts.iter().flat_map(|&text| &squares[text * outputs..(text + 1) * outputs]).sum();
            (sum / (texts.len() * outputs) as f64).sqrt()
        };
        let mut metrics = Vec::new();
        if let Ok(scores) = RegressionScores::of(&truth, &found) {
            let errors = [("rmse", Some(scores.rmse)), ("mae", Some(scores.mae))];
            // Of several outputs together, a correlation says little.
            let correlations = [("pearson", scores.pearson), ("spearman", scores.spearman)];
            let correlations = correlations.into_iter().filter(|_| outputs == 1);
            let all = errors.into_iter().chain(correlations);
            metrics.extend(all.filter_map(|(name, value)| Some((name.to_owned(), value?))));
            metrics.push(("loss".to_owned(), scores.mse));
        }
        Scores {
            metrics,
            lower_is_better: true,
            interval: bootstrap_interval(squares.len() / outputs, INTERVAL_SEED, rmse),
            baseline: deviation(&truth, outputs),
            baseline_name: "always the mean",
            confusion: None,
            calibration: None,
            tables: Vec::new(),
        }
    }

    fn explain(&self, row: &Classified, truth: &TextLabel) -> String {
        let sets = |flags: Vec<bool>| {
            let names =
                flags.iter().enumerate().filter(|(_, flag)| **flag).map(|(id, _)| self.outputs.name(id));
            let names: Vec<String> = names.collect();
            if names.is_empty() { "none".to_owned() } else { names.join(", ") }
        };
        match truth {
            TextLabel::One(label) => format!(
                "{} ({:.0} %), should be {}",
                self.outputs.labels[row.label()],
                100.0 * row.probabilities()[row.label()],
                self.outputs.labels[*label]
            ),
            TextLabel::Several(_) => {
                let right = flags(truth, self.outputs.labels.len());
                format!("{}; should be {}", sets(self.predicted(row)), sets(right))
            }
            TextLabel::Numbers(numbers) => format!("{:?}, should be {numbers:?}", row.logits),
        }
    }
}

impl ScoredPredictions for TextPredictions {
    /// The threshold with the highest micro F1.
    fn tuned(&self) -> Map<String, Value> {
        if self.outputs.meaning != OutputMeaning::MultiLabel {
            return Map::new();
        }
        let labels = self.outputs.labels.len();
        let (probabilities, truth): (Vec<_>, Vec<_>) = self
            .pairs()
            .map(|(_, row, truth)| (row.independent_probabilities(), flags(truth, labels)))
            .unzip();
        let found = micro_threshold(&probabilities, &truth).expect("as many finite outputs as labels");
        found.into_iter().map(|best| (LABEL_THRESHOLD.to_owned(), json!(best.threshold))).collect()
    }

    fn scores(&self) -> Scores {
        match self.outputs.meaning {
            OutputMeaning::SingleLabel => self.single_scores(),
            OutputMeaning::MultiLabel => self.several_scores(),
            OutputMeaning::Regression => self.number_scores(),
        }
    }

    fn expected(&self, example: usize) -> Option<Value> {
        let name = |label: &usize| self.outputs.labels.get(*label).map(String::as_str);
        Some(match self.truth.get(example)? {
            TextLabel::One(label) => json!(name(label)),
            TextLabel::Several(labels) => json!(labels.iter().map(name).collect::<Vec<_>>()),
            TextLabel::Numbers(numbers) => json!(numbers),
        })
    }

    /// 1 if the label is right; the share of right labels; the error of a number, which is better the nearer it is to 0
    /// from below.
    fn example_scores(&self) -> Vec<f64> {
        let score = |row: &Classified, truth: &TextLabel| match truth {
            TextLabel::One(label) => f64::from(u8::from(row.label() == *label)),
            TextLabel::Several(_) => {
                let right = flags(truth, row.logits.len());
                let same =
                    self.predicted(row).iter().zip(&right).filter(|(found, right)| found == right).count();
                same as f64 / right.len().max(1) as f64
            }
            TextLabel::Numbers(_) => -loss(row, truth).sqrt(),
        };
        self.pairs().map(|(_, row, truth)| score(row, truth)).collect()
    }

    fn worst(&self, count: usize) -> Vec<(usize, String)> {
        let is_wrong = |row: &Classified, truth: &TextLabel| match truth {
            TextLabel::One(label) => row.label() != *label,
            TextLabel::Several(_) => self.predicted(row) != flags(truth, row.logits.len()),
            TextLabel::Numbers(_) => true,
        };
        let wrong = self.pairs().filter(|(_, row, truth)| is_wrong(row, truth));
        let mut wrong: Vec<(usize, &Classified, &TextLabel)> = wrong.collect();
        wrong.sort_by(|left, right| loss(right.1, right.2).total_cmp(&loss(left.1, left.2)));
        let told = wrong.into_iter().take(count);
        told.map(|(example, row, truth)| (example, self.explain(row, truth))).collect()
    }
}

fn named(metrics: &[(&str, f64)]) -> Vec<(String, f64)> {
    metrics.iter().map(|&(name, value)| (name.to_owned(), value)).collect()
}

fn flags(truth: &TextLabel, labels: usize) -> Vec<bool> {
    let mut flags = vec![false; labels];
    if let TextLabel::Several(ids) = truth {
        ids.iter().for_each(|&id| flags[id] = true);
    }
    flags
}

fn values(truth: &TextLabel) -> Vec<f64> {
    match truth {
        TextLabel::Numbers(numbers) => numbers.iter().map(|&number| f64::from(number)).collect(),
        _ => Vec::new(),
    }
}

fn count(right: &[bool], found: &[bool]) -> Counts {
    let both = right.iter().zip(found).filter(|(right, found)| **right && **found).count();
    let of = |flags: &[bool]| flags.iter().filter(|flag| **flag).count();
    Counts { correct: both, predicted: of(found), support: of(right) }
}

fn sum<'a>(all: impl Iterator<Item = &'a Counts>) -> Counts {
    all.fold(Counts::default(), |sum, next| Counts {
        correct: sum.correct + next.correct,
        predicted: sum.predicted + next.predicted,
        support: sum.support + next.support,
    })
}

/// The root of the mean squared difference from the mean of each output.
fn deviation(truth: &[f64], outputs: usize) -> f64 {
    let texts = (truth.len() / outputs).max(1) as f64;
    let of_output = |output: usize| {
        let numbers = || truth.iter().skip(output).step_by(outputs);
        let mean = numbers().sum::<f64>() / texts;
        numbers().map(|number| (number - mean).powi(2)).sum::<f64>() / texts
    };
    ((0..outputs).map(of_output).sum::<f64>() / outputs as f64).sqrt()
}

/// The loss of a text, as in training.
fn loss(row: &Classified, truth: &TextLabel) -> f64 {
    let mean = |losses: Vec<f64>| losses.iter().sum::<f64>() / losses.len().max(1) as f64;
    match truth {
        TextLabel::One(label) => row.loss(*label),
        TextLabel::Several(_) => {
            let right = flags(truth, row.logits.len());
            let losses = row.logits.iter().zip(right).map(|(&logit, right)| {
                let logit = f64::from(logit);
                logit.max(0.0) - if right { logit } else { 0.0 } + (-logit.abs()).exp().ln_1p()
            });
            mean(losses.collect())
        }
        TextLabel::Numbers(numbers) => {
            let losses =
                row.logits.iter().zip(numbers).map(|(&logit, &number)| f64::from(logit - number).powi(2));
            mean(losses.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::text_outputs::TextOutputs;

    fn classified(logits: &[f32]) -> Classified {
        Classified { logits: logits.to_vec() }
    }

    fn predictions(meaning: OutputMeaning, rows: &[&[f32]], truth: Vec<TextLabel>) -> TextPredictions {
        let labels = ["neg", "pos"][..rows[0].len()].iter().map(|label| label.to_string()).collect();
        let rows = rows.iter().map(|row| Some(classified(row))).collect();
        TextPredictions { outputs: TextOutputs::new(labels, meaning), rows, truth }
    }

    fn metric(scores: &Scores, name: &str) -> f64 {
        scores.metrics.iter().find(|(known, _)| known == name).unwrap().1
    }

    #[test]
    fn scores_and_worst_errors() {
        let rows: [&[f32]; 3] = [&[2.0, 0.0], &[9.0, 0.0], &[0.0, 1.0]];
        let truth = [0, 1, 0].map(TextLabel::One).to_vec();
        let predictions = predictions(OutputMeaning::SingleLabel, &rows, truth);
        let scores = predictions.scores();
        assert!((scores.headline() - 1.0 / 3.0).abs() < 1e-9);
        assert!((scores.baseline - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(predictions.example_scores(), [1.0, 0.0, 0.0]);
        // Sure by 0.8808, 0.9999 and 0.7311, in bins of their own: once right, twice wrong.
        let ece = scores.calibration.as_ref().unwrap().ece;
        assert!((ece - (0.119_203 + 0.999_877 + 0.731_059) / 3.0).abs() < 1e-5, "{ece}");
        let worst = predictions.worst(10);
        assert_eq!(worst.iter().map(|(example, _)| *example).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(worst[0].1, "neg (100 %), should be pos");
        assert_eq!(predictions.worst(1).len(), 1);
    }

    #[test]
    fn any_number_of_labels_is_scored_label_by_label() {
        let rows: [&[f32]; 4] = [&[1.0, -1.0], &[1.0, 1.0], &[-1.0, -1.0], &[-1.0, 2.0]];
        let truth = [vec![0], vec![0], vec![], vec![0, 1]].map(TextLabel::Several).to_vec();
        let predictions = predictions(OutputMeaning::MultiLabel, &rows, truth);
        let scores = predictions.scores();
        // Right: three of four predicted labels, three of four that are there.
        assert!((metric(&scores, "micro_f1") - 0.75).abs() < 1e-12);
        assert!((metric(&scores, "subset_accuracy") - 0.5).abs() < 1e-12);
        assert!((metric(&scores, "hamming_loss") - 0.25).abs() < 1e-12);
        // "neg" for every text: three right of four, four predicted, four there.
        assert!((scores.baseline - 0.75).abs() < 1e-12);
        assert_eq!(predictions.example_scores(), [1.0, 0.5, 1.0, 0.5]);
        assert_eq!(predictions.worst(9).len(), 2);
        assert_eq!(predictions.worst(1)[0].1, "neg, pos; should be neg");
        // torch.nn.BCEWithLogitsLoss()(tensor([[1., -1]]), tensor([[1., 0]])): ln(1 + 1/e)
        let loss = loss(&classified(&[1.0, -1.0]), &TextLabel::Several(vec![0]));
        assert!((loss - 0.313_261_687_5).abs() < 1e-9);
    }

    #[test]
    fn numbers_are_scored_by_their_error() {
        let rows: [&[f32]; 3] = [&[1.0], &[2.0], &[4.0]];
        let truth = [1.0, 2.0, 3.0].map(|number| TextLabel::Numbers(vec![number])).to_vec();
        let predictions = predictions(OutputMeaning::Regression, &rows, truth);
        let scores = predictions.scores();
        assert!(scores.lower_is_better && scores.headline_name() == "rmse");
        assert!((scores.headline() - (1.0_f64 / 3.0).sqrt()).abs() < 1e-9);
        // numpy.std([1, 2, 3])
        assert!((scores.baseline - 0.816_496_580_9).abs() < 1e-9);
        // scipy.stats.pearsonr([1, 2, 4], [1, 2, 3]).statistic
        assert!((metric(&scores, "pearson") - 0.981_980_506_1).abs() < 1e-9);
        assert_eq!(predictions.example_scores(), [0.0, 0.0, -1.0]);
    }
}
