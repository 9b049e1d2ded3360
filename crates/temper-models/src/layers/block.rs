//! A transformer block whose sub-layers follow each other.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{
    Attention, AttentionConfig, Dropout, Encoded, FeedForward, FeedForwardConfig, Layer, LayerCache,
    LayerRows, Norm, NormConfig,
};
use crate::Mode;

/// Where a sub-layer normalises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormPlace {
    /// `x + dropout(f(norm(x)))`: GPT-2 and what came after.
    Before,
    /// As [`Self::Before`], but self-attention has no norm: ModernBERT's first layer, whose input has one already.
    BeforeFeedForward,
    /// `x + dropout(norm'(f(norm(x))))`, of sub-layers with two norms each: Gemma 2.
    BeforeAndAfter,
    /// `norm(x) + dropout(f(norm(x)))`: BLOOM's `apply_residual_connection_post_layernorm`.
    BeforeAndOnResidual,
    /// `norm(x + dropout(f(x)))`: BERT, GPT, BART.
    After,
}

/// What [`Block`] is made from.
#[derive(Clone, Debug)]
pub struct BlockConfig {
    /// Self-attention.
    pub attention: AttentionConfig,
    /// Attention to an encoder's output, in the decoder of an encoder-decoder model.
    pub cross_attention: Option<AttentionConfig>,
    /// The feed-forward layer.
    pub ffn: FeedForwardConfig,
    /// The norm of each sub-layer.
    pub norm: NormConfig,
    /// Where it is.
    pub norm_place: NormPlace,
    /// Dropout on what each sub-layer adds; self-attention may name another.
    pub dropout: f64,
}

/// A transformer layer: self-attention, perhaps cross-attention, a feed-forward layer, each with a norm
/// and a residual sum.
#[derive(Module, Debug)]
pub struct Block {
    /// Self-attention.
    pub attention: Attention,
    /// The norm of self-attention, where it has one.
    pub attention_norm: Option<Norm>,
    /// The norm of what self-attention adds.
    pub attention_after_norm: Option<Norm>,
    /// Attention to an encoder's output.
    pub cross_attention: Option<Attention>,
    /// The norm of cross-attention.
    pub cross_attention_norm: Option<Norm>,
    /// The feed-forward layer.
    pub ffn: FeedForward,
    /// The norm of the feed-forward layer.
    pub ffn_norm: Norm,
    /// The norm of what the feed-forward layer adds.
    pub ffn_after_norm: Option<Norm>,
    attention_dropout: Dropout,
    dropout: Dropout,
    #[module(skip)]
    norm_place: NormPlace,
}

impl Block {
    /// A block with zero weights, to be loaded.
    pub fn new(config: &BlockConfig, device: &Device) -> Self {
        let cross = config.cross_attention.as_ref();
        let after = || (config.norm_place == NormPlace::BeforeAndAfter).then(|| config.norm.init(device));
        Self {
            attention: Attention::new(&config.attention, device),
            attention_norm: (config.norm_place != NormPlace::BeforeFeedForward)
                .then(|| config.norm.init(device)),
            attention_after_norm: after(),
            cross_attention: cross.map(|cross| Attention::new(cross, device)),
            cross_attention_norm: cross.map(|_| config.norm.init(device)),
            ffn: FeedForward::new(&config.ffn, device),
            ffn_norm: config.norm.init(device),
            ffn_after_norm: after(),
            attention_dropout: Dropout::new(config.attention.residual_dropout.unwrap_or(config.dropout)),
            dropout: Dropout::new(config.dropout),
            norm_place: config.norm_place,
        }
    }

    /// What a sub-layer computes on, and what its result is added to.
    fn begin(&self, norm: Option<&Norm>, x: Tensor<2>) -> [Tensor<2>; 2] {
        let Some(norm) = norm else { return [x.clone(), x] };
        match self.norm_place {
            NormPlace::Before | NormPlace::BeforeFeedForward | NormPlace::BeforeAndAfter => {
                [norm.forward(x.clone()), x]
            }
            NormPlace::BeforeAndOnResidual => {
                let x = norm.forward(x);
                [x.clone(), x]
            }
            NormPlace::After => [x.clone(), x],
        }
    }

    /// Adds what a sub-layer computed to its residual.
    fn end(&self, norm: Option<&Norm>, dropout: &Dropout, sum: [Tensor<2>; 2], mode: Mode) -> Tensor<2> {
        let [computed, residual] = sum;
        match norm.filter(|_| self.norm_place == NormPlace::After) {
            Some(norm) => norm.forward_residual(computed, residual, dropout, mode),
            None => dropout.forward_residual(computed, residual, mode),
        }
    }
}

impl Layer for Block {
    fn forward(
        &self,
        x: Tensor<2>,
        rows: &LayerRows,
        encoded: Option<&Encoded>,
        mut cache: Option<&mut LayerCache>,
        mode: Mode,
    ) -> Tensor<2> {
        let [inputs, residual] = self.begin(self.attention_norm.as_ref(), x);
        let attended = self.attention.forward(inputs, rows, cache.as_deref_mut(), mode.child(0));
        let sum = [normed(self.attention_after_norm.as_ref(), attended), rows.select(residual)];
        let mut x = self.end(self.attention_norm.as_ref(), &self.attention_dropout, sum, mode.child(1));
        let cross = self.cross_attention.as_ref().zip(self.cross_attention_norm.as_ref());
        if let (Some((attention, norm)), Some(encoded)) = (cross, encoded) {
            let [queries, residual] = self.begin(Some(norm), x);
            let attended = attention.forward_cross(queries, rows, encoded, cache, mode.child(3));
            x = self.end(Some(norm), &self.dropout, [attended, residual], mode.child(4));
        }
        let [inputs, residual] = self.begin(Some(&self.ffn_norm), x);
        let transformed = self.ffn.forward(inputs, mode.child(5));
        let transformed = normed(self.ffn_after_norm.as_ref(), transformed);
        self.end(Some(&self.ffn_norm), &self.dropout, [transformed, residual], mode.child(2))
    }

    fn depends_on_position(&self) -> bool {
        self.attention.depends_on_position()
    }

    fn drops_out(&self) -> bool {
        self.dropout.is_active()
            || self.attention_dropout.is_active()
            || self.attention.drops_out()
            || self.cross_attention.as_ref().is_some_and(Attention::drops_out)
            || self.ffn.drops_out()
    }
}

/// # Shapes
/// - x and output: `[rows, hidden]`
fn normed(norm: Option<&Norm>, x: Tensor<2>) -> Tensor<2> {
    match norm {
        Some(norm) => norm.forward(x),
        None => x,
    }
}
