//! The output of the lowest layers for a batch, and a pass that starts from it: the same as the whole pass, in every
//! family; and dropout in frozen parts.

mod common;
#[path = "common/zoo.rs"]
mod zoo;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use common::changed;
use serde_json::{Value, json};
use temper_models::{Backbone, HeadRequest, Mode, Model, Pass, Rows, TokenBatch, TrunkRows, TrunkState};
use zoo::{Case, cases, host, largest, size};

const ROUNDING: f64 = 1e-6;

/// Largest difference relative to the largest value.
fn difference(left: Tensor<2>, right: &Tensor<2>) -> f64 {
    let right = host(right.clone());
    largest(&host(left), &right) / size(&right).max(1.0)
}

/// What the pass gives, and how many states it shows.
fn run(model: &Model, batch: &TokenBatch, rows: Rows) -> (Tensor<2>, usize) {
    let mut shown = 0;
    let watch = &mut |_: &Tensor<2>| shown += 1;
    let output =
        model.backbone.run(batch, Pass { rows, mode: Mode::Evaluate, cache: None, watch, until: None });
    (output, shown)
}

fn assert_rows(case: &Case, model: &Model, batch: &TokenBatch, rows: Rows, state: &TrunkState) {
    let target = batch.decoder.as_deref().unwrap_or(batch);
    let sizes = batch.sequences.ranges().zip(target.sequences.ranges());
    let of_sequences =
        sizes.map(|(own, target)| model.backbone.trunk_rows(state.depth, rows, own.len(), target.len()));
    let sum = of_sequences.fold(TrunkRows::default(), |sum, rows| TrunkRows {
        hidden: sum.hidden + rows.hidden,
        encoded: sum.encoded + rows.encoded,
    });
    let encoded = state.encoded.as_ref().map_or(0, |encoded| encoded.hidden.dims()[0]);
    let found = TrunkRows { hidden: state.hidden.dims()[0], encoded };
    assert_eq!(found, sum, "{}: depth {}, {rows:?}", case.name, state.depth);
}

#[test]
fn a_pass_from_any_depth_gives_what_the_whole_pass_gives() {
    let device = Device::flex();
    for case in cases() {
        let (model, batch) = (case.load(&device), case.batch(&device));
        let layers = model.backbone.layer_count();
        for rows in [Rows::All, Rows::First, Rows::Last] {
            let (whole, all_shown) = run(&model, &batch, rows);
            for depth in 0..=layers {
                let state = model.backbone.trunk(&batch, depth, rows);
                assert_rows(&case, &model, &batch, rows, &state);
                let (rest, shown) = run(&model, &batch.clone().with_trunk(state.clone()), rows);
                let worst = difference(rest, &whole);
                assert!(worst < ROUNDING, "{}: depth {depth}, {rows:?}: {worst}", case.name);
                assert!(shown + depth <= all_shown, "{}: the layers below {depth} ran again", case.name);
                // The state is what the pass starts from, not the ids.
                let nothing = TrunkState { hidden: state.hidden.zeros_like(), ..state };
                let (other, _) = run(&model, &batch.clone().with_trunk(nothing), rows);
                assert!(difference(other, &whole) > 1e-3, "{}: depth {depth}", case.name);
            }
        }
    }
}

#[test]
fn logits_from_a_trunk_agree() {
    let device = Device::flex().autodiff();
    for case in cases() {
        let (model, batch) = (case.load(&device), case.batch(&device));
        let whole = model.logits(&batch, Mode::Evaluate).expect("a head");
        for depth in 0..=model.backbone.layer_count() {
            let state = model.trunk(&batch, depth);
            assert!(!state.hidden.is_autodiff(), "{}", case.name);
            let rest = model.logits(&batch.clone().with_trunk(state), Mode::Evaluate).expect("a head");
            let worst = difference(rest, &whole);
            assert!(worst < ROUNDING, "{}: depth {depth}: {worst}", case.name);
        }
    }
}

#[test]
#[should_panic(expected = "exceeds")]
fn a_depth_beyond_the_model_is_a_mistake_of_the_caller() {
    let (case, device) = (zoo::case("bert-sequence-classification"), Device::flex());
    case.load(&device).trunk(&case.batch(&device), 3);
}

/// The case with every probability of dropout in its configuration raised, and nothing that trains.
fn dropping(case: &Case, device: &Device) -> Model {
    let dir = changed(&case.dir, |_, config| {
        for (key, value) in config.as_object_mut().into_iter().flatten() {
            if is_dropout(key, value) {
                *value = json!(0.3);
            }
        }
    });
    let model = Model::load(dir.path(), &HeadRequest::FromConfig, device).expect("loads").model;
    model.no_grad()
}

/// A probability of dropout; BART's of whole layers are no such thing.
fn is_dropout(key: &str, value: &Value) -> bool {
    key.contains("drop") && !key.contains("layerdrop") && value.is_number()
}

#[test]
fn frozen_parts_drop_out_unless_told_otherwise() {
    let device = Device::flex().autodiff();
    for case in cases().iter() {
        assert!(!case.load(&device).backbone.drops_out(), "{}", case.name);
        let (model, batch) = (dropping(case, &device), case.batch(&device));
        assert!(model.backbone.drops_out(), "{}", case.name);
        let hidden = |mode: Mode| model.backbone.forward(&batch, Rows::All, mode);
        let plain = hidden(Mode::Evaluate);
        assert!(difference(hidden(Mode::train(1)), &plain) > 1e-4, "{}: as in transformers", case.name);
        let silenced = hidden(Mode::train(1).without_frozen_dropout());
        assert_eq!(host(silenced), host(plain), "{}", case.name);
    }
}
