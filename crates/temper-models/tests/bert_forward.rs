//! BERT's forward pass, loss and gradients are transformers'.

mod common;

use burn::module::{ModuleVisitor, Param};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use common::{Reference, fixture, largest};
use temper_models::families::bert;
use temper_models::weights::Layout;
use temper_models::{Backbone, HeadRequest, Mode, Model, PathTracker};

const VARIANTS: [&str; 2] = ["bert", "bert-gelu-new"];

fn load(name: &str, device: &Device) -> Model {
    Model::load(&fixture(name), &HeadRequest::FromConfig, device).expect(name).model
}

/// Differences at positions that are not padding: what a model says of padding is nobody's
/// business.
fn unpadded(values: Vec<f64>, lengths: &[usize], width: usize) -> Vec<f64> {
    let seq = values.len() / lengths.len() / width;
    let rows = values.chunks(seq * width).zip(lengths);
    rows.flat_map(|(row, &length)| row[..length * width].to_vec()).collect()
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
                let expected = reference.values(&format!("hidden_states.{layer}"));
                let [ours, theirs] =
                    [host(state.clone()), expected].map(|values| unpadded(values, &batch.lengths, 32));
                let difference = largest(ours, theirs);
                assert!(difference < 1e-5, "{name} layer {layer}: {difference}");
            }
            let pooled = model.backbone.pool(states[states.len() - 1].clone());
            assert!(largest(host(pooled), reference.values("pooler_output")) < 1e-5);
            let logits = model.classify(&batch, Mode::Evaluate).expect("a head");
            assert!(largest(host(logits), reference.values("logits")) < 1e-5);
        }
    }
}

struct Gradients<'a> {
    path: PathTracker,
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
        let head = bert::CLASSIFIER.iter().find_map(|row| row.stored_name(&path));
        let backbone = || {
            let (name, layout) = bert::WEIGHTS.stored_name(&path)?;
            Some((format!("bert.{name}"), layout))
        };
        let (name, layout) = head.or_else(backbone).expect(&path);
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
        let logits = model.classify(&reference.batch(&device), Mode::Train).expect("a head");
        let labels = reference.labels();
        let rows = labels.len();
        let labels = Tensor::<2, Int>::from_data(TensorData::new(labels, [rows, 1]), &Device::flex());
        let loss = activation::log_softmax(logits, 1).gather(1, labels).mean().neg();
        assert!(largest(host(loss.clone()), reference.values("loss")) < 1e-6);
        let gradients = loss.backward();
        let mut visitor = Gradients {
            path: PathTracker::default(),
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
    let states = model.backbone.hidden_states(&reference.batch(&device), Mode::Train);
    assert!(states.iter().all(|state| !state.is_autodiff()));
    let last = states.last().expect("layers").clone();
    let lengths = reference.batch(&device).lengths;
    let [ours, theirs] =
        [host(last), reference.values("last_hidden_state")].map(|values| unpadded(values, &lengths, 32));
    assert!(largest(ours, theirs) < 1e-5);
}

#[test]
fn a_padded_row_equals_the_row_alone() {
    let device = Device::flex();
    let (model, reference) = (load("bert", &device), Reference::read("bert"));
    let batch = reference.batch(&device);
    let together = model.classify(&batch, Mode::Evaluate).expect("a head");
    for (row, &length) in batch.lengths.iter().enumerate() {
        let cut = |ids: &Tensor<2, Int>| -> Vec<u32> {
            ids.clone().narrow(0, row, 1).narrow(1, 0, length).into_data().iter::<u32>().collect()
        };
        let alone = temper_models::TokenBatch::new(
            &cut(&batch.ids),
            &cut(&batch.type_ids),
            &[length as u32],
            length,
            &device,
        );
        let alone = model.classify(&alone, Mode::Evaluate).expect("a head");
        let difference = largest(host(alone), host(together.clone().narrow(0, row, 1)));
        assert!(difference < 1e-5, "row {row}: {difference}");
    }
}
