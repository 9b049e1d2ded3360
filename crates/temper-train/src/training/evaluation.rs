//! Predictions of a split, and their scores.

use std::sync::Arc;
use std::time::Instant;

use burn::data::dataloader::DataLoader;
use burn::module::Module;
use burn::train::InferenceStep;
use serde_json::{Map, Value};

use super::learner::{BatchOutputs, TaskModel};
use super::loader::EvaluationLoader;
use super::progress::Progress;
use crate::TrainError;
use crate::examples::Split;
use crate::tasks::{Examples, Output, ScoredPredictions, Scores};

/// A split's predictions and their scores.
pub struct Evaluation {
    /// Of each example.
    pub predictions: Box<dyn ScoredPredictions>,
    /// Over all of them.
    pub scores: Scores,
    /// Wall time in seconds.
    pub seconds: f64,
}

impl Evaluation {
    /// Scores the same outputs by other decisions, if there are some.
    pub fn decide_by(&mut self, record: &Map<String, Value>) {
        if !record.is_empty() {
            self.predictions.decide_by(record);
            self.scores = self.predictions.scores();
        }
    }
}

/// Predicts a split and scores it; nothing where `stopped` says so before a batch.
///
/// Outputs are passed on batch by batch: those of a whole split are never held.
///
/// # Errors
/// [`TrainError::NotFinite`] with the example.
pub fn evaluate(
    model: &TaskModel,
    loader: &EvaluationLoader,
    (examples, split): (&Arc<dyn Examples>, Split),
    progress: &Progress,
    stopped: impl Fn() -> bool,
) -> Result<Option<Evaluation>, TrainError> {
    let started = Instant::now();
    let bar = progress.evaluation(loader.num_items());
    let mut predictions = examples.clone().predictions(split);
    let mut count = 0;
    for batch in outputs(model, loader, stopped) {
        for (feature, output) in batch.features.into_iter().zip(batch.outputs) {
            if !output.is_finite() {
                let example = loader.features().examples[feature];
                let place = format!("example {} of the split", example + 1);
                let text = examples.text(split, example);
                return Err(TrainError::not_finite("the model's logits", &place, &text));
            }
            predictions.add(feature, output);
            count += 1;
        }
        bar.set_position(count as u64);
    }
    bar.finish_and_clear();
    if count < loader.num_items() {
        return Ok(None);
    }
    let scores = predictions.scores();
    Ok(Some(Evaluation { predictions, scores, seconds: started.elapsed().as_secs_f64() }))
}

/// What a model gives for each feature, in their order.
pub fn predict(model: &TaskModel, loader: &EvaluationLoader) -> Vec<Output> {
    let mut all: Vec<Option<Output>> = vec![None; loader.num_items()];
    for batch in outputs(model, loader, || false) {
        for (feature, output) in batch.features.into_iter().zip(batch.outputs) {
            all[feature] = Some(output);
        }
    }
    // The plan visits every feature once.
    all.into_iter().flatten().collect()
}

/// The outputs of one batch after the other, without autodiff, until `stopped` says so before one.
fn outputs(
    model: &TaskModel,
    loader: &EvaluationLoader,
    stopped: impl Fn() -> bool,
) -> impl Iterator<Item = BatchOutputs> {
    let model = model.valid();
    // The loader holds its data in memory: no batch fails.
    let batches = loader.iter().flatten().take_while(move |_| !stopped());
    batches.map(move |batch| InferenceStep::step(&model, batch))
}
