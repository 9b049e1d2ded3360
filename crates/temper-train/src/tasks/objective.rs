//! What a model with labels is trained to minimise: cross-entropy, perhaps weighted, smoothed or focal.

use burn::tensor::activation::{log_sigmoid, log_softmax};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::{Settings, TrainError};

/// What the probability of the right label is at most, where a power of the rest is taken: its slope stays finite.
const MOST_CERTAIN: f64 = 1e-6;
/// Weights that make each label count the same as a whole.
const BALANCED: &str = "balanced";

/// How losses are weighted, smoothed and focused. Scores do not depend on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Objective {
    /// One a label; none where all count the same.
    class_weights: Option<Vec<f32>>,
    label_smoothing: f64,
    focal_gamma: f64,
}

/// Training examples, by which labels are balanced.
pub(super) struct LabelCounts<'a> {
    /// Of each label.
    pub(super) of_labels: &'a [usize],
    /// Of which an example may have several labels.
    pub(super) examples: Option<usize>,
}

impl Objective {
    /// As the settings say.
    ///
    /// # Errors
    /// [`TrainError::Usage`] for weights that do not fit the labels.
    pub(super) fn new(
        settings: &Settings,
        labels: &[String],
        counts: &LabelCounts<'_>,
    ) -> Result<Self, TrainError> {
        let class_weights = match settings.class_weights.as_deref() {
            None => None,
            Some(BALANCED) => Some(counts.balanced()),
            Some(list) => Some(weights(list, labels)?),
        };
        let Settings { label_smoothing, focal_gamma, .. } = *settings;
        if label_smoothing > 0.0 && focal_gamma > 0.0 {
            return Err(TrainError::Usage(
                "--label-smoothing and --focal-gamma pull in opposite directions: choose one".into(),
            ));
        }
        Ok(Self { class_weights, label_smoothing, focal_gamma })
    }

    /// Refuses settings that a task without labels has no use for, but for those that it has.
    ///
    /// # Errors
    /// [`TrainError::Usage`] with their names.
    pub(super) fn refuse(settings: &Settings, task: &str, but: &[&str]) -> Result<(), TrainError> {
        let given = [
            ("--class-weights", settings.class_weights.is_some()),
            ("--label-smoothing", settings.label_smoothing > 0.0),
            ("--focal-gamma", settings.focal_gamma > 0.0),
        ];
        let given = given.iter().filter(|(name, given)| *given && !but.contains(name));
        let given: Vec<&str> = given.map(|(name, _)| *name).collect();
        if given.is_empty() {
            return Ok(());
        }
        Err(TrainError::Usage(format!("{} is for tasks with labels; {task} has none", given.join(", "))))
    }

    /// How much a target with this label counts in the mean of a step.
    pub(super) fn weight(&self, label: usize) -> f64 {
        self.class_weights.as_ref().map_or(1.0, |weights| f64::from(weights[label]))
    }

    fn weights(&self, device: &Device) -> Option<Tensor<1>> {
        let weights = self.class_weights.clone()?;
        let labels = weights.len();
        Some(constant(Tensor::from_data(TensorData::new(weights, [labels]), &device.clone().inner()), device))
    }

    /// The losses of rows with one label each, added up; a negative label has none. Weights and smoothing are those
    /// of `torch.nn.CrossEntropyLoss` in PyTorch 2.15, the focus that of Lin et al. 2017 (arXiv 1708.02002).
    ///
    /// # Shapes
    /// - logits: `[rows, labels]`, labels: one for each row; output: `[1]`
    pub(super) fn of_one_label(&self, logits: Tensor<2>, labels: Vec<i32>) -> Tensor<1> {
        let ([rows, count], device) = (logits.dims(), logits.device());
        let ids = TensorData::new(labels.clone(), [rows]);
        let ids = Tensor::<1, Int>::from_data(ids, &device.clone().inner());
        let mut losses = temper_kernels::cross_entropy(logits.clone(), ids);
        if self.focal_gamma > 0.0 {
            losses = self.focused(losses);
        }
        if self.class_weights.is_some() {
            let of_rows =
                labels.iter().map(|&label| usize::try_from(label).map_or(0.0, |id| self.weight(id)));
            let of_rows: Vec<f32> = of_rows.map(|weight| weight as f32).collect();
            let of_rows = Tensor::from_data(TensorData::new(of_rows, [rows]), &device.clone().inner());
            losses = losses * constant(of_rows, &device);
        }
        if self.label_smoothing == 0.0 {
            return losses.sum();
        }
        let mut all = log_softmax(logits, 1).neg();
        if let Some(weights) = self.weights(&device) {
            all = all * weights.unsqueeze::<2>();
        }
        let counted: Vec<f32> = labels.iter().map(|&label| if label < 0 { 0.0 } else { 1.0 }).collect();
        let counted = Tensor::from_data(TensorData::new(counted, [rows, 1]), &device.clone().inner());
        let even = (all * constant(counted, &device)).sum() / count as f64;
        losses.sum() * (1.0 - self.label_smoothing) + even * self.label_smoothing
    }

    /// The losses of rows with any number of labels, added up over rows and labels. A class weight is that of
    /// examples that have the label (`pos_weight` of `torch.nn.BCEWithLogitsLoss`).
    ///
    /// # Shapes
    /// - logits, labels (0 or 1): `[rows, labels]`; output: `[1]`
    pub(super) fn of_several_labels(&self, logits: Tensor<2>, labels: Tensor<2>) -> Tensor<1> {
        let device = logits.device();
        let labels = labels * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing;
        // Of s(x) and of 1 - s(x). Composed of relu and abs, neither would have its slope at 0.
        let mut of_having = log_sigmoid(logits.clone()).neg();
        let mut of_lacking = log_sigmoid(logits.neg()).neg();
        if self.focal_gamma > 0.0 {
            of_having = self.focused(of_having);
            of_lacking = self.focused(of_lacking);
        }
        if let Some(weights) = self.weights(&device) {
            of_having = of_having * weights.unsqueeze::<2>();
        }
        (of_having * labels.clone() + of_lacking * (labels.neg() + 1.0)).sum()
    }

    /// `(1 - p)^gamma loss`, where p is the probability of what is right, `exp(-loss)`.
    fn focused<const D: usize>(&self, losses: Tensor<D>) -> Tensor<D> {
        let doubt = (losses.clone().neg().exp().neg() + 1.0).clamp_min(MOST_CERTAIN);
        losses * doubt.powf_scalar(self.focal_gamma)
    }
}

/// A tensor without a gradient next to tensors that may have one.
fn constant<const D: usize>(tensor: Tensor<D>, device: &Device) -> Tensor<D> {
    if device.is_autodiff() { Tensor::from_inner(tensor) } else { tensor }
}

impl LabelCounts<'_> {
    /// With one label an example, scikit-learn's `n / (labels * n of the label)`; with several, examples without it for
    /// each with it. A label that no example has counts 1.
    fn balanced(&self) -> Vec<f32> {
        let present = self.of_labels.iter().filter(|&&count| count > 0).count();
        let total: usize = self.of_labels.iter().sum();
        let weight = |count: usize| match self.examples {
            _ if count == 0 => 1.0,
            None => total as f64 / (present * count) as f64,
            Some(examples) => (examples - count) as f64 / count as f64,
        };
        self.of_labels.iter().map(|&count| weight(count) as f32).collect()
    }
}

/// Weights as a user lists them, in the order of the labels.
fn weights(list: &str, labels: &[String]) -> Result<Vec<f32>, TrainError> {
    let refused = |reason: String| Err(TrainError::Usage(format!("--class-weights {list}: {reason}")));
    let mut found = Vec::new();
    for part in list.split(',') {
        match part.trim().parse::<f32>() {
            Ok(weight) if weight.is_finite() && weight > 0.0 => found.push(weight),
            _ => {
                return refused(format!(
                    "{:?} is not a number above 0; {BALANCED} is possible, too",
                    part.trim()
                ));
            }
        }
    }
    if found.len() != labels.len() {
        let names = labels.join(", ");
        return refused(format!(
            "the labels are {} and not {}, in this order: {names}",
            labels.len(),
            found.len()
        ));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [[f32; 3]; 4] = [[0.5, -1.0, 2.0], [1.5, 0.25, -0.5], [-2.0, 0.0, 1.0], [0.1, 0.2, 0.3]];

    fn logits() -> Tensor<2> {
        Tensor::from_floats(LOGITS, &Device::flex().autodiff()).require_grad()
    }

    fn objective(weights: Option<&[f32]>, label_smoothing: f64, focal_gamma: f64) -> Objective {
        Objective { class_weights: weights.map(<[f32]>::to_vec), label_smoothing, focal_gamma }
    }

    #[track_caller]
    fn assert_close(found: f32, expected: f64) {
        assert!((f64::from(found) - expected).abs() < 1e-5 * expected.max(1.0), "{found}, not {expected}");
    }

    /// Value and summed absolute gradient, as PyTorch 2.15 gives them.
    #[track_caller]
    fn assert_is(compute: impl Fn(Tensor<2>) -> Tensor<1>, value: f64, slope: f64) {
        let logits = logits();
        let loss = compute(logits.clone());
        let gradients = loss.backward();
        assert_close(loss.into_scalar(), value);
        assert_close(logits.grad(&gradients).unwrap().abs().sum().into_scalar(), slope);
    }

    const WEIGHTS: &[f32] = &[1.0, 2.0, 0.5];

    #[test]
    fn losses_of_one_label_are_those_of_pytorch() {
        for (weights, smoothing, gamma, value, slope) in [
            (None, 0.0, 0.0, 3.045206008689203, 3.424581064451892),
            (Some(WEIGHTS), 0.0, 0.0, 4.526502224163426, 4.807172443383066),
            (None, 0.1, 0.0, 3.1685393420225365, 3.0245810644518922),
            (Some(WEIGHTS), 0.1, 0.0, 4.6399593694274905, 4.348328740190701),
            (None, 0.0, 2.0, 1.620420275553232, 3.2872248946988636),
            (Some(WEIGHTS), 0.0, 0.5, 3.924013278437192, 5.04612853836314),
        ] {
            let objective = objective(weights, smoothing, gamma);
            assert_is(|logits| objective.of_one_label(logits, vec![2, 1, -100, 0]), value, slope);
        }
    }

    #[test]
    fn losses_of_several_labels_are_those_of_pytorch() {
        let labels = [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [1.0, 1.0, 1.0]];
        for (weights, smoothing, gamma, value, slope) in [
            (None, 0.0, 0.0, 6.845924017827835, 4.761865299856881),
            (Some(WEIGHTS), 0.0, 0.0, 7.63993759625451, 5.3051803892541765),
            (None, 0.0, 2.0, 2.122671738050413, 2.7335157467797497),
            (None, 0.1, 0.0, 7.138424017827836, 4.161865299856881),
        ] {
            let objective = objective(weights, smoothing, gamma);
            let labels = Tensor::from_floats(labels, &Device::flex().autodiff());
            assert_is(|logits| objective.of_several_labels(logits, labels.clone()), value, slope);
        }
    }

    #[test]
    fn a_right_answer_beyond_doubt_has_a_slope() {
        let logits = Tensor::from_floats([[90.0, -90.0]], &Device::flex().autodiff()).require_grad();
        let gradients = objective(None, 0.0, 0.5).of_one_label(logits.clone(), vec![0]).backward();
        let slope: f32 = logits.grad(&gradients).unwrap().abs().sum().into_scalar();
        assert!(slope.is_finite(), "{slope}");
    }

    #[test]
    fn weights_are_listed_or_balanced() {
        let labels = ["a", "b", "c"].map(String::from);
        assert_eq!(weights("1, 2.5,0.5", &labels).unwrap(), [1.0, 2.5, 0.5]);
        for (list, words) in
            [("1,2", "3 and not 2, in this order: a, b, c"), ("1,x,2", "\"x\""), ("1,0,2", "\"0\"")]
        {
            assert!(weights(list, &labels).unwrap_err().to_string().contains(words), "{list}");
        }
        let one = LabelCounts { of_labels: &[6, 2, 0], examples: None };
        assert_eq!(one.balanced(), [8.0 / 12.0, 2.0, 1.0]);
        let several = LabelCounts { of_labels: &[2, 5, 0], examples: Some(10) };
        assert_eq!(several.balanced(), [4.0, 1.0, 1.0]);
    }
}
