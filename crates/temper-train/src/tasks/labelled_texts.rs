//! The labelled texts of a dataset: what is predicted of them, and what simple baselines score on them.

use std::sync::Arc;

use temper_data::{LabelledText, TextLabel, UnlabelledText};
use temper_models::OutputMeaning;

use super::classified::Classified;
use super::text_outputs::TextOutputs;
use super::text_predictions::TextPredictions;
use super::{Baseline, Examples, ScoredPredictions};
use crate::baselines::{Fitted, fitted};
use crate::examples::Split;

/// The labelled texts of a dataset.
#[derive(Debug)]
pub(super) struct LabelledTexts {
    pub(super) outputs: TextOutputs,
    /// By split.
    pub(super) rows: [Vec<LabelledText>; 3],
}

impl LabelledTexts {
    fn split(&self, split: Split) -> &[LabelledText] {
        &self.rows[split as usize]
    }

    fn in_words(&self, split: Split) -> Vec<String> {
        self.split(split).iter().map(in_words).collect()
    }

    fn labels(&self, split: Split) -> Vec<TextLabel> {
        self.split(split).iter().map(|row| row.label.clone()).collect()
    }
}

/// A text; those of a pair with a TAB between.
fn in_words(row: &LabelledText) -> String {
    match &row.pair {
        Some(pair) => format!("{}\t{pair}", row.text),
        None => row.text.clone(),
    }
}

impl Examples for LabelledTexts {
    fn text(&self, split: Split, example: usize) -> String {
        in_words(&self.split(split)[example])
    }

    fn texts(&self, split: Split, example: usize) -> Option<UnlabelledText> {
        let LabelledText { text, pair, .. } = self.split(split)[example].clone();
        Some(UnlabelledText { text, pair, row: example + 1, ..UnlabelledText::default() })
    }

    fn predictions(self: Arc<Self>, split: Split) -> Box<dyn ScoredPredictions> {
        let truth = self.labels(split);
        Box::new(TextPredictions {
            truth,
            ..TextPredictions::new(self.outputs.clone(), self.split(split).len())
        })
    }

    /// The most common label and words counted, for one label a text; the mean, for numbers.
    fn baselines(&self) -> Vec<Baseline> {
        let truth = self.labels(Split::Test);
        let scored = |name: String, logits: Vec<Vec<f32>>, training_seconds: f64| {
            let rows = logits.into_iter().map(|logits| Some(Classified { logits })).collect();
            let predictions = TextPredictions { outputs: self.outputs.clone(), rows, truth: truth.clone() };
            let scores = predictions.scores();
            let (metrics, interval) = (scores.metrics, scores.interval);
            Baseline { name, metrics, interval, training_seconds, scores: predictions.example_scores() }
        };
        let train = self.labels(Split::Train);
        match self.outputs.meaning {
            OutputMeaning::SingleLabel => {
                let ids = train.iter().filter_map(|label| match label {
                    TextLabel::One(id) => Some(*id),
                    _ => None,
                });
                let (texts, ids) = (self.in_words(Split::Train), ids.collect::<Vec<_>>());
                let fitted = fitted(&texts, &ids, self.outputs.labels.len(), &self.in_words(Split::Test));
                let logits = |row: Vec<f64>| row.iter().map(|&value| value as f32).collect();
                let scored = |Fitted { name, log_probabilities, training_seconds }: Fitted| {
                    scored(name, log_probabilities.into_iter().map(logits).collect(), training_seconds)
                };
                fitted.into_iter().map(scored).collect()
            }
            meaning => {
                let means = means(&train, self.outputs.labels.len());
                let (name, logits): (_, Vec<f32>) = match meaning {
                    OutputMeaning::MultiLabel => {
                        ("share of each label", means.iter().map(|&mean| log_odds(mean)).collect())
                    }
                    _ => ("mean", means),
                };
                vec![scored(name.into(), vec![logits; truth.len()], 0.0)]
            }
        }
    }
}

/// The logit of a share. One that all texts have, or none, is taken for nearly so: its loss stays finite.
fn log_odds(share: f32) -> f32 {
    let share = share.clamp(1e-6, 1.0 - 1e-6);
    (share / (1.0 - share)).ln()
}

/// The mean of each output's targets; of labels, the share of the texts that have them.
fn means(labels: &[TextLabel], outputs: usize) -> Vec<f32> {
    let mut sums = vec![0.0; outputs];
    for label in labels {
        match label {
            TextLabel::One(label) => sums[*label] += 1.0,
            TextLabel::Several(labels) => labels.iter().for_each(|&label| sums[label] += 1.0),
            TextLabel::Numbers(numbers) => {
                numbers.iter().zip(&mut sums).for_each(|(number, sum)| *sum += number)
            }
        }
    }
    sums.iter().map(|sum| sum / labels.len().max(1) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_all_texts_have_or_none_has_finite_odds() {
        assert_eq!(log_odds(0.5), 0.0);
        for share in [0.0, 1.0] {
            assert!(log_odds(share).is_finite() && log_odds(share).abs() > 13.0);
        }
    }
}
