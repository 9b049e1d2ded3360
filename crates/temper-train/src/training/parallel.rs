//! One optimiser step on several devices. Each computes its share of the batches on a copy of the model. Their
//! gradients are added up on the first device, the only one with an optimiser. The global batch, and so its loss, is
//! that of one device.
//!
//! Burn's data-parallel step does the work; its own loops count epochs and batches rather than optimiser steps.

use std::panic;

use burn::data::dataloader::{DataLoaderIterator, Progress};
use burn::data::dataset::DatasetError;
use burn::optim::GradientsAccumulator;
use burn::tensor::Device;
use burn::train::TrainOutput;
use burn::train::train::MultiDevicesTrainStep;

use super::learner::{MicroBatch, StepOutput, TaskModel, TrainingStep};

/// The devices that share every step.
pub(super) struct Workers {
    step: MultiDevicesTrainStep<TaskModel>,
    devices: Vec<Device>,
}

impl Workers {
    /// A thread for each device; the first is the one that the model is on.
    pub(super) fn new(devices: &[Device]) -> Self {
        Self { step: MultiDevicesTrainStep::new(devices), devices: devices.into() }
    }

    /// The gradients of a whole step, on the first device.
    ///
    /// # Panics
    /// When a device panicked, as a step on one device does.
    pub(super) fn train_step(&self, model: &TaskModel, step: TrainingStep) -> TrainOutput<StepOutput> {
        let features = step.features;
        let shares = divide(step, self.devices.len()).into_iter().enumerate();
        let mut shares: Vec<Box<dyn DataLoaderIterator<TrainingStep>>> = shares
            .map(|(number, share)| Box::new(Share(Some(TrainingStep { share: number, ..share }))) as Box<_>)
            .collect();
        let result = self.step.step(&mut shares, model);
        // The panic was recorded in its own thread; it continues in this one.
        let (outputs, _) = result.unwrap_or_else(|error| panic::resume_unwind(Box::new(error.to_string())));
        let main = &self.devices[0];
        let mut outputs: Vec<_> = outputs.into_iter().map(|output| output.output).collect();
        // They come as they are done; sums of floats depend on the order.
        outputs.sort_by_key(|output| output.item.share);
        let mut accumulator = GradientsAccumulator::new();
        let mut total = StepOutput::none(features, main);
        for TrainOutput { grads, item } in outputs {
            accumulator.accumulate(model, grads.to_device(main, model));
            total.loss = total.loss + item.loss.to_device(&main.clone().inner());
            total.tokens += item.tokens;
        }
        TrainOutput { grads: accumulator.grads(), item: total }
    }
}

/// A loader of one step, as Burn's workers need it.
struct Share(Option<TrainingStep>);

impl Iterator for Share {
    type Item = Result<TrainingStep, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl DataLoaderIterator<TrainingStep> for Share {
    fn progress(&self) -> Progress {
        Progress::new(usize::from(self.0.is_none()), 1, Some("steps".into()))
    }
}

/// A step in parts of about as many tokens; their losses are still divided by the weight of the whole.
fn divide(step: TrainingStep, parts: usize) -> Vec<TrainingStep> {
    let TrainingStep { mut batches, features, weight, dropout_seed, share } = step;
    while batches.len() < parts
        && let Some(largest) = largest_divisible(&batches)
    {
        let halves = batches.swap_remove(largest).halves();
        batches.extend(halves);
    }
    batches.sort_by_key(|batch| std::cmp::Reverse(batch.tokens.tokens()));
    let empty = || TrainingStep { batches: Vec::new(), features, weight, dropout_seed, share };
    let mut shares: Vec<TrainingStep> = std::iter::repeat_with(empty).take(parts).collect();
    for batch in batches {
        let tokens = |share: &&mut TrainingStep| -> usize {
            share.batches.iter().map(|batch| batch.tokens.tokens()).sum()
        };
        if let Some(least) = shares.iter_mut().min_by_key(tokens) {
            let number = least.batches.len();
            least.batches.push(MicroBatch { number, ..batch });
        }
    }
    shares
}

/// The batch with the most tokens of those with more than one feature.
fn largest_divisible(batches: &[MicroBatch]) -> Option<usize> {
    let divisible = batches.iter().enumerate().filter(|(_, batch)| batch.targets.len() > 1);
    divisible.max_by_key(|(_, batch)| batch.tokens.tokens()).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use burn::optim::GradientsParams;
    use burn::train::TrainStep;
    use temper_data::Batch;
    use temper_freeze::GradientSquares;
    use temper_models::{HeadRequest, Model};

    use super::*;
    use crate::device::panics::{Refusal, caught};
    use crate::examples::Target;

    const LENGTHS: [u32; 5] = [7, 2, 5, 3, 4];

    fn batch(sequences: std::ops::Range<usize>) -> MicroBatch {
        let lengths = &LENGTHS[sequences.clone()];
        let tokens: u32 = lengths.iter().sum();
        MicroBatch {
            number: usize::from(sequences.start > 0),
            tokens: Batch {
                ids: (0..tokens).map(|token| 3 + (token * 7 + sequences.start as u32) % 30).collect(),
                type_ids: vec![0; tokens as usize],
                lengths: lengths.to_vec(),
                examples: sequences.clone().collect(),
            },
            targets: sequences.map(|sequence| Target::Ids(vec![sequence as i32 % 2])).collect(),
            trunk: None,
        }
    }

    fn step() -> TrainingStep {
        TrainingStep {
            batches: vec![batch(0..3), batch(3..5)],
            features: 5,
            // What divides the losses need not be their number.
            weight: 3.5,
            dropout_seed: 7,
            share: 0,
        }
    }

    /// The fixture has no dropout.
    fn model(device: &Device) -> TaskModel {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/bert");
        let loaded = Model::load(&dir, &HeadRequest::FromConfig, device).unwrap();
        let task = crate::tasks::of_model(&loaded.model, &loaded.config, &serde_json::Map::new()).unwrap();
        TaskModel::new(loaded.model, task)
    }

    fn norms(model: &TaskModel, gradients: &GradientsParams) -> Vec<f32> {
        GradientSquares::of(model, gradients).read().each.into_iter().map(|(_, norm)| norm).collect()
    }

    #[test]
    fn several_devices_compute_what_one_does() {
        let device = Device::flex().autodiff();
        let model = model(&device);
        let alone = TrainStep::step(&model, step());
        let (loss, expected) = (alone.item.loss.into_scalar::<f32>(), norms(&model, &alone.grads));
        for devices in [2, 3, 7] {
            let workers = Workers::new(&vec![device.clone(); devices]);
            let together = workers.train_step(&model, step());
            assert!((together.item.loss.into_scalar::<f32>() - loss).abs() < 1e-6, "{devices} devices");
            assert_eq!((together.item.features, together.item.tokens), (5, alone.item.tokens));
            let found = norms(&model, &together.grads);
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                let close = (found - expected).abs() <= 1e-5 * expected.max(1e-3);
                assert!(close, "{devices} devices: {found}, not {expected}");
            }
        }
    }

    #[test]
    fn shares_hold_every_example_once_and_none_is_idle_without_need() {
        for parts in 1..8 {
            let shares = divide(step(), parts);
            let mut examples: Vec<usize> = shares
                .iter()
                .flat_map(|share| &share.batches)
                .flat_map(|batch| batch.tokens.examples.clone())
                .collect();
            examples.sort_unstable();
            assert_eq!(examples, [0, 1, 2, 3, 4]);
            let busy = shares.iter().filter(|share| !share.batches.is_empty()).count();
            assert_eq!(busy, parts.min(5), "{parts} parts");
            for batch in shares.iter().flat_map(|share| &share.batches) {
                let lengths: Vec<u32> = batch.tokens.examples.iter().map(|&each| LENGTHS[each]).collect();
                assert_eq!(batch.tokens.lengths, lengths);
                assert_eq!(batch.tokens.ids.len(), lengths.iter().sum::<u32>() as usize);
                assert_eq!(batch.targets.len(), lengths.len());
            }
        }
    }

    #[test]
    fn a_device_that_panics_ends_the_step_with_its_words() {
        let device = Device::flex().autodiff();
        let workers = Workers::new(&[device.clone(), device.clone()]);
        let mut broken = step();
        broken.batches[0].tokens.ids[0] = 1_000_000;
        let Err(Refusal::Other(words)) = caught(|| workers.train_step(&model(&device), broken)) else {
            panic!("no refusal");
        };
        assert!(words.contains("1000000 is outside"), "{words}");
    }
}
