//! What the ranks of a run exchange while it trains: gradients, losses, signals, outputs, and hashes.

use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use burn::train::TrainOutput;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use temper_files::hex;

use super::checkpoint::CheckpointState;
use super::learner::{BatchOutputs, StepOutput, TaskModel};
use crate::TrainError;
use crate::ranks::{PIECE, Ranks};
use crate::signals::{Signals, Stop};
use crate::tasks::Output;

/// What signals asked for since the last step, on any rank.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    /// A checkpoint.
    pub(super) save: bool,
    /// The end of the run.
    pub(super) stop: Option<Stop>,
}

impl Asked {
    /// Of this rank.
    pub(super) fn here(signals: &Signals) -> Self {
        Self { save: signals.take_save(), stop: signals.stop() }
    }

    fn to_numbers(self) -> [f32; 3] {
        let asked = [self.save, self.stop == Some(Stop::Interrupt), self.stop == Some(Stop::Terminate)];
        asked.map(|asked| if asked { 1.0 } else { 0.0 })
    }

    fn of_sums(sums: &[f32]) -> Self {
        let stop = match sums {
            [_, interrupts, _] if *interrupts > 0.0 => Some(Stop::Interrupt),
            [_, _, terminates] if *terminates > 0.0 => Some(Stop::Terminate),
            _ => None,
        };
        Self { save: sums[0] > 0.0, stop }
    }
}

/// Whether any rank was asked to end, and why. All ranks ask at the same time.
pub fn stop_of_any(ranks: &Ranks, signals: &Signals) -> Option<Stop> {
    let asked = Asked { save: false, stop: signals.stop() };
    if ranks.is_alone() {
        return asked.stop;
    }
    let mut sums = asked.to_numbers().to_vec();
    ranks.sum(&mut sums);
    Asked::of_sums(&sums).stop
}

/// Adds up what the ranks computed of a step: loss, gradients, and what they were asked for.
///
/// A rank without a micro-batch has no gradients, and a parameter that no loss depends on has none on any rank: which
/// there are is summed first, together with the loss.
pub(super) fn sum_step(
    ranks: &Ranks,
    model: &TaskModel,
    output: TrainOutput<StepOutput>,
    asked: Asked,
) -> (TrainOutput<StepOutput>, Asked) {
    if ranks.is_alone() {
        return (output, asked);
    }
    let TrainOutput { grads, item } = output;
    let device = item.loss.device();
    let mut presence = Presence { gradients: &grads, found: Vec::new() };
    model.visit(&mut presence);
    let mut header = vec![item.loss.into_scalar::<f32>()];
    header.extend(asked.to_numbers());
    let first_flag = header.len();
    header.extend(presence.found);
    ranks.sum(&mut header);
    let (numbers, flags) = header.split_at(first_flag);
    let mut sums = GradientSums { ranks, gradients: grads, flags: flags.iter(), piece: Piece::default() };
    model.visit(&mut sums);
    let summed = sums.finish();
    let mut tensors = Tensors { summed, gradients: GradientsParams::new() };
    model.visit(&mut tensors);
    let item = StepOutput { loss: Tensor::from_floats([numbers[0]], &device), ..item };
    (TrainOutput { grads: tensors.gradients, item }, Asked::of_sums(&numbers[1..]))
}

/// For each parameter that trains, 1 if it has a gradient here.
struct Presence<'a> {
    gradients: &'a GradientsParams,
    found: Vec<f32>,
}

impl ModuleVisitor for Presence<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            let is_there = self.gradients.get::<D>(param.id).is_some();
            self.found.push(if is_there { 1.0 } else { 0.0 });
        }
    }
}

/// Gradients that wait to be summed, and sums.
#[derive(Default)]
struct Piece {
    values: Vec<f32>,
    /// The parameters in it, with their elements.
    parameters: Vec<(ParamId, usize)>,
    summed: HashMap<ParamId, Vec<f32>>,
}

impl Piece {
    fn sum(&mut self, ranks: &Ranks) {
        if self.parameters.is_empty() {
            return;
        }
        ranks.sum(&mut self.values);
        let mut start = 0;
        for (id, elements) in self.parameters.drain(..) {
            self.summed.insert(id, self.values[start..start + elements].to_vec());
            start += elements;
        }
        self.values.clear();
    }
}

/// Sums gradients in the order of the model's parameters.
struct GradientSums<'a> {
    ranks: &'a Ranks,
    gradients: GradientsParams,
    /// For each parameter that trains, how many ranks have a gradient.
    flags: std::slice::Iter<'a, f32>,
    piece: Piece,
}

impl GradientSums<'_> {
    fn finish(mut self) -> HashMap<ParamId, Vec<f32>> {
        self.piece.sum(self.ranks);
        self.piece.summed
    }
}

impl ModuleVisitor for GradientSums<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !param.is_require_grad() || self.flags.next().is_none_or(|&ranks| ranks == 0.0) {
            return;
        }
        let elements = param.val().shape().num_elements();
        match self.gradients.remove::<D>(param.id) {
            Some(gradient) => {
                self.piece.values.extend(gradient.into_data().convert::<f32>().iter::<f32>());
            }
            None => self.piece.values.resize(self.piece.values.len() + elements, 0.0),
        }
        self.piece.parameters.push((param.id, elements));
        if self.piece.values.len() >= PIECE {
            self.piece.sum(self.ranks);
        }
    }
}

/// Makes tensors of sums.
struct Tensors {
    summed: HashMap<ParamId, Vec<f32>>,
    gradients: GradientsParams,
}

impl ModuleVisitor for Tensors {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(values) = self.summed.remove(&param.id) {
            let parameter = param.val().inner();
            let data = TensorData::new(values, parameter.shape());
            self.gradients.register(param.id, Tensor::<D>::from_data(data, &parameter.device()));
        }
    }
}

/// The outputs of a round of an evaluation, in the order of the batches: on rank 0 those of all ranks, elsewhere none.
pub(super) fn gather_outputs(ranks: &Ranks, own: Option<BatchOutputs>) -> Vec<BatchOutputs> {
    if ranks.is_alone() {
        return own.into_iter().collect();
    }
    let own = own.map(|batch| (batch.features, batch.outputs));
    let received = ranks.gather(encoded(&own)).into_iter();
    let batch = |bytes: Vec<u8>| -> Option<BatchOutputs> {
        let (features, outputs) = decoded::<Option<(Vec<usize>, Vec<Output>)>>(&bytes)?;
        Some(BatchOutputs { outputs, features })
    };
    received.filter_map(batch).collect()
}

/// Gives every rank what an evaluation on rank 0 decided.
pub(super) fn share_selection(ranks: &Ranks, state: &mut CheckpointState) {
    if !ranks.is_alone() {
        let decided = (state.best, state.evaluations_without_gain);
        (state.best, state.evaluations_without_gain) = decoded(&ranks.broadcast(encoded(&decided)));
    }
}

/// Compares a model's parameters on all ranks, bit by bit.
///
/// # Errors
/// On rank 0 [`TrainError::RanksDiffer`] with the first rank whose parameters differ from its own.
pub fn compare_parameters(ranks: &Ranks, model: &impl Module, what: &str) -> Result<(), TrainError> {
    if ranks.is_alone() {
        return Ok(());
    }
    let mut hasher = Hasher(Sha256::new());
    model.visit(&mut hasher);
    compare_values(ranks, vec![(format!("parameters of {what}"), hex(&hasher.0.finalize()))])
}

/// Compares named values on all ranks.
///
/// # Errors
/// On rank 0 [`TrainError::RanksDiffer`] with the first rank that has another value, or other names.
pub fn compare_values(ranks: &Ranks, mut values: Vec<(String, String)>) -> Result<(), TrainError> {
    values.insert(0, ("number of files".into(), values.len().to_string()));
    let received = ranks.gather(encoded(&(&ranks.place().host, &values)));
    for (rank, bytes) in received.iter().enumerate().skip(1) {
        let (host, of_rank): (String, Vec<(String, String)>) = decoded(bytes);
        let mut pairs = values.iter().zip(&of_rank);
        if let Some((here, there)) = pairs.find(|(here, there)| here != there) {
            let values = Box::new([here.1.clone(), there.1.clone()]);
            return Err(TrainError::RanksDiffer { rank, host, what: here.0.clone(), values });
        }
    }
    Ok(())
}

struct Hasher(Sha256);

impl ModuleVisitor for Hasher {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.update(param.val().into_data().as_bytes());
    }
}

/// CBOR: unlike JSON, it has numbers that are not finite.
pub(crate) fn encoded(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes)
        .expect("memory takes what is written, and these types serialise");
    bytes
}

/// What another rank encoded with the same program.
pub(crate) fn decoded<T: DeserializeOwned>(bytes: &[u8]) -> T {
    ciborium::from_reader(bytes).expect("ranks run the same program, which their first comparison checks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_any_rank_was_asked_for_is_asked_of_all() {
        let none = Asked::default();
        let ended = Asked { save: true, stop: Some(Stop::Terminate) };
        let interrupted = Asked { save: false, stop: Some(Stop::Interrupt) };
        let sum = |asked: &[Asked]| {
            let mut sums = [0.0; 3];
            for one in asked {
                sums.iter_mut().zip(one.to_numbers()).for_each(|(sum, number)| *sum += number);
            }
            let Asked { save, stop } = Asked::of_sums(&sums);
            (save, stop)
        };
        assert_eq!(sum(&[none, none]), (false, None));
        assert_eq!(sum(&[none, ended]), (true, Some(Stop::Terminate)));
        assert_eq!(sum(&[interrupted, none, ended]), (true, Some(Stop::Interrupt)), "a person counts more");
    }

    #[test]
    fn numbers_that_are_not_finite_arrive() {
        let sent = vec![Output { columns: 2, logits: vec![f32::NAN, f32::INFINITY], written: vec![7] }];
        let received: Vec<Output> = decoded(&encoded(&sent));
        assert!(received[0].logits[0].is_nan() && received[0].logits[1] == f32::INFINITY);
        assert_eq!(received[0].written, [7]);
    }
}
