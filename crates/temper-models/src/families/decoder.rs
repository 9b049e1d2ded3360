//! The decoder of every family without an encoder: a stack of causal layers over token embeddings.
//!
//! Which parts there are, and which layers, is the family's to say; so are the stored names. Segment ids are
//! not read: these families' tokenizers give none.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::layers::{
    DecoderLayer, DecoderLayerConfig, Dropout, Embedding, Layer, LinearWalk, Norm, NormConfig, Rotary,
    StackPass, StackRows, detach_if_frozen, is_frozen, run_frozen_without_autodiff, run_layers,
};
use crate::{Backbone, Mode, Pass, TokenBatch};

/// What [`Decoder`] is made from.
#[derive(Clone, Debug)]
pub struct DecoderConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the hidden state.
    pub hidden: usize,
    /// Rows of the learned position embedding, where there is one.
    pub positions: Option<usize>,
    /// The norm of the embeddings, where there is one.
    pub embedding_norm: Option<NormConfig>,
    /// Dropout on the embeddings.
    pub embedding_dropout: f64,
    /// What the embeddings are multiplied by.
    pub embedding_scale: f64,
    /// The layers, first to last.
    pub layers: Vec<DecoderLayerConfig>,
    /// Rotations of queries and keys, which layers name by their number.
    pub rotary: Vec<Rotary>,
    /// The norm after the last layer, where there is one.
    pub final_norm: Option<NormConfig>,
}

impl DecoderConfig {
    /// Token embeddings and layers alone.
    pub fn new(
        vocab_size: usize,
        hidden: usize,
        layers: impl IntoIterator<Item = impl Into<DecoderLayerConfig>>,
    ) -> Self {
        Self {
            vocab_size,
            hidden,
            positions: None,
            embedding_norm: None,
            embedding_dropout: 0.0,
            embedding_scale: 1.0,
            layers: layers.into_iter().map(Into::into).collect(),
            rotary: Vec::new(),
            final_norm: None,
        }
    }
}

/// A stack of causal layers over token embeddings, without a task.
#[derive(Module, Debug)]
pub struct Decoder {
    token_embedding: Embedding,
    position_embedding: Option<Embedding>,
    embedding_norm: Option<Norm>,
    embedding_dropout: Dropout,
    layers: Vec<DecoderLayer>,
    final_norm: Option<Norm>,
    #[module(skip)]
    embedding_scale: f64,
    #[module(skip)]
    rotary: Vec<Rotary>,
}

impl Decoder {
    /// A decoder with zero weights, to be loaded.
    pub fn new(config: &DecoderConfig, device: &Device) -> Self {
        let embedding = |entries| Embedding::new(entries, config.hidden, device);
        Self {
            token_embedding: embedding(config.vocab_size),
            position_embedding: config.positions.map(embedding),
            embedding_norm: config.embedding_norm.map(|norm| norm.init(device)),
            embedding_dropout: Dropout::new(config.embedding_dropout),
            layers: config.layers.iter().map(|layer| DecoderLayer::new(layer, device)).collect(),
            final_norm: config.final_norm.map(|norm| norm.init(device)),
            embedding_scale: config.embedding_scale,
            rotary: config.rotary.clone(),
        }
    }

    // [tokens] -> [tokens, hidden]
    fn embed(&self, batch: &TokenBatch, mode: Mode) -> Tensor<2> {
        let mut x = self.token_embedding.forward(&batch.ids);
        if self.embedding_scale != 1.0 {
            x = x * self.embedding_scale;
        }
        if let Some(positions) = &self.position_embedding {
            x = x + positions.forward(&batch.positions);
        }
        if let Some(norm) = &self.embedding_norm {
            x = norm.forward(x);
        }
        let frozen = is_frozen(&self.token_embedding)
            && is_frozen(&self.position_embedding)
            && is_frozen(&self.embedding_norm);
        detach_if_frozen(self.embedding_dropout.forward(x, mode.of_part(frozen)), frozen)
    }
}

impl Backbone for Decoder {
    fn run(&self, batch: &TokenBatch, pass: Pass<'_>) -> Tensor<2> {
        let Pass { rows, mode, cache, watch, until } = pass;
        let rows = &StackRows::of(batch, rows).rotated(&self.rotary, batch);
        let pass = StackPass { rows, encoded: None, cache, mode, watch, until };
        let x = run_layers(&self.layers, || self.embed(batch, mode.child(0)), batch, pass);
        match &self.final_norm {
            Some(norm) => run_frozen_without_autodiff(norm, x, Norm::forward),
            None => x,
        }
    }

    fn token_table(&self) -> Tensor<2> {
        self.token_embedding.weight.val()
    }

    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        walk.part("layers", &mut self.layers);
    }

    fn cached_context(&self) -> Option<usize> {
        self.rotary.iter().filter_map(|rotary| Some(rotary.long.as_ref()?.context)).min()
    }

    fn hidden_size(&self) -> usize {
        self.token_embedding.width()
    }

    fn layer_count(&self) -> usize {
        self.layers.len()
    }

    fn drops_out(&self) -> bool {
        self.embedding_dropout.is_active() || self.layers.iter().any(Layer::drops_out)
    }
}
