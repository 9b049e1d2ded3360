//! Which model of a run is kept, and when a run ends because it no longer improves.

use super::checkpoint::CheckpointState;
use crate::TrainError;
use crate::settings::Settings;
use crate::tasks::Scores;

/// How evaluations are compared; names and meaning are those of transformers' `TrainingArguments` and
/// `EarlyStoppingCallback` (5.23).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// The metric that chooses; the task's own without one.
    pub metric: Option<String>,
    /// Whether a higher value is better; by default known from the metric's name.
    pub greater_is_better: Option<bool>,
    /// Evaluations in a row without an improvement after which training ends.
    pub patience: Option<usize>,
    /// What an improvement must exceed to count against that patience.
    pub threshold: f64,
}

impl Selection {
    /// What the settings say.
    pub fn new(settings: &Settings) -> Self {
        Self {
            metric: settings.best_metric().map(String::from),
            greater_is_better: settings.greater_is_better,
            patience: settings.early_stopping_patience,
            threshold: settings.early_stopping_threshold,
        }
    }

    /// True if these scores are the best so far; the state is updated.
    ///
    /// # Errors
    /// [`TrainError::Usage`] for a metric that the task does not have.
    pub(super) fn judge(&self, scores: &Scores, state: &mut CheckpointState) -> Result<bool, TrainError> {
        let (value, lower_is_better) = self.value(scores)?;
        let gain = state.best.map(|(best, _)| if lower_is_better { best - value } else { value - best });
        let is_best = gain.is_none_or(|gain| gain > 0.0);
        let improves = gain.is_none_or(|gain| gain > self.threshold);
        state.evaluations_without_gain = if improves { 0 } else { state.evaluations_without_gain + 1 };
        if is_best {
            state.best = Some((value, state.step));
        }
        Ok(is_best)
    }

    /// Whether training ends because nothing improved.
    pub(super) fn is_out_of_patience(&self, state: &CheckpointState) -> bool {
        self.patience.is_some_and(|patience| state.evaluations_without_gain >= patience)
    }

    /// The value that counts, and whether a lower one is better.
    pub(super) fn value(&self, scores: &Scores) -> Result<(f64, bool), TrainError> {
        let name = match &self.metric {
            None => scores.headline_name(),
            Some(asked) => asked,
        };
        let Some((_, value)) = scores.metrics.iter().find(|(known, _)| known == name) else {
            let known: Vec<&str> = scores.metrics.iter().map(|(name, _)| name.as_str()).collect();
            return Err(TrainError::Usage(format!(
                "--metric-for-best-model {name}: the task has {}",
                known.join(", ")
            )));
        };
        let by_name = match name == scores.headline_name() {
            true => scores.lower_is_better,
            false => temper_metrics::lower_is_better(name),
        };
        Ok((*value, self.greater_is_better.map_or(by_name, |greater| !greater)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(accuracy: f64, loss: f64) -> Scores {
        Scores {
            metrics: vec![("accuracy".into(), accuracy), ("loss".into(), loss)],
            lower_is_better: false,
            interval: None,
            baseline: 0.5,
            baseline_name: "",
            confusion: None,
            calibration: None,
            tables: Vec::new(),
        }
    }

    /// Which evaluations were the best so far, and after which training ends.
    fn judged(selection: &Selection, evaluations: &[(f64, f64)]) -> (Vec<usize>, Option<usize>) {
        let (mut state, mut best) = (CheckpointState::default(), Vec::new());
        for (index, &(accuracy, loss)) in evaluations.iter().enumerate() {
            state.step = index + 1;
            if selection.judge(&scores(accuracy, loss), &mut state).unwrap() {
                best.push(index);
            }
            if selection.is_out_of_patience(&state) {
                return (best, Some(index));
            }
        }
        (best, None)
    }

    const RUN: [(f64, f64); 5] = [(0.6, 0.9), (0.7, 0.8), (0.705, 0.85), (0.7, 0.7), (0.72, 0.75)];

    #[test]
    fn the_named_metric_chooses_in_its_direction() {
        assert_eq!(judged(&Selection::default(), &RUN), (vec![0, 1, 2, 4], None));
        let by_loss = Selection { metric: Some("loss".into()), ..Selection::default() };
        assert_eq!(judged(&by_loss, &RUN), (vec![0, 1, 3], None));
        let least = Selection { greater_is_better: Some(false), ..Selection::default() };
        assert_eq!(judged(&least, &RUN).0, [0]);
    }

    #[test]
    fn training_ends_after_evaluations_that_improve_too_little() {
        let selection =
            |patience, threshold| Selection { patience: Some(patience), threshold, ..Selection::default() };
        // 0.705 is kept as the best, but it is no improvement by more than 0.01; nor is 0.7.
        assert_eq!(judged(&selection(2, 0.01), &RUN), (vec![0, 1, 2], Some(3)));
        assert_eq!(judged(&selection(1, 0.0), &RUN), (vec![0, 1, 2], Some(3)));
        assert_eq!(judged(&selection(3, 0.01), &RUN), (vec![0, 1, 2, 4], None));
    }

    #[test]
    fn a_metric_that_the_task_lacks_is_refused_with_those_it_has() {
        let selection = Selection { metric: Some("f1".into()), ..Selection::default() };
        let error = selection.judge(&scores(0.5, 0.5), &mut CheckpointState::default()).unwrap_err();
        assert!(error.to_string().contains("accuracy, loss"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
