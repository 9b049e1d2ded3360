//! BERT's forward pass, loss and gradients are transformers'.

mod common;

use burn::module::{ModuleVisitor, Param};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use common::{Reference, fixture, largest};
use temper_models::weights::{Layout, Place};
use temper_models::{
    Backbone, HeadRequest, Mode, Model, ModelConfig, PathTracker, RowIndex, Rows, TokenBatch,
};

const VARIANTS: [&str; 2] = ["bert", "bert-gelu-new"];

fn load(name: &str, device: &Device) -> Model {
    Model::load(&fixture(name), &HeadRequest::FromConfig, device).expect(name).model
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

#[test]
fn every_hidden_state_and_the_logits_agree() {
    for name in VARIANTS {
        for device in [Device::flex(), Device::flex().autodiff()] {
            let (model, reference) = (load(name, &device), Reference::read(name));
            let batch = reference.batch(&device);
            let states = model.backbone.hidden_states(&batch, Mode::Evaluate);
            assert_eq!(states.len(), model.backbone.layer_count() + 1);
            for (layer, state) in states.iter().enumerate() {
                let expected = reference.packed(&format!("hidden_states.{layer}"));
                let difference = largest(host(state.clone()), expected);
                assert!(difference < 1e-5, "{name} layer {layer}: {difference}");
            }
            let first = model.backbone.forward(&batch, Rows::First, Mode::Evaluate);
            let pooled = model.backbone.pool(first, Mode::Evaluate);
            assert!(largest(host(pooled), reference.values("pooler_output")) < 1e-5);
            let logits = model.classify(&batch, Mode::Evaluate).expect("a head");
            assert!(largest(host(logits), reference.values("logits")) < 1e-5);
        }
    }
}

struct Gradients<'a> {
    path: PathTracker,
    config: &'a ModelConfig,
    gradients: &'a burn::tensor::Gradients,
    reference: &'a Reference,
    compared: usize,
}

impl ModuleVisitor for Gradients<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.path();
        let Place { name, layout, .. } = self.config.stored_place(&path).expect(&path);
        let gradient = param.val().grad(self.gradients).expect(&path);
        let gradient = if layout == Layout::Transposed { gradient.swap_dims(0, 1) } else { gradient };
        let difference = largest(host(gradient), self.reference.values(&format!("grad.{name}")));
        assert!(difference < 1e-6, "{path}: {difference}");
        self.compared += 1;
    }
}

#[test]
fn the_loss_and_all_gradients_agree() {
    let device = Device::flex().autodiff();
    for name in VARIANTS {
        let (model, reference) = (load(name, &device), Reference::read(name));
        let logits = model.classify(&reference.batch(&device), Mode::train(0)).expect("a head");
        let labels = reference.labels();
        let rows = labels.len();
        let labels = Tensor::<2, Int>::from_data(TensorData::new(labels, [rows, 1]), &Device::flex());
        let loss = activation::log_softmax(logits, 1).gather(1, labels).mean().neg();
        assert!(largest(host(loss.clone()), reference.values("loss")) < 1e-6);
        let gradients = loss.backward();
        let mut visitor = Gradients {
            path: PathTracker::default(),
            config: &ModelConfig::read(&fixture(name)).expect(name),
            gradients: &gradients,
            reference: &reference,
            compared: 0,
        };
        burn::module::Module::visit(&model, &mut visitor);
        assert_eq!(visitor.compared, reference.names("grad.").len());
    }
}

#[test]
fn frozen_layers_give_the_same_numbers_without_a_graph() {
    let device = Device::flex().autodiff();
    let reference = Reference::read("bert");
    let model = burn::module::Module::no_grad(load("bert", &device));
    let states = model.backbone.hidden_states(&reference.batch(&device), Mode::train(0));
    assert!(states.iter().all(|state| !state.is_autodiff()));
    let last = states.last().expect("layers").clone();
    assert!(largest(host(last), reference.packed("last_hidden_state")) < 1e-5);
}

#[test]
fn a_sequence_in_a_batch_equals_the_sequence_alone() {
    let device = Device::flex();
    let (model, reference) = (load("bert", &device), Reference::read("bert"));
    let batch = reference.batch(&device);
    let together = model.classify(&batch, Mode::Evaluate).expect("a head");
    for (row, range) in batch.sequences.ranges().enumerate() {
        let cut =
            |ids: &RowIndex| -> Vec<u32> { ids.host()[range.clone()].iter().map(|&id| id as u32).collect() };
        let length = [range.len() as u32];
        let alone = TokenBatch::new(&cut(&batch.ids), &cut(&batch.type_ids), &length, &device);
        let alone = model.classify(&alone, Mode::Evaluate).expect("a head");
        let difference = largest(host(alone), host(together.clone().narrow(0, row, 1)));
        assert!(difference < 1e-6, "row {row}: {difference}");
    }
}

#[test]
fn wanted_rows_are_those_of_all_rows() {
    let device = Device::flex();
    let (model, reference) = (load("bert", &device), Reference::read("bert"));
    let batch = reference.batch(&device);
    let all = model.backbone.forward(&batch, Rows::All, Mode::Evaluate);
    let pick = |row: fn(std::ops::Range<usize>) -> usize| -> Vec<f64> {
        batch.sequences.ranges().flat_map(|range| host(all.clone().narrow(0, row(range), 1))).collect()
    };
    let first = model.backbone.forward(&batch, Rows::First, Mode::Evaluate);
    assert!(largest(host(first), pick(|range| range.start)) < 1e-6);
    let last = model.backbone.forward(&batch, Rows::Last, Mode::Evaluate);
    assert!(largest(host(last), pick(|range| range.end - 1)) < 1e-6);
}
