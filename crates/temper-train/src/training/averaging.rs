//! An exponential average of the weights over the steps of a run.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use temper_models::weights::{Checkpoint, TensorEntry, parameters_by_path, with_parameters, write_tensors};
use temper_models::{Misfits, Model, ModelError, parameter_id};

use crate::TrainError;

/// The averages of what trains, in a checkpoint.
const FILE: &str = "average.safetensors";

/// After each step `average = d * average + (1 - d) * weights` (Polyak and Juditsky 1992). As in TensorFlow's
/// `ExponentialMovingAverage` with `num_updates`, d is at most (1 + step) / (10 + step): the weights that the run
/// began with are soon forgotten.
#[derive(Clone, Debug)]
pub struct WeightAverage {
    decay: f64,
    /// Outside of autodiff; what never trained is that of the trained model.
    model: Model,
    /// What has trained.
    averaged: HashSet<ParamId>,
}

impl WeightAverage {
    /// The average at the beginning of a run: its weights.
    pub fn new(model: &Model, decay: f64) -> Self {
        Self { decay, model: model.valid(), averaged: HashSet::new() }
    }

    /// The averaged model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Takes in the weights after a step, counted from 1.
    pub(super) fn update(self, trained: &Model, step: usize) -> Self {
        let step = step as f64;
        let decay = self.decay.min((1.0 + step) / (10.0 + step));
        let mut weights = TrainedWeights { values: GradientsParams::new(), ids: self.averaged };
        trained.visit(&mut weights);
        let model = self.model.map(&mut Blend { weights: weights.values, decay });
        Self { decay: self.decay, model, averaged: weights.ids }
    }

    /// Writes the averages into the folder of a checkpoint.
    ///
    /// # Errors
    /// [`TrainError::Model`]; the file is complete or absent.
    pub(super) fn save(&self, folder: &Path) -> Result<(), TrainError> {
        let tensors = parameters_by_path(&self.model, |path| self.averaged.contains(&parameter_id(path)));
        Ok(write_tensors(&tensors, &folder.join(FILE))?)
    }

    /// The average of a checkpoint of `model`.
    ///
    /// # Errors
    /// [`TrainError::Model`] for a file that is missing, damaged, or of another model.
    pub fn restored(folder: &Path, model: &Model, decay: f64) -> Result<Self, TrainError> {
        let checkpoint = Checkpoint::open_file(&folder.join(FILE))?;
        let parameters = model.parameters().parameters.into_iter();
        let shapes: HashMap<String, Vec<usize>> =
            parameters.map(|parameter| (parameter.path, parameter.shape)).collect();
        let (mut values, mut misfits) = (HashMap::new(), Misfits::default());
        for TensorEntry { name, shape, .. } in checkpoint.entries() {
            match shapes.get(&name) {
                Some(wanted) if *wanted == shape => {
                    let value = checkpoint.values(&name)?;
                    values.insert(name, value);
                }
                Some(wanted) => misfits.misshapen.push((name, shape, wanted.clone())),
                None => misfits.unexpected.push(name),
            }
        }
        if !misfits.is_empty() {
            return Err(ModelError::Misfit { path: checkpoint.path, misfits }.into());
        }
        let averaged = values.keys().map(|path| parameter_id(path)).collect();
        Ok(Self { decay, model: with_parameters(model.valid(), values), averaged })
    }
}

/// Collects the weights that train, outside of autodiff; Burn's container of gradients holds tensors of any rank.
struct TrainedWeights {
    values: GradientsParams,
    ids: HashSet<ParamId>,
}

impl ModuleVisitor for TrainedWeights {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if param.is_require_grad() {
            self.values.register(param.id, param.val().inner());
            self.ids.insert(param.id);
        }
    }
}

/// Moves an average towards the weights.
struct Blend {
    weights: GradientsParams,
    decay: f64,
}

impl ModuleMapper for Blend {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(weights) = self.weights.remove::<D>(param.id) else { return param };
        let (id, average, mapper) = param.consume();
        let blended = average * self.decay + weights * (1.0 - self.decay);
        Param::from_mapped_value(id, blended, mapper)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use burn::tensor::Device;
    use temper_freeze::{FreezePlan, Strategy};
    use temper_models::ModelConfig;

    use super::*;

    /// A model of random weights, of which what the strategy says trains.
    fn model(seed: u64, strategy: &Strategy) -> Model {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/bert");
        let config = ModelConfig::read(&fixture).unwrap();
        let model = Model::random(&config, seed, &Device::flex().autodiff()).unwrap();
        FreezePlan::new(strategy, &model.parameters(), &[]).unwrap().apply_at(model, 0)
    }

    struct Values(BTreeMap<ParamId, Vec<f32>>);

    impl ModuleVisitor for Values {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.insert(param.id, param.val().into_data().iter::<f32>().collect());
        }
    }

    fn values(model: &Model) -> BTreeMap<ParamId, Vec<f32>> {
        let mut values = Values(BTreeMap::new());
        model.visit(&mut values);
        values.0
    }

    #[test]
    fn the_average_follows_its_rule_and_frozen_weights_stay_bit_for_bit() {
        let strategy = "layers:1-1".parse().unwrap();
        let [first, second, third] = [1, 2, 3].map(|seed| model(seed, &strategy));
        let average = WeightAverage::new(&first, 0.2).update(&second, 1).update(&third, 2);
        // min(0.2, 2 / 11), then min(0.2, 3 / 12).
        let expected = |[a, b, c]: [f32; 3]| {
            let once = f64::from(a) * (2.0 / 11.0) + f64::from(b) * (9.0 / 11.0);
            once * 0.2 + f64::from(c) * 0.8
        };
        let [one, two, three] = [&first, &second, &third].map(values);
        let found = values(average.model());
        // Of one layer's sixteen tensors, and the head's and pooler's.
        assert!(average.averaged.len() >= 16 && found.len() > 2 * average.averaged.len());
        for (id, found) in &found {
            if !average.averaged.contains(id) {
                assert_eq!(*found, one[id], "frozen");
                continue;
            }
            for (index, &value) in found.iter().enumerate() {
                let expected = expected([one[id][index], two[id][index], three[id][index]]);
                assert!((f64::from(value) - expected).abs() < 1e-6, "{value} {expected}");
            }
        }

        let dir = tempfile::tempdir().unwrap();
        average.save(dir.path()).unwrap();
        let restored = WeightAverage::restored(dir.path(), &first, 0.2).unwrap();
        assert_eq!(values(restored.model()), values(average.model()));
        assert_eq!(restored.averaged, average.averaged);
    }
}
