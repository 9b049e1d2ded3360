//! A pass with a tape runs each layer that trains without a graph, and once more with one in the backward pass.

use std::sync::{Arc, Mutex};

use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};
use temper_models::layers::{
    Cache, Encoded, Layer, LayerCache, LayerRows, Linear, StackPass, StackRows, run_layers,
};
use temper_models::{Mode, Rows, Tape, TokenBatch};

/// Which layer ran, and whether its output had a graph.
type Runs = Arc<Mutex<Vec<(usize, bool)>>>;

/// A linear map that notes how it runs.
#[derive(Module, Debug)]
struct Noted {
    map: Linear,
    #[module(skip)]
    number: usize,
    #[module(skip)]
    runs: Runs,
}

impl Layer for Noted {
    fn forward(
        &self,
        x: Tensor<2>,
        rows: &LayerRows,
        _: Option<&Encoded>,
        _: Option<&mut LayerCache>,
        mode: Mode,
    ) -> Tensor<2> {
        let output = self.map.forward(rows.select(x), mode);
        self.runs.lock().expect("no panic").push((self.number, output.is_tracked()));
        output
    }
}

const WIDTH: usize = 4;

fn stack(layers: usize, frozen: usize, device: &Device) -> (Vec<Noted>, Runs) {
    let runs = Runs::default();
    let layer = |number| {
        let mut map = Linear::new(WIDTH, WIDTH, device);
        map.weight =
            map.weight.map(|weight| weight.random_like(Distribution::Default).detach().require_grad());
        let layer = Noted { map, number, runs: runs.clone() };
        if number < frozen { layer.no_grad() } else { layer }
    };
    ((0..layers).map(layer).collect(), runs)
}

fn run(layers: &[Noted], batch: &TokenBatch, x: &Tensor<2>, cache: Option<&mut Cache>) -> Tensor<2> {
    let rows = &StackRows::of(batch, Rows::Last);
    let watch = &mut |_: &Tensor<2>| {};
    let pass = StackPass { rows, encoded: None, cache, mode: Mode::train(1), watch, until: None };
    run_layers(layers, || x.clone(), batch, pass)
}

fn take(runs: &Runs) -> Vec<(usize, bool)> {
    std::mem::take(&mut *runs.lock().expect("no panic"))
}

#[test]
fn each_layer_that_trains_runs_twice_and_leaves_no_graph_in_between() {
    let device = Device::flex().autodiff();
    let (layers, runs) = stack(4, 1, &device);
    let batch = TokenBatch::new(&[0; 5], &[0; 5], &[2, 3], &device);
    let x = Tensor::random([5, WIDTH], Distribution::Default, &Device::flex());

    let whole = run(&layers, &batch, &x, None);
    assert_eq!(take(&runs), [(0, false), (1, true), (2, true), (3, true)]);

    let tape = Tape::default();
    let output = run(&layers, &batch.clone().with_tape(&tape), &x, None);
    assert_eq!(take(&runs), [(0, false), (1, false), (2, false), (3, false)]);
    assert_eq!(output.dims(), [2, WIDTH], "the last layer computes what is wanted alone");
    assert_eq!(output.to_data(), whole.to_data());
    assert!(output.is_require_grad(), "a leaf");

    let gradients = tape.backward(output.sum(), &layers);
    assert_eq!(take(&runs), [(3, true), (2, true), (1, true)]);
    let weights: Vec<bool> =
        layers.iter().map(|layer| gradients.get::<2>(layer.map.weight.id).is_some()).collect();
    assert_eq!(weights, [false, true, true, true]);
    // The tape is as new.
    assert_eq!(format!("{tape:?}"), format!("{:?}", Tape::default()));
}

#[test]
fn what_needs_no_gradient_is_not_computed_again() {
    let device = Device::flex().autodiff();
    let (layers, runs) = stack(3, 3, &device);
    let tape = Tape::default();
    let batch = TokenBatch::new(&[0; 5], &[0; 5], &[2, 3], &device).with_tape(&tape);
    let x = Tensor::random([5, WIDTH], Distribution::Default, &Device::flex());
    assert!(!run(&layers, &batch, &x, None).is_autodiff());
    assert_eq!(format!("{tape:?}"), format!("{:?}", Tape::default()));
    // What trains is below: its gradient goes through frozen layers.
    let x = x.autodiff().require_grad();
    let embedded = x.clone() * 2.0;
    let output = run(&layers, &batch, &embedded, None);
    take(&runs);
    let map = Linear::new(1, 1, &device);
    assert!(tape.backward(output.sum(), &map).is_empty(), "of another module");
    assert_eq!(take(&runs), [(2, true), (1, true), (0, true)]);
}

#[test]
fn a_pass_with_a_cache_and_one_without_autodiff_note_nothing() {
    let (tape, device) = (Tape::default(), Device::flex().autodiff());
    let (layers, runs) = stack(2, 0, &device);
    let batch = TokenBatch::new(&[0; 5], &[0; 5], &[2, 3], &device).with_tape(&tape);
    let x = Tensor::random([5, WIDTH], Distribution::Default, &Device::flex());
    run(&layers, &batch, &x, Some(&mut Cache::new(2)));
    assert_eq!(take(&runs), [(0, true), (1, true)]);
    run(&layers.valid(), &batch, &x, None);
    assert_eq!(take(&runs), [(0, false), (1, false)]);
    assert_eq!(format!("{tape:?}"), format!("{:?}", Tape::default()));
}
