//! The attention of each head of a BERT, computed from its weights and hidden states.

use std::collections::HashMap;

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use temper_data::{EncodeSettings, TextTokenizer, Truncation, encode_all};
use temper_kernels::{Precision, products_by_head};
use temper_models::layers::{Linear, LinearWalk};
use temper_models::{AnyBackbone, Backbone, Mode, Model, TokenBatch};

use super::flow::{MOST_TOKENS, batch, rows, too_long};
use crate::TrainError;

/// Rows of numbers.
type Matrix = Vec<Vec<f64>>;

/// What one head attends to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HeadAttention {
    pub(crate) layer: usize,
    pub(crate) head: usize,
    /// `[tokens][tokens]`: how the token of the row divides its attention; a row adds up to 1.
    pub(crate) weights: Matrix,
}

/// The tokens of a text, and the attention of every head of every layer to them.
///
/// # Errors
/// [`TrainError::Usage`] for a model that is no BERT or one of its relatives without relative positions and shared
/// layers, and for a text of too many tokens; [`TrainError::Data`] for one that cannot be encoded.
pub(crate) fn attention(
    model: &Model,
    heads: usize,
    (tokenizer, text): (&TextTokenizer, &str),
    device: &Device,
) -> Result<(Vec<String>, Vec<HeadAttention>), TrainError> {
    let settings = EncodeSettings { max_length: MOST_TOKENS + 1, truncation: Truncation::Head };
    let encoded = encode_all(tokenizer, &[(text, None)], &settings, None)?;
    let text = encoded.items.first().filter(|text| text.ids.len() <= MOST_TOKENS).ok_or_else(too_long)?;
    let tokens = text.ids.iter().map(|&id| tokenizer.token(id).unwrap_or_default()).collect();
    Ok((tokens, of_batch(model, heads, &batch(&text.ids, &text.type_ids, device))?))
}

/// The attention of every head, from the hidden state below its layer and the layer's maps to queries and keys.
fn of_batch(model: &Model, heads: usize, tokens: &TokenBatch) -> Result<Vec<HeadAttention>, TrainError> {
    let (maps, layers) = (linear_maps(model), model.backbone.layer_count());
    let has = |layer: usize| maps.contains_key(&format!("layers.{layer}.attention.query"));
    let is_relative = model.parameters().parameters.iter().any(|row| row.path.starts_with("relative"));
    let is_bert = matches!(model.backbone, AnyBackbone::Bert(_)) && !is_relative;
    if !is_bert || !(0..layers).all(has) || heads == 0 {
        return Err(TrainError::Usage(
            "attention is drawn of BERT, RoBERTa, DistilBERT and ELECTRA; this model is of another kind"
                .into(),
        ));
    }
    let mut all = Vec::new();
    let states = model.backbone.hidden_states(tokens, Mode::Evaluate);
    for (layer, state) in states.into_iter().take(layers).enumerate() {
        let map = |name: &str| {
            maps[&format!("layers.{layer}.attention.{name}")].forward(state.clone(), Mode::Evaluate)
        };
        let weights = weights(map("query"), map("key"), heads).into_iter().enumerate();
        all.extend(weights.map(|(head, weights)| HeadAttention { layer, head, weights }));
    }
    Ok(all)
}

/// The linear maps of a backbone, by path.
fn linear_maps(model: &Model) -> HashMap<String, Linear> {
    let mut maps = HashMap::new();
    let visit = &mut |path: &str, map: &mut Linear| drop(maps.insert(path.to_owned(), map.clone()));
    model.backbone.clone().walk_linears(&mut LinearWalk::new(visit));
    maps
}

/// Softmax of the scaled products of queries and keys, a matrix for each head. Shapes: `[tokens, heads * head]` each;
/// output: `[heads][tokens][tokens]`
fn weights(query: Tensor<2>, key: Tensor<2>, heads: usize) -> Vec<Matrix> {
    let [tokens, width] = query.dims();
    let scale = ((width / heads) as f64).sqrt();
    // [tokens, heads * tokens] -> [tokens * heads, tokens]
    let scores = products_by_head(query, key, heads, Precision::F32).reshape([tokens * heads, tokens]);
    let all = rows(softmax(scores / scale, 1));
    (0..heads).map(|head| all.iter().skip(head).step_by(heads).cloned().collect()).collect()
}

/// The head whose attention two models differ in most, in both of them.
pub(crate) fn most_changed(
    before: Vec<HeadAttention>,
    after: Vec<HeadAttention>,
) -> Option<(HeadAttention, HeadAttention)> {
    let change = |(one, other): &(HeadAttention, HeadAttention)| -> f64 {
        let pairs = one.weights.iter().flatten().zip(other.weights.iter().flatten());
        pairs.map(|(one, other)| (one - other).abs()).sum()
    };
    before.into_iter().zip(after).max_by(|one, other| change(one).total_cmp(&change(other)))
}

#[cfg(test)]
mod tests {
    use burn::module::{Module, ModuleVisitor, Param};
    use burn::tensor::TensorData;
    use temper_models::PathTracker;

    use super::*;

    fn head(layer: usize, head: usize, weights: &[[f64; 2]; 2]) -> HeadAttention {
        HeadAttention { layer, head, weights: weights.iter().map(|row| row.to_vec()).collect() }
    }

    fn device() -> Device {
        crate::device::backend::Backend::default_compiled().unwrap().device().unwrap()
    }

    #[test]
    fn rows_add_up_to_1_and_the_larger_product_has_more() {
        let query = Tensor::from_floats([[2.0, 0.0], [0.0, 0.0]], &device());
        let weights = weights(query, Tensor::from_floats([[1.0, 0.0], [-1.0, 5.0]], &device()), 1);
        // exp(2 / sqrt 2) against exp(-2 / sqrt 2): 1 / (1 + exp(-4 / sqrt 2)).
        let expected = 1.0 / (1.0 + (-4.0 / 2f64.sqrt()).exp());
        let [first, second] = &weights[0][..] else { panic!("two tokens") };
        assert!((first[0] - expected).abs() < 1e-6 && *second == [0.5, 0.5], "{weights:?}");
    }

    /// With the weights of its heads, and with its own values, maps and norms, layer 0 gives the next hidden state.
    #[test]
    fn weights_are_those_that_the_layer_computes_with() {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/bert");
        let model = Model::load(&folder, &temper_models::HeadRequest::FromConfig, &device()).unwrap().model;
        let tokens = batch(&[2, 5, 8, 12, 17, 3], &[0; 6], &device());
        let heads = 4;
        let attention = of_batch(&model, heads, &tokens).unwrap();
        let (maps, norms) = (linear_maps(&model), norms_of_layer_0(&model));
        let map = |name: &str, x: Tensor<2>| maps[&format!("layers.0.{name}")].forward(x, Mode::Evaluate);
        let states = model.backbone.hidden_states(&tokens, Mode::Evaluate);
        let value = rows(map("attention.value", states[0].clone()));
        let width = value[0].len() / heads;
        let context = (0..6).flat_map(|token| {
            let (attention, value) = (&attention, &value);
            (0..heads * width).map(move |column| {
                let of_head = attention.iter().find(|each| each.layer == 0 && each.head == column / width);
                let weights = &of_head.expect("a head").weights[token];
                weights.iter().zip(value).map(|(weight, row)| weight * row[column]).sum::<f64>() as f32
            })
        });
        let context = TensorData::new(context.collect::<Vec<f32>>(), [6, heads * width]);
        let attended = map("attention.output", Tensor::from_data(context, &device()));
        let middle = normed(states[0].clone() + attended, &norms, "attention_norm");
        let inner = burn::tensor::activation::gelu(map("ffn.inner", middle.clone()));
        let output = normed(middle + map("ffn.outer", inner), &norms, "ffn_norm");
        for (ours, theirs) in rows(output).iter().flatten().zip(rows(states[1].clone()).iter().flatten()) {
            assert!((ours - theirs).abs() < 1e-4, "{ours} {theirs}");
        }
    }

    /// Gains and biases of the norms, by path.
    fn norms_of_layer_0(model: &Model) -> HashMap<String, Tensor<1>> {
        #[derive(Default)]
        struct Norms(PathTracker, HashMap<String, Tensor<1>>);
        impl ModuleVisitor for Norms {
            fn enter_module(&mut self, name: &str, container_type: &str) {
                self.0.enter(name, container_type);
            }

            fn exit_module(&mut self, _name: &str, _container_type: &str) {
                self.0.exit();
            }

            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let path = self.0.path();
                if path.starts_with("layers.0.") && path.contains("norm") {
                    self.1.insert(path, param.val().reshape([param.val().shape().num_elements()]));
                }
            }
        }
        let mut norms = Norms::default();
        model.visit(&mut norms);
        norms.1
    }

    fn normed(x: Tensor<2>, norms: &HashMap<String, Tensor<1>>, name: &str) -> Tensor<2> {
        let [gain, bias] = ["weight", "bias"].map(|kind| norms[&format!("layers.0.{name}.{kind}")].clone());
        temper_kernels::norm(x, None, gain, Some(bias), temper_kernels::Norm::Layer { epsilon: 1e-12 })
    }

    #[test]
    fn the_head_that_changed_most_is_found() {
        let even = [[0.5, 0.5], [0.5, 0.5]];
        let before = vec![head(0, 0, &even), head(0, 1, &even)];
        let after = vec![head(0, 0, &[[0.6, 0.4], [0.5, 0.5]]), head(0, 1, &[[0.9, 0.1], [0.5, 0.5]])];
        let (one, other) = most_changed(before, after).expect("a head");
        assert_eq!((one.head, other.head, other.weights[0][0]), (1, 1, 0.9));
    }
}
