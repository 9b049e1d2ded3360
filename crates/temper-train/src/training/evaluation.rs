use burn::data::dataloader::DataLoader;
use burn::module::Module;
use burn::train::InferenceStep;

use super::learner::TaskModel;
use super::loader::EvaluationLoader;
use super::progress::Progress;
use crate::tasks::{Scores, Task};

/// A split's predictions, in the split's order, and their scores.
#[derive(Clone, Debug)]
pub struct Evaluation<T: Task> {
    /// One an example.
    pub predictions: Vec<T::Prediction>,
    /// Over all of them.
    pub scores: Scores,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// Predicts a split and scores it.
pub fn evaluate<T: Task>(
    model: &TaskModel<T>,
    loader: &EvaluationLoader<T>,
    progress: &Progress,
) -> Evaluation<T> {
    let started = std::time::Instant::now();
    let bar = progress.evaluation(loader.num_items());
    let predictions = predict_with(model, loader, |done| bar.inc(done as u64));
    bar.finish_and_clear();
    let scores = model.task.score(&predictions, loader.targets());
    Evaluation { predictions, scores, seconds: started.elapsed().as_secs_f64() }
}

/// Predicts without autodiff, in the split's order.
pub fn predict<T: Task>(model: &TaskModel<T>, loader: &EvaluationLoader<T>) -> Vec<T::Prediction> {
    predict_with(model, loader, |_| {})
}

/// Only predictions are kept, never a split's hidden states.
fn predict_with<T: Task>(
    model: &TaskModel<T>,
    loader: &EvaluationLoader<T>,
    on_batch: impl Fn(usize),
) -> Vec<T::Prediction> {
    let model = model.valid();
    let mut predictions: Vec<Option<T::Prediction>> = vec![None; loader.num_items()];
    // The loader holds its data in memory: no batch fails.
    for batch in loader.iter().flatten() {
        let output = InferenceStep::step(&model, batch);
        on_batch(output.examples.len());
        for (example, prediction) in output.examples.into_iter().zip(output.predictions) {
            predictions[example] = Some(prediction);
        }
    }
    // The plan visits every example once.
    predictions.into_iter().flatten().collect()
}
