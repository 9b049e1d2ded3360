//! Tests of the loaders.

use burn::tensor::Tensor;
use temper_data::{Batch, Encoded, EncodedSet, UnlabelledText};
use temper_models::{HeadRequest, Mode, Model, TokenBatch};

use super::*;
use crate::examples::Target;
use crate::tasks::{Encoder, Output, Predictions, TextClassification};
use crate::{Settings, TrainError};

/// Features that differ in length and content.
fn loader() -> StepLoader {
    let item = |example: u32| Encoded {
        ids: (0..=example % 5).map(|place| 10 * example + place).collect(),
        type_ids: vec![0; example as usize % 5 + 1],
        tokens_lost: 0,
        lost_is_estimate: false,
    };
    let encoded = EncodedSet::new((0..23).map(item).collect(), false);
    let features = Features::one_each(encoded, (0..23).map(|id| Target::Ids(vec![id])).collect());
    let settings = BatchSettings { examples_per_step: 4, tokens_per_batch: 6, ..BatchSettings::default() };
    StepLoader::new(Arc::new(TextClassification::new(Vec::new())), features, settings, 42, 17)
}

/// Token ids and targets of each micro-batch, and the seed of the masks.
type Content = (Vec<(Vec<u32>, Vec<Target>)>, u64);

fn content(step: &TrainingStep) -> Content {
    let batches = step.batches.iter().map(|batch| (batch.tokens.ids.clone(), batch.targets.clone()));
    (batches.collect(), step.dropout_seed)
}

#[test]
fn steps_made_ahead_are_those_of_the_plan() {
    let loader = loader();
    // Six steps an epoch: nearly three epochs.
    let plan: Vec<Step> = (0..3).flat_map(|epoch| loader.plan(epoch)).collect();
    let planned = plan.iter().enumerate().take(17).map(|(number, step)| content(&loader.step(step, number)));
    let planned: Vec<_> = planned.collect();
    for first in [0, 5, 6, 16] {
        let loader = loader.clone().after(first);
        let mut steps = loader.iter();
        let made: Vec<_> = steps.by_ref().map(|step| content(&step.unwrap())).collect();
        assert_eq!(made, planned[first..]);
        assert_eq!(steps.progress().items_processed, 17);
    }
}

/// A task of which everything but the draw is that of texts: it draws the first token.
#[derive(Debug)]
struct Drawing(TextClassification);

impl Task for Drawing {
    fn kind(&self) -> temper_data::TaskKind {
        self.0.kind()
    }

    fn labels(&self) -> &[String] {
        self.0.labels()
    }

    fn targets_in_words(&self) -> &'static str {
        self.0.targets_in_words()
    }

    fn outputs_in_words(&self) -> &'static str {
        self.0.outputs_in_words()
    }

    fn head(&self, settings: &Settings) -> HeadRequest {
        self.0.head(settings)
    }

    fn notice(&self) -> Option<String> {
        None
    }

    fn redraw(&self, tokens: &mut Batch, targets: &mut [Target], draw: Draw) -> Option<f64> {
        let mut place = 0;
        for ((length, feature), target) in tokens.lengths.iter().zip(&tokens.examples).zip(targets) {
            tokens.ids[place] = 1000 * (draw.epoch as u32 + 1) + draw.seed as u32 + *feature as u32;
            *target = Target::Ids(vec![tokens.ids[place] as i32]);
            place += *length as usize;
        }
        Some(2.0 * tokens.lengths.len() as f64)
    }

    fn loss(&self, model: &Model, tokens: &TokenBatch, targets: &[Target], mode: Mode) -> Tensor<1> {
        self.0.loss(model, tokens, targets, mode)
    }

    fn outputs(&self, model: &Model, tokens: &TokenBatch, targets: &[Target]) -> Vec<Output> {
        self.0.outputs(model, tokens, targets)
    }

    fn begin(
        &self,
        texts: &[UnlabelledText],
        encoded: EncodedSet,
        encoder: &Encoder<'_>,
    ) -> Result<(Features, Box<dyn Predictions>), TrainError> {
        self.0.begin(texts, encoded, encoder)
    }
}

#[test]
fn what_is_drawn_depends_on_seed_epoch_and_feature_alone() {
    let drawing = StepLoader { task: Arc::new(Drawing(TextClassification::new(Vec::new()))), ..loader() };
    // By epoch and feature.
    let drawn = |loader: &StepLoader| {
        let mut drawn = std::collections::BTreeMap::new();
        for (number, step) in loader.iter().enumerate() {
            let epoch = (loader.first_step + number) / 6;
            for batch in step.unwrap().batches {
                for (feature, target) in batch.tokens.examples.iter().zip(batch.targets) {
                    drawn.insert((epoch, *feature), target);
                }
            }
        }
        drawn
    };
    let all = drawn(&drawing);
    assert_eq!(all[&(0, 7)], Target::Ids(vec![1049]));
    assert_eq!(all[&(1, 7)], Target::Ids(vec![2049]));
    let other_batches = drawn(&drawing.clone().with_tokens_per_batch(3));
    assert_eq!(other_batches, all);
    let resumed = drawn(&drawing.after(8));
    assert!(resumed.len() > 20 && resumed.iter().all(|(place, target)| all[place] == *target));
}

#[test]
fn a_step_weighs_what_its_features_weigh() {
    let mut loader = loader();
    loader.features.weights = Arc::new((0..23).map(|feature| f64::from(feature) / 2.0).collect());
    for (number, plan) in loader.plan(0).iter().enumerate() {
        let weights = plan.batches.iter().flatten().map(|&feature| feature as f64 / 2.0);
        assert_eq!(loader.step(plan, number).weight, weights.sum::<f64>());
    }
    // What is drawn weighs what its task says.
    loader.task = Arc::new(Drawing(TextClassification::new(Vec::new())));
    let plan = &loader.plan(0)[0];
    assert_eq!(loader.step(plan, 0).weight, 2.0 * plan.examples() as f64);
}

#[test]
fn an_iteration_that_is_left_early_disturbs_no_other() {
    let loader = loader();
    let first = || content(&loader.iter().next().unwrap().unwrap());
    assert_eq!(first(), first());
    assert_eq!(loader.iter().count(), 17);
}
