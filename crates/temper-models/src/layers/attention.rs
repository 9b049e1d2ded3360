//! Multi-head attention with its four linear layers.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use temper_kernels::{
    AttentionHeads, AttentionLayout, AttentionPattern, RelativeTerms, products_by_head, widen,
};

use super::linear::apply_all;
use super::{Dropout, Encoded, LayerCache, LayerRows, Linear, Norm, NormConfig};
use crate::Mode;

/// What [`Attention`] is made from.
#[derive(Clone, Debug)]
pub struct AttentionConfig {
    /// Width of the hidden state.
    pub hidden: usize,
    /// Number of heads, and of the heads of keys and values, and the width of one.
    pub heads: AttentionHeads,
    /// Which keys a query sees, and what is added to its scores.
    pub pattern: AttentionPattern,
    /// Whether query, key and value have a bias.
    pub bias: bool,
    /// Whether the output has a bias.
    pub output_bias: bool,
    /// Dropout on the attention weights.
    pub dropout: f64,
    /// Dropout on what the attention adds to the residual sum, where it is not the block's.
    pub residual_dropout: Option<f64>,
    /// Which of the stack's rotations turns queries and keys.
    pub rotation: Option<usize>,
    /// The norm of each head of the queries, and that of each head of the keys, before they are turned.
    pub head_norm: Option<NormConfig>,
    /// Whether the stack's relative positions are vectors, which the maps of queries and keys read (DeBERTa), and the
    /// dropout on them. Otherwise they are numbers.
    pub relative_vectors: Option<f64>,
}

impl AttentionConfig {
    /// The attention of Vaswani et al. 2017: as many key heads, the scores divided by the root of a head's
    /// width, biases everywhere.
    pub fn new(hidden: usize, heads: usize, dropout: f64) -> Self {
        let head = hidden / heads;
        Self {
            hidden,
            heads: AttentionHeads { query_heads: heads, key_heads: heads, head },
            pattern: both_directions(head),
            bias: true,
            output_bias: true,
            dropout,
            residual_dropout: None,
            rotation: None,
            head_norm: None,
            relative_vectors: None,
        }
    }

    /// The same with other heads, whose scores are divided by the root of their own width.
    #[must_use]
    pub fn with_heads(mut self, heads: AttentionHeads) -> Self {
        self.heads = heads;
        self.pattern.scale = 1.0 / (heads.head as f32).sqrt();
        self
    }

    /// The same with queries and keys that the stack's rotation of this number turns.
    #[must_use]
    pub fn rotated(mut self, rotation: usize) -> Self {
        self.rotation = Some(rotation);
        self
    }

    /// The same in a decoder: a token sees itself and what precedes it.
    #[must_use]
    pub fn causal(mut self) -> Self {
        self.pattern.causal = true;
        self
    }
}

/// Every token sees every other; scores are divided by the root of a head's width.
fn both_directions(head: usize) -> AttentionPattern {
    let scale = 1.0 / (head as f32).sqrt();
    AttentionPattern {
        causal: false,
        window: None,
        alibi: None,
        alibi_in_bfloat16: false,
        soft_cap: None,
        relative: None,
        scale,
    }
}

/// Multi-head attention, of a sequence to itself or to an encoder's output for another.
#[derive(Module, Debug)]
pub struct Attention {
    /// `[hidden, heads * head]`
    pub query: Linear,
    /// `[hidden, key heads * head]`
    pub key: Linear,
    /// `[hidden, key heads * head]`
    pub value: Linear,
    /// `[heads * head, hidden]`
    pub output: Linear,
    /// The norm of each head of the queries, `[head]`.
    pub query_norm: Option<Norm>,
    /// The norm of each head of the keys, `[head]`.
    pub key_norm: Option<Norm>,
    dropout: Dropout,
    relative_dropout: Option<Dropout>,
    #[module(skip)]
    heads: AttentionHeads,
    #[module(skip)]
    pattern: AttentionPattern,
    #[module(skip)]
    rotation: Option<usize>,
}

impl Attention {
    /// Attention with zero weights, to be loaded.
    pub fn new(config: &AttentionConfig, device: &Device) -> Self {
        let AttentionHeads { query_heads, key_heads, head } = config.heads;
        let map = |heads: usize| Linear::with_bias(config.hidden, heads * head, config.bias, device);
        Self {
            query: map(query_heads),
            key: map(key_heads),
            value: map(key_heads),
            output: Linear::with_bias(query_heads * head, config.hidden, config.output_bias, device),
            query_norm: config.head_norm.map(|norm| norm.init(device)),
            key_norm: config.head_norm.map(|norm| norm.init(device)),
            dropout: Dropout::new(config.dropout),
            relative_dropout: config.relative_vectors.map(Dropout::new),
            heads: config.heads,
            pattern: config.pattern.clone(),
            rotation: config.rotation,
        }
    }

    /// Attention of a sequence to itself.
    ///
    /// # Shapes
    /// - x: `[tokens, hidden]`; output: `[rows, hidden]`
    pub fn forward(
        &self,
        x: Tensor<2>,
        rows: &LayerRows,
        cache: Option<&mut LayerCache>,
        mode: Mode,
    ) -> Tensor<2> {
        let keys = self.key.factor(x.clone());
        // Where every token is a query, all three maps read the same.
        let queries = if rows.are_all() { keys.clone() } else { rows.select(x) };
        let [mut query, mut key, mut value] = apply_all([
            (&self.query, queries, mode.child(0)),
            (&self.key, keys.clone(), mode.child(1)),
            (&self.value, keys, mode.child(2)),
        ]);
        query = normed_heads(self.query_norm.as_ref(), query);
        key = normed_heads(self.key_norm.as_ref(), key);
        if let Some([of_queries, of_keys]) = self.rotation.map(|number| &rows.rotations[number]) {
            query = of_queries.apply(query);
            key = of_keys.apply(key);
        }
        if let Some(cache) = cache {
            [key, value] = cache.extend(key, value, rows);
        }
        let relative = self.relative_terms(&query, &key, rows, mode);
        let mut call = self.call(rows.layout.clone(), mode);
        call.pattern.relative = rows.relative_buckets.clone().or(call.pattern.relative);
        let attended = temper_kernels::attention(query, key, value, relative, call);
        self.output.forward(attended, mode.child(3))
    }

    /// Attention of a decoder to the encoder's output for its input.
    ///
    /// # Shapes
    /// - queries: `[rows, hidden]`; output: `[rows, hidden]`
    pub fn forward_cross(
        &self,
        queries: Tensor<2>,
        rows: &LayerRows,
        encoded: &Encoded,
        cache: Option<&mut LayerCache>,
        mode: Mode,
    ) -> Tensor<2> {
        let query = self.query.forward(queries, mode.child(0));
        let compute = || {
            let hidden = &encoded.hidden;
            [
                self.key.forward(hidden.clone(), mode.child(1)),
                self.value.forward(hidden.clone(), mode.child(2)),
            ]
        };
        let [key, value] = match cache {
            Some(cache) => cache.cross(compute),
            None => compute(),
        };
        let call = self.call(rows.cross_layout(encoded), mode);
        let attended = temper_kernels::attention(query, key, value, None, call);
        self.output.forward(attended, mode.child(3))
    }

    /// Whether it matters where a query is: such attention cannot compute the chosen tokens of a batch alone.
    pub fn depends_on_position(&self) -> bool {
        self.pattern.depends_on_position()
    }

    /// Whether attention weights drop out in training.
    pub fn drops_out(&self) -> bool {
        self.dropout.is_active() || self.relative_dropout.as_ref().is_some_and(Dropout::is_active)
    }

    fn call(&self, layout: AttentionLayout, mode: Mode) -> temper_kernels::Attention {
        temper_kernels::Attention {
            heads: self.heads,
            pattern: self.pattern.clone(),
            layout,
            dropout: self.dropout.masks(mode),
            // One model computes in one precision.
            precision: self.query.precision,
        }
    }

    /// What is added for the distance of query and key, where the stack has relative positions.
    ///
    /// # Shapes
    /// - query: `[rows, heads * head]`; key: `[tokens, heads * head]`
    fn relative_terms(
        &self,
        query: &Tensor<2>,
        key: &Tensor<2>,
        rows: &LayerRows,
        mode: Mode,
    ) -> Option<RelativeTerms> {
        let relative = rows.relative.clone()?;
        let Some(dropout) = &self.relative_dropout else { return Some(RelativeTerms::Table(relative)) };
        let vectors = dropout.forward(relative, mode.child(4)); // [buckets, hidden]
        // [buckets, hidden] -> [buckets, heads * head], scaled as all products of queries and keys are.
        let map = |map: &Linear, child| {
            widen(map.forward(vectors.clone(), mode.child(child))) * f64::from(self.pattern.scale)
        };
        let products = |states: &Tensor<2>, vectors| {
            products_by_head(states.clone(), vectors, self.heads.query_heads, self.query.precision)
        };
        Some(RelativeTerms::Rows {
            of_queries: products(query, map(&self.key, 5)),
            of_keys: products(key, map(&self.query, 6)),
        })
    }
}

/// Each head of each row normalised, in f32, where there is a norm.
///
/// # Shapes
/// - x and output: `[rows, heads * head]`
fn normed_heads(norm: Option<&Norm>, x: Tensor<2>) -> Tensor<2> {
    let Some(norm) = norm else { return x };
    let ([rows, width], head) = (x.dims(), norm.width());
    // [rows, heads * head] -> [rows * heads, head] -> [rows, heads * head]
    norm.forward(widen(x).reshape([rows * width / head, head])).reshape([rows, width])
}
