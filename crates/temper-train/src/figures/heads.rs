//! The attention of each head of a BERT, computed from its weights and hidden states.

use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use temper_data::{EncodeSettings, TextTokenizer, Truncation, encode_all};
use temper_models::{AnyBackbone, Backbone, Mode, Model, PathTracker, TokenBatch};

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
    let mut maps = Maps::default();
    model.visit(&mut maps);
    let layers = model.backbone.layer_count();
    let has = |layer: usize| maps.values.contains_key(&format!("layers.{layer}.attention.query.weight"));
    let is_bert = matches!(model.backbone, AnyBackbone::Bert(_)) && !maps.relative;
    if !is_bert || !(0..layers).all(has) || heads == 0 {
        return Err(TrainError::Usage(
            "attention is drawn of BERT, RoBERTa, DistilBERT and ELECTRA; this model is of another kind"
                .into(),
        ));
    }
    let mut all = Vec::new();
    let states = model.backbone.hidden_states(tokens, Mode::Evaluate);
    for (layer, state) in states.into_iter().take(layers).enumerate() {
        let state = rows(state);
        let [query, key] = ["attention.query", "attention.key"].map(|name| maps.apply(layer, name, &state));
        all.extend((0..heads).map(|head| {
            let weights = softmax(&of_head(&query, heads, head), &of_head(&key, heads, head));
            HeadAttention { layer, head, weights }
        }));
    }
    Ok(all)
}

/// The columns of one head. Shapes: `[tokens][heads * width]`; output: `[tokens][width]`
fn of_head(matrix: &Matrix, heads: usize, head: usize) -> Matrix {
    let columns = |row: &Vec<f64>| {
        let width = row.len() / heads;
        row[head * width..(head + 1) * width].to_vec()
    };
    matrix.iter().map(columns).collect()
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

/// Softmax of the scaled products of queries and keys. Shapes: `[tokens][head]` each; output: `[tokens][tokens]`
fn softmax(queries: &Matrix, keys: &Matrix) -> Matrix {
    let scale = (queries.first().map_or(1, Vec::len) as f64).sqrt();
    let row = |query: &Vec<f64>| {
        let score = |key: &Vec<f64>| query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>() / scale;
        let scores: Vec<f64> = keys.iter().map(score).collect();
        let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let exponents: Vec<f64> = scores.iter().map(|score| (score - highest).exp()).collect();
        let sum: f64 = exponents.iter().sum();
        exponents.into_iter().map(|exponent| exponent / sum).collect()
    };
    queries.iter().map(row).collect()
}

/// The weights of layers, by path.
#[derive(Default)]
struct Maps {
    path: PathTracker,
    /// Weights `[hidden, out]` row by row, and biases `[out]`.
    values: HashMap<String, Vec<f64>>,
    /// Whether the model adds biases of relative positions to its scores.
    relative: bool,
}

impl Maps {
    /// x W + b. Shapes: x `[tokens][in]`; output: `[tokens][out]`
    fn apply(&self, layer: usize, name: &str, x: &Matrix) -> Matrix {
        let value = |kind: &str| self.values.get(&format!("layers.{layer}.{name}.{kind}"));
        let (weight, bias) = (value("weight").map_or(&[][..], Vec::as_slice), value("bias"));
        let out = weight.len() / x.first().map_or(1, Vec::len).max(1);
        let row = |row: &Vec<f64>| {
            let mut sum = bias.cloned().unwrap_or_else(|| vec![0.0; out]);
            for (value, weights) in row.iter().zip(weight.chunks(out.max(1))) {
                sum.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += value * weight);
            }
            sum
        };
        x.iter().map(row).collect()
    }
}

impl ModuleVisitor for Maps {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let path = self.path.path();
        self.relative |= path.starts_with("relative");
        if path.starts_with("layers.") {
            self.values.insert(path, param.val().into_data().iter::<f64>().collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(layer: usize, head: usize, weights: &[[f64; 2]; 2]) -> HeadAttention {
        HeadAttention { layer, head, weights: weights.iter().map(|row| row.to_vec()).collect() }
    }

    #[test]
    fn rows_add_up_to_1_and_the_larger_product_has_more() {
        let weights = softmax(&vec![vec![2.0, 0.0], vec![0.0, 0.0]], &vec![vec![1.0, 0.0], vec![-1.0, 5.0]]);
        // exp(2 / sqrt 2) against exp(-2 / sqrt 2): 1 / (1 + exp(-4 / sqrt 2)).
        let expected = 1.0 / (1.0 + (-4.0 / 2f64.sqrt()).exp());
        assert!((weights[0][0] - expected).abs() < 1e-12 && weights[1] == [0.5, 0.5], "{weights:?}");
    }

    fn sum(one: &Matrix, other: &Matrix) -> Matrix {
        let rows = one.iter().zip(other);
        rows.map(|(one, other)| one.iter().zip(other).map(|(one, other)| one + other).collect()).collect()
    }

    fn normed(maps: &Maps, name: &str, x: &Matrix) -> Matrix {
        let [gain, shift] = ["weight", "bias"].map(|kind| &maps.values[&format!("layers.0.{name}.{kind}")]);
        let row = |row: &Vec<f64>| {
            let mean = row.iter().sum::<f64>() / row.len() as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
            let scaled = row.iter().zip(gain).zip(shift);
            scaled.map(|((x, gain), shift)| (x - mean) / (variance + 1e-12).sqrt() * gain + shift).collect()
        };
        x.iter().map(row).collect()
    }

    /// With the weights of its heads, and with its own values, maps and norms, layer 0 gives the next hidden state.
    #[test]
    fn weights_are_those_that_the_layer_computes_with() {
        let folder =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../temper-models/tests/fixtures/bert");
        let device = crate::device::backend::Backend::default_compiled().unwrap().device().unwrap();
        let model = Model::load(&folder, &temper_models::HeadRequest::FromConfig, &device).unwrap().model;
        let tokens = batch(&[2, 5, 8, 12, 17, 3], &[0; 6], &device);
        let heads = 4;
        let attention = of_batch(&model, heads, &tokens).unwrap();
        let mut maps = Maps::default();
        model.visit(&mut maps);
        let states: Vec<Matrix> =
            model.backbone.hidden_states(&tokens, Mode::Evaluate).into_iter().map(rows).collect();
        let value = maps.apply(0, "attention.value", &states[0]);
        let mut context: Matrix = vec![Vec::new(); 6];
        for head in attention.iter().filter(|head| head.layer == 0) {
            let value = of_head(&value, heads, head.head);
            for (row, weights) in context.iter_mut().zip(&head.weights) {
                let column =
                    |column: usize| weights.iter().zip(&value).map(|(w, v)| w * v[column]).sum::<f64>();
                row.extend((0..value[0].len()).map(column));
            }
        }
        let attended = maps.apply(0, "attention.output", &context);
        let middle = normed(&maps, "attention_norm", &sum(&states[0], &attended));
        let inner = maps.apply(0, "ffn.inner", &middle);
        let gelu = |row: &Vec<f64>| {
            let values: Vec<f32> = row.iter().map(|value| *value as f32).collect();
            let values = Tensor::<1>::from_floats(values.as_slice(), &device);
            burn::tensor::activation::gelu(values).into_data().iter::<f64>().collect()
        };
        let inner: Matrix = inner.iter().map(gelu).collect();
        let output = normed(&maps, "ffn_norm", &sum(&middle, &maps.apply(0, "ffn.outer", &inner)));
        for (ours, theirs) in output.iter().flatten().zip(states[1].iter().flatten()) {
            assert!((ours - theirs).abs() < 1e-4, "{ours} {theirs}");
        }
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
