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
use super::sharing::gather_outputs;
use crate::TrainError;
use crate::examples::Split;
use crate::signals::Stop;
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

/// What came of an evaluation.
pub enum Evaluated {
    /// The scores, on rank 0.
    Scored(Box<Evaluation>),
    /// This rank gave its outputs to rank 0, which scores them.
    OnRank0,
    /// It was stopped.
    Stopped(Stop),
}

impl Evaluated {
    /// The scores of an evaluation that nothing stops; none on ranks other than the first.
    pub fn scored(self) -> Option<Evaluation> {
        match self {
            Self::Scored(evaluation) => Some(*evaluation),
            Self::OnRank0 | Self::Stopped(_) => None,
        }
    }
}

/// Predicts a split, with the other ranks' help, and scores it; `stopped` may stop it before a batch.
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
    stopped: impl Fn() -> Option<Stop>,
) -> Result<Evaluated, TrainError> {
    let started = Instant::now();
    let bar = progress.evaluation(loader.num_items());
    let mut predictions = examples.clone().predictions(split);
    let mut count = 0;
    let mut batches = outputs(model, loader);
    for _ in 0..loader.rounds() {
        if let Some(stop) = stopped() {
            bar.finish_and_clear();
            return Ok(Evaluated::Stopped(stop));
        }
        let round = gather_outputs(&loader.ranks, batches.next());
        let outputs = round.into_iter().flat_map(|batch| batch.features.into_iter().zip(batch.outputs));
        for (feature, output) in outputs {
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
    if !loader.ranks.is_first() {
        return Ok(Evaluated::OnRank0);
    }
    let scores = predictions.scores();
    let evaluation = Evaluation { predictions, scores, seconds: started.elapsed().as_secs_f64() };
    Ok(Evaluated::Scored(Box::new(evaluation)))
}

/// What a model gives for each feature, in their order.
pub fn predict(model: &TaskModel, loader: &EvaluationLoader) -> Vec<Output> {
    let mut all: Vec<Option<Output>> = vec![None; loader.num_items()];
    for batch in outputs(model, loader) {
        for (feature, output) in batch.features.into_iter().zip(batch.outputs) {
            all[feature] = Some(output);
        }
    }
    // The plan visits every feature once.
    all.into_iter().flatten().collect()
}

/// The outputs of one batch of this rank after the other, without autodiff.
fn outputs(model: &TaskModel, loader: &EvaluationLoader) -> impl Iterator<Item = BatchOutputs> {
    let model = model.valid();
    // The loader holds its data in memory: no batch fails.
    loader.iter().flatten().map(move |batch| InferenceStep::step(&model, batch))
}
