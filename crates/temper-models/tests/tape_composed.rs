//! Computing layers again where operations are composed from Burn's, as on GPUs: in double precision, which has no
//! fused form. Dropout masks come from the device's generator there.
//!
//! One test in a file of its own: the generator belongs to the whole process.

mod common;
#[path = "common/zoo.rs"]
mod zoo;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, FloatDType, Tensor};
use common::changed;
use serde_json::json;
use temper_models::{HeadRequest, Mode, Model, Tape, TokenBatch};
use zoo::{Case, case, host};

const CASES: [&str; 4] = [
    "bert-sequence-classification",
    "gpt2-token-classification",
    "t5-sequence-classification",
    "bart-sequence-classification",
];

/// A change to every parameter, which stays a leaf.
struct Change<F>(F);

impl<F: FnMut(Tensor<1>, u64) -> Tensor<1>> ModuleMapper for Change<F> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let shape = tensor.shape();
        let changed = (self.0)(tensor.without_autodiff().flatten(0, D - 1), id.val());
        Param::from_mapped_value(id, changed.reshape(shape).autodiff().require_grad(), mapper)
    }
}

/// The case in double precision, with dropout of that probability.
fn load(case: &Case, dropout: f64, device: &Device) -> Model {
    let dir = changed(&case.dir, |_, config| {
        for (key, value) in config.as_object_mut().into_iter().flatten() {
            if key.contains("drop") && !key.contains("layerdrop") && value.is_number() {
                *value = json!(dropout);
            }
        }
    });
    let model = Model::load(dir.path(), &HeadRequest::FromConfig, device).expect("loads").model;
    model.map(&mut Change(|tensor: Tensor<1>, _| tensor.cast(FloatDType::F64)))
}

fn loss(model: &Model, batch: &TokenBatch) -> Tensor<1> {
    batch.device().seed(11);
    let logits = model.logits(batch, Mode::train(3)).expect("a head");
    assert_eq!(logits.dtype(), DType::F64);
    (logits.clone() * logits).mean()
}

/// The gradient of every parameter, in the model's order; empty where there is none.
fn all(model: &Model, gradients: &GradientsParams) -> Vec<Vec<f64>> {
    struct All<'a>(&'a GradientsParams, Vec<Vec<f64>>);
    impl ModuleVisitor for All<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.1.push(self.0.get::<D>(param.id).map(host).unwrap_or_default());
        }
    }
    let mut all = All(gradients, Vec::new());
    model.visit(&mut all);
    all.1
}

/// The loss where every parameter has moved along its gradient.
fn moved(model: &Model, gradients: &[Vec<f64>], distance: f64, batch: &TokenBatch) -> f64 {
    let mut gradients = gradients.iter();
    let change = |tensor: Tensor<1>, _| {
        let gradient = gradients.next().expect("one a parameter");
        if gradient.is_empty() {
            return tensor;
        }
        let device = tensor.device();
        tensor + Tensor::<1>::from_data(gradient.as_slice(), (&device, DType::F64)) * distance
    };
    host(loss(&model.clone().map(&mut Change(change)), batch))[0]
}

#[test]
fn gradients_are_those_of_the_whole_graph_and_of_the_loss() {
    let device = Device::flex().autodiff();
    for case in CASES.map(case) {
        let batch = case.batch(&device);
        // Without dropout both ways compute the same.
        let model = load(&case, 0.0, &device);
        let whole = loss(&model, &batch);
        let expected = all(&model, &GradientsParams::from_grads(whole.backward(), &model));
        let tape = Tape::default();
        let found = loss(&model, &batch.clone().with_tape(&tape));
        // Some of Burn's operations are computed otherwise under autodiff.
        let difference = (host(found.clone())[0] - host(whole.clone())[0]).abs();
        assert!(difference < 1e-14 * host(whole)[0], "{}: {difference}", case.name);
        let found = all(&model, &tape.backward(found, &model));
        for (expected, found) in expected.iter().zip(&found) {
            let size = zoo::size(expected).max(1e-3);
            assert!(zoo::largest(found, expected) < 1e-12 * size, "{}", case.name);
        }
        // With it, the masks of the second pass must be those of the first: a step along the gradient moves the
        // loss by the square of the gradient's norm.
        let model = load(&case, 0.3, &device);
        let taped = batch.clone().with_tape(&tape);
        let value = loss(&model, &taped);
        assert!((host(value.clone())[0] - host(loss(&load(&case, 0.0, &device), &batch))[0]).abs() > 1e-6);
        let gradients = all(&model, &tape.backward(value, &model));
        let square: f64 = gradients.iter().flatten().map(|value| value * value).sum();
        assert!(square > 0.0, "{}", case.name);
        let distance = 1e-6 / square.sqrt();
        let [up, down] = [distance, -distance].map(|distance| moved(&model, &gradients, distance, &taped));
        let slope = (up - down) / (2.0 * distance);
        assert!((slope - square).abs() < 1e-6 * square, "{}: {slope} {square}", case.name);
    }
}
