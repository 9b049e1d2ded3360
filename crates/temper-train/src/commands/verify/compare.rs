//! A model's outputs compared with those of a reference.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use serde::Serialize;
use temper_kernels::Sequences;
use temper_models::{Backbone, HeadTask, Loaded, Mode, Rows, TokenBatch};

use super::reference::{Reference, Stored, has_decoder};
use crate::TrainError;

/// Every output that can be compared.
const OUTPUTS: [&str; 8] = [
    "encoder_last_hidden_state",
    "last_hidden_state",
    "pooler_output",
    "logits",
    "start_logits",
    "end_logits",
    "prediction_logits",
    "seq_relationship_logits",
];

/// A model compared with a reference.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// The outputs that both have.
    pub outputs: Vec<Difference>,
    /// The outputs of the reference that this model does not have, and why.
    pub impossible: Vec<Impossible>,
    /// Tensors of the reference that are no outputs, by the part of their name before the dot.
    pub not_compared: Vec<String>,
}

/// The largest difference of an output.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The output's name.
    pub name: String,
    /// Its shape in the reference.
    pub shape: Vec<usize>,
    /// The largest absolute difference; infinite where a value is not a number. JSON has `null` then.
    pub largest: f64,
    /// Where it is.
    pub position: Vec<usize>,
    /// The largest absolute value of the reference.
    pub size: f64,
}

/// An output that a model does not have.
#[derive(Clone, Debug, Serialize)]
pub struct Impossible {
    /// The output's name.
    pub name: String,
    /// Why the model does not have it.
    pub reason: &'static str,
}

impl Comparison {
    /// The output that differs most.
    pub fn worst(&self) -> Option<&Difference> {
        self.outputs.iter().max_by(|left, right| left.largest.total_cmp(&right.largest))
    }
}

/// Compares a model with a reference file, at the positions that are not padding.
///
/// # Errors
/// [`TrainError::File`] for a reference that cannot be used.
pub fn compare(loaded: &Loaded, reference: &Path, device: &Device) -> Result<Comparison, TrainError> {
    let bytes = std::fs::read(reference).map_err(|error| TrainError::content(reference, error))?;
    let reference = Reference::parse(reference, &bytes)?;
    let batch = reference.batch(loaded, device)?;
    let computed = Computed { loaded, batch: &batch, logits: OnceCell::new(), pretraining: OnceCell::new() };
    let mut comparison = Comparison { outputs: Vec::new(), impossible: Vec::new(), not_compared: Vec::new() };
    for name in OUTPUTS {
        let Some(theirs) = reference.floats(name)? else { continue };
        match computed.output(name) {
            Ok(ours) => comparison
                .outputs
                .push(difference(name, ours, theirs, &batch).map_err(|reason| reference.unusable(reason))?),
            Err(reason) => comparison.impossible.push(Impossible { name: name.into(), reason }),
        }
    }
    comparison.not_compared = groups(reference.outputs().into_iter().filter(|name| !OUTPUTS.contains(name)));
    match (comparison.outputs.is_empty(), comparison.impossible.first()) {
        (true, None) => Err(reference.unusable(format!("has none of {}", OUTPUTS.join(", ")))),
        (true, Some(Impossible { name, reason })) => {
            Err(reference.unusable(format!("has no output that this model computes; {name}: {reason}")))
        }
        (false, _) => Ok(comparison),
    }
}

/// Names by their first part, with a count where there are several.
fn groups<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        let (group, _) = name.split_once('.').unwrap_or((name, ""));
        *counts.entry(group).or_default() += 1;
    }
    let group =
        |(name, count): (&str, usize)| if count == 1 { name.into() } else { format!("{name}.* ({count})") };
    counts.into_iter().map(group).collect()
}

/// What the rows of an output are.
enum ModelOutput {
    /// `[sequences, width]`
    Sequences(Tensor<2>),
    /// `[tokens, width]`, of the encoder, if there is a decoder
    InputTokens(Tensor<2>),
    /// `[tokens, width]`, of the decoder where there is one
    Tokens(Tensor<2>),
    /// `[tokens, 1]`, which a reference has as `[sequences, seq]`
    Places(Tensor<2>),
}

/// The outputs of a model, each computed when it is needed.
struct Computed<'a> {
    loaded: &'a Loaded,
    batch: &'a TokenBatch,
    logits: OnceCell<Option<Tensor<2>>>,
    pretraining: OnceCell<Option<[Tensor<2>; 2]>>,
}

impl Computed<'_> {
    /// An output, or why this model has none of that name.
    fn output(&self, name: &str) -> Result<ModelOutput, &'static str> {
        let (backbone, batch, mode) = (&self.loaded.model.backbone, self.batch, Mode::Evaluate);
        match name {
            "encoder_last_hidden_state" if !has_decoder(self.loaded) => {
                Err("the model does not have an encoder and a decoder")
            }
            "encoder_last_hidden_state" => backbone
                .encode(batch, mode)
                .map(ModelOutput::InputTokens)
                .ok_or("the model does not have an encoder and a decoder"),
            "last_hidden_state" => Ok(ModelOutput::Tokens(backbone.forward(batch, Rows::All, mode))),
            "pooler_output" => self.pooled(),
            "prediction_logits" => Ok(ModelOutput::Tokens(self.pretraining()?[0].clone())),
            "seq_relationship_logits" => Ok(ModelOutput::Sequences(self.pretraining()?[1].clone())),
            "logits" => match self.task() {
                Some(HeadTask::SequenceClassification) => Ok(ModelOutput::Sequences(self.logits()?)),
                Some(HeadTask::QuestionAnswering | HeadTask::Pretraining) => {
                    Err("the model's head has other outputs")
                }
                _ => Ok(ModelOutput::Tokens(self.logits()?)),
            },
            _ if self.task() != Some(HeadTask::QuestionAnswering) => {
                Err("the model has no head for question answering")
            }
            // [tokens, 2] -> [tokens, 1]
            "start_logits" => Ok(ModelOutput::Places(self.logits()?.narrow(1, 0, 1))),
            _ => Ok(ModelOutput::Places(self.logits()?.narrow(1, 1, 1))),
        }
    }

    fn task(&self) -> Option<HeadTask> {
        self.loaded.config.head().map(|head| head.kind.task())
    }

    fn logits(&self) -> Result<Tensor<2>, &'static str> {
        let logits = || self.loaded.model.logits(self.batch, Mode::Evaluate);
        self.logits.get_or_init(logits).clone().ok_or("the model has no head")
    }

    fn pretraining(&self) -> Result<&[Tensor<2>; 2], &'static str> {
        let pretraining = || self.loaded.model.pretrain(self.batch, Mode::Evaluate);
        self.pretraining
            .get_or_init(pretraining)
            .as_ref()
            .ok_or("the model has no head for BERT's pretraining")
    }

    fn pooled(&self) -> Result<ModelOutput, &'static str> {
        let is_pooler = |path: &str| path.starts_with("pooler.");
        if self.loaded.new.iter().any(|path| is_pooler(path)) {
            return Err("the checkpoint has no pooler");
        }
        let parameters = self.loaded.model.parameters().parameters;
        if !parameters.iter().any(|parameter| is_pooler(&parameter.path)) {
            return Err("the model has no pooler under this head");
        }
        let backbone = &self.loaded.model.backbone;
        let first = backbone.forward(self.batch, Rows::First, Mode::Evaluate);
        Ok(ModelOutput::Sequences(backbone.pool(first, Mode::Evaluate)))
    }
}

/// The largest difference between an output and its reference, or what is wrong with the latter.
fn difference(
    name: &str,
    ours: ModelOutput,
    theirs: Stored<f64>,
    batch: &TokenBatch,
) -> Result<Difference, String> {
    let decoded = batch.decoder.as_ref().map_or(&batch.sequences, |decoder| &decoder.sequences);
    let count = batch.sequences.count();
    let singles = Sequences::of_lengths(&vec![1; count]);
    let sequences = match ours {
        ModelOutput::Sequences(_) => &singles,
        ModelOutput::InputTokens(_) => &batch.sequences,
        ModelOutput::Tokens(_) | ModelOutput::Places(_) => decoded,
    };
    // How far the rows are padded is the reference's to say: packed rows are not.
    let padded = theirs.shape.get(1).copied().unwrap_or(0).max(sequences.longest());
    let (ours, seq, shape) = match ours {
        ModelOutput::Sequences(ours) => (ours.clone(), 1, vec![count, ours.dims()[1]]),
        ModelOutput::InputTokens(ours) | ModelOutput::Tokens(ours) => {
            (ours.clone(), padded, vec![count, padded, ours.dims()[1]])
        }
        ModelOutput::Places(ours) => (ours, padded, vec![count, padded]),
    };
    if theirs.shape != shape {
        return Err(format!("{name} is {:?}, the model gives {shape:?}", theirs.shape));
    }
    let [_, width] = ours.dims();
    let places = sequences.ranges().enumerate().flat_map(|(sequence, range)| {
        let first = sequence * seq * width;
        first..first + range.len() * width
    });
    let (mut largest, mut worst, mut size) = (0.0, 0, 0.0_f64);
    for (ours, place) in ours.into_data().iter::<f64>().zip(places) {
        let difference = (ours - theirs.values[place]).abs();
        size = size.max(theirs.values[place].abs());
        let difference = if difference.is_nan() { f64::INFINITY } else { difference };
        if difference > largest {
            (largest, worst) = (difference, place);
        }
    }
    Ok(Difference { name: name.into(), position: position(worst, &shape), shape, largest, size })
}

/// The index on every axis of a place in a row-major tensor.
fn position(mut place: usize, shape: &[usize]) -> Vec<usize> {
    let mut position = vec![0; shape.len()];
    for (axis, &size) in shape.iter().enumerate().rev() {
        position[axis] = place % size;
        place /= size;
    }
    position
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_axis_by_axis() {
        assert_eq!(position(0, &[2, 3, 4]), [0, 0, 0]);
        assert_eq!(position(23, &[2, 3, 4]), [1, 2, 3]);
        assert_eq!(position(5, &[2, 3]), [1, 2]);
    }

    #[test]
    fn names_are_grouped_by_their_first_part() {
        assert_eq!(groups(["grad.a.b", "grad.c", "loss"].into_iter()), ["grad.* (2)", "loss"]);
    }
}
