//! Every optimiser against PyTorch, transformers or its paper, step by step, on clipped gradients.

use burn::module::{Module, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use serde::Deserialize;
use std::collections::HashMap;
use temper_freeze::{ClipFactor, FreezePlan, GradientSquares, OptimizerKind, OptimizerSettings, Strategy};
use temper_models::{Parameter, ParameterTable};

/// A matrix that decays and a bias that does not.
#[derive(Module, Debug)]
struct Map {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

#[derive(Clone, Deserialize)]
struct Values {
    weight: Vec<Vec<f32>>,
    bias: Vec<f32>,
}

/// Written by xtask/reference/optimizers_fixture.py.
#[derive(Deserialize)]
struct Fixture {
    rate: f64,
    weight_decay: f64,
    betas: [f64; 2],
    epsilon: f64,
    start: Values,
    gradients: Vec<Values>,
    after: HashMap<String, Vec<Values>>,
}

impl Values {
    fn tensors(&self, device: &Device) -> (Tensor<2>, Tensor<1>) {
        let shape = [self.weight.len(), self.weight[0].len()];
        let weight = Tensor::from_data(TensorData::new(self.weight.concat(), shape), device);
        (weight, Tensor::from_data(TensorData::new(self.bias.clone(), [self.bias.len()]), device))
    }
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/optimizers.json")).unwrap()
}

fn plan(map: &Map) -> FreezePlan {
    let parameter =
        |path: &str, shape: Vec<usize>, id: ParamId| Parameter { path: path.into(), shape, id, trains: true };
    let parameters = vec![
        parameter("layers.0.ffn.inner.weight", map.weight.shape().to_vec(), map.weight.id),
        parameter("layers.0.ffn.inner.bias", map.bias.shape().to_vec(), map.bias.id),
    ];
    FreezePlan::new(&Strategy::All, &ParameterTable { parameters }, &[]).unwrap()
}

fn map(start: &Values, device: &Device) -> Map {
    let (weight, bias) = start.tensors(device);
    Map { weight: Param::from_tensor(weight), bias: Param::from_tensor(bias) }
}

fn gradients(map: &Map, values: &Values) -> GradientsParams {
    let (weight, bias) = values.tensors(&Device::flex());
    let mut gradients = GradientsParams::new();
    gradients.register(map.weight.id, weight);
    gradients.register(map.bias.id, bias);
    gradients
}

const KINDS: [(&str, OptimizerKind); 5] = [
    ("adamw", OptimizerKind::Adamw),
    ("adam", OptimizerKind::Adam),
    ("sgd", OptimizerKind::Sgd),
    ("adafactor", OptimizerKind::Adafactor),
    ("lion", OptimizerKind::Lion),
];

#[test]
fn steps_are_those_of_the_references() {
    let Fixture { rate, weight_decay, betas: [beta1, beta2], epsilon, start, gradients: steps, after } =
        fixture();
    assert_eq!(after.len(), KINDS.len());
    let settings = OptimizerSettings { beta1, beta2, epsilon, weight_decay };
    for (name, kind) in KINDS {
        let mut map = map(&start, &Device::flex().autodiff());
        let clip = ClipFactor::default();
        let mut optimizer = settings.init_kind(kind, &plan(&map), &clip);
        for (step, (values, expected)) in steps.iter().zip(&after[name]).enumerate() {
            let gradients = gradients(&map, values);
            clip.set(GradientSquares::of(&map, &gradients).clip_factor(1.0));
            map = optimizer.step(rate, map, gradients);
            let (weight, bias) = expected.tensors(&Device::flex());
            for (ours, theirs) in [
                (map.weight.val().inner().into_data(), weight.into_data()),
                (map.bias.val().inner().into_data(), bias.into_data()),
            ] {
                for (ours, theirs) in ours.iter::<f32>().zip(theirs.iter::<f32>()) {
                    assert!((ours - theirs).abs() < 2e-6, "{name} step {step}: {ours}, not {theirs}");
                }
            }
        }
    }
}

#[test]
fn gradients_that_are_no_numbers_spoil_nothing() {
    let fixture = fixture();
    for (name, kind) in KINDS {
        let mut map = map(&fixture.start, &Device::flex().autodiff());
        let clip = ClipFactor::default();
        let mut optimizer = OptimizerSettings::default().init_kind(kind, &plan(&map), &clip);
        let mut values = fixture.gradients[0].clone();
        values.weight[1][2] = f32::NAN;
        let gradients = gradients(&map, &values);
        clip.set(GradientSquares::of(&map, &gradients).clip_factor(1.0));
        map = optimizer.step(1e-2, map, gradients);
        let weight = map.weight.val().inner().into_data();
        assert!(weight.iter::<f32>().all(f32::is_finite), "{name}");
    }
}
