//! Predictions of a split, and their scores.

use std::time::Instant;

use burn::data::dataloader::DataLoader;
use burn::module::Module;
use burn::train::InferenceStep;

use super::learner::{MicroBatch, TaskModel};
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
    let started = Instant::now();
    let bar = progress.evaluation(loader.num_items());
    let predictions = predict_with(model, loader, |done| bar.inc(done as u64));
    bar.finish_and_clear();
    scored(model, loader, predictions, started)
}

/// As [`evaluate`]; nothing where `stopped` says so after a batch.
pub fn evaluate_unless<T: Task>(
    model: &TaskModel<T>,
    loader: &EvaluationLoader<T>,
    progress: &Progress,
    stopped: impl Fn() -> bool,
) -> Option<Evaluation<T>> {
    let started = Instant::now();
    let bar = progress.evaluation(loader.num_items());
    let mut batches = loader.iter().flatten().take_while(|_| !stopped());
    let predictions = predicted(model, loader, &mut batches, |done| bar.inc(done as u64));
    bar.finish_and_clear();
    (predictions.len() == loader.num_items()).then(|| scored(model, loader, predictions, started))
}

fn scored<T: Task>(
    model: &TaskModel<T>,
    loader: &EvaluationLoader<T>,
    predictions: Vec<T::Prediction>,
    started: Instant,
) -> Evaluation<T> {
    let scores = model.task.score(&predictions, loader.targets());
    Evaluation { predictions, scores, seconds: started.elapsed().as_secs_f64() }
}

/// Predicts without autodiff, in the split's order.
pub fn predict<T: Task>(model: &TaskModel<T>, loader: &EvaluationLoader<T>) -> Vec<T::Prediction> {
    predict_with(model, loader, |_| {})
}

fn predict_with<T: Task>(
    model: &TaskModel<T>,
    loader: &EvaluationLoader<T>,
    on_batch: impl Fn(usize),
) -> Vec<T::Prediction> {
    // The loader holds its data in memory: no batch fails. Its plan visits every example once.
    predicted(model, loader, &mut loader.iter().flatten(), on_batch)
}

/// Only predictions are kept, never a split's hidden states.
fn predicted<T: Task>(
    model: &TaskModel<T>,
    loader: &EvaluationLoader<T>,
    batches: &mut dyn Iterator<Item = MicroBatch<T>>,
    on_batch: impl Fn(usize),
) -> Vec<T::Prediction> {
    let model = model.valid();
    let mut predictions: Vec<Option<T::Prediction>> = vec![None; loader.num_items()];
    for batch in batches {
        let output = InferenceStep::step(&model, batch);
        on_batch(output.examples.len());
        for (example, prediction) in output.examples.into_iter().zip(output.predictions) {
            predictions[example] = Some(prediction);
        }
    }
    predictions.into_iter().flatten().collect()
}
