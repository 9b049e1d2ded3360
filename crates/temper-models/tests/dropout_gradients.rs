//! Gradients under dropout: the backward pass has to draw the masks of its forward pass. Moving a parameter along its
//! gradient has to change the loss by the square of the gradient's norm.

mod common;
#[path = "common/zoo.rs"]
mod zoo;

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};
use common::changed;
use serde_json::json;
use temper_models::{HeadRequest, Mode, Model, PathTracker};
use zoo::{Case, gradients_of, host};

const CASES: [&str; 8] = [
    "bert-masked-lm",
    "gpt2-causal-lm",
    "gpt-neo-causal-lm",
    "t5-seq2seq-lm",
    "bart-seq2seq-lm",
    "llama2-gqa-causal-lm",
    "falcon-7b-causal-lm",
    "bloom-causal-lm",
];
const MODE: u64 = 5;
/// How far a parameter moves.
const DISTANCE: f64 = 4e-3;

/// The case with dropout of that probability wherever its configuration has any.
fn load(case: &Case, probability: f64, device: &Device) -> Model {
    let dir = changed(&case.dir, |_, config| {
        for (key, value) in config.as_object_mut().into_iter().flatten() {
            if key.contains("drop") && !key.contains("layerdrop") && value.is_number() {
                *value = json!(probability);
            }
        }
    });
    Model::load(dir.path(), &HeadRequest::FromConfig, device).expect("loads").model
}

/// Moves one parameter along a direction.
struct Move<'a> {
    path: PathTracker,
    wanted: &'a str,
    direction: &'a [f64],
    distance: f64,
}

impl ModuleMapper for Move<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.path.path() != self.wanted {
            return param;
        }
        let (id, tensor, mapper) = param.consume();
        let tensor = tensor.without_autodiff();
        let values: Vec<f32> = self.direction.iter().map(|value| (value * self.distance) as f32).collect();
        let change = Tensor::<D>::from_data(TensorData::new(values, tensor.shape()), &tensor.device());
        Param::from_mapped_value(id, (tensor + change).autodiff().require_grad(), mapper)
    }
}

fn moved(case: &Case, model: &Model, path: &str, direction: &[f64], distance: f64) -> f64 {
    let mut change = Move { path: PathTracker::default(), wanted: path, direction, distance };
    host(case.loss(&model.clone().map(&mut change), Mode::train(MODE)))[0]
}

#[test]
fn a_step_along_a_gradient_changes_the_loss_as_it_says() {
    let mut checked = 0;
    for case in CASES.map(zoo::case) {
        let model = load(&case, 0.3, &Device::flex().autodiff());
        let loss = case.loss(&model, Mode::train(MODE));
        let plain = host(case.loss(&load(&case, 0.0, &Device::flex().autodiff()), Mode::train(MODE)))[0];
        assert!((host(loss.clone())[0] - plain).abs() > 1e-4, "{}: nothing drops out", case.name);
        let gradients: HashMap<String, Vec<f64>> = gradients_of(&model, &loss.backward());
        for (path, gradient) in &gradients {
            let norm = gradient.iter().map(|value| value * value).sum::<f64>().sqrt();
            if norm < 1e-2 {
                continue;
            }
            let direction: Vec<f64> = gradient.iter().map(|value| value / norm).collect();
            let [ahead, behind] =
                [DISTANCE, -DISTANCE].map(|distance| moved(&case, &model, path, &direction, distance));
            let slope = (ahead - behind) / (2.0 * DISTANCE);
            // The rounding of f32 losses limits how well their difference estimates a slope.
            assert!((slope - norm).abs() < 0.03 * norm.max(0.1), "{} {path}: {slope} {norm}", case.name);
            checked += 1;
        }
    }
    assert!(checked > 200, "{checked}");
}
