use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use crate::layers::{Cache, LinearWalk};
use crate::{Mode, Rows, TokenBatch};

/// What a forward pass is to compute, beside its batch.
pub struct Pass<'a> {
    /// The tokens whose hidden states are wanted; of an encoder-decoder model, the decoder's.
    pub rows: Rows,
    /// Whether dropout is active.
    pub mode: Mode,
    /// What was read before; decoders add to it.
    pub cache: Option<&'a mut Cache>,
    /// Is shown the output of the embeddings and of every layer, first to last, before any final norm;
    /// of an encoder-decoder model, the encoder's first.
    pub watch: &'a mut dyn FnMut(&Tensor<2>),
}

/// A pretrained model without a task: token ids in, one vector a token out.
pub trait Backbone {
    /// The hidden states of the tokens that are wanted.
    ///
    /// An encoder-decoder model reads the batch's decoder, or without it the ids shifted right. With a
    /// cache its encoder runs at the first call alone; later ones read nothing but the decoder's tokens.
    ///
    /// # Shapes
    /// - batch: `[tokens]`; output: `[rows, hidden]`; watched: `[tokens, hidden]`, the last one
    ///   `[rows, hidden]`
    fn run(&self, batch: &TokenBatch, pass: Pass<'_>) -> Tensor<2>;

    /// One vector a sequence from the hidden state of the token that the family's own heads read.
    /// Only BERT has a layer of its own for that.
    ///
    /// # Shapes
    /// - hidden: `[sequences, hidden]`; output: `[sequences, hidden]`
    fn pool(&self, hidden: Tensor<2>, _mode: Mode) -> Tensor<2> {
        hidden
    }

    /// The token embedding, which a language model's tied output layer shares: `[vocab, hidden]`.
    fn token_table(&self) -> Tensor<2>;

    /// What the encoder makes of a batch, where there is an encoder beside a decoder.
    ///
    /// # Shapes
    /// - output: `[tokens, hidden]`
    fn encode(&self, _batch: &TokenBatch, _mode: Mode) -> Option<Tensor<2>> {
        None
    }

    /// Leads a walk through the linear maps, so that adapters can be put on them. A family that does not
    /// write it has none to offer.
    fn walk_linears(&mut self, _walk: &mut LinearWalk<'_>) {}

    /// Width of the hidden state.
    fn hidden_size(&self) -> usize;

    /// Number of layers; of an encoder-decoder model, both parts together.
    fn layer_count(&self) -> usize;

    /// The hidden states of the tokens that are wanted.
    ///
    /// # Shapes
    /// - batch: `[tokens]`; output: `[rows, hidden]`
    fn forward(&self, batch: &TokenBatch, rows: Rows, mode: Mode) -> Tensor<2> {
        self.run(batch, Pass { rows, mode, cache: None, watch: &mut |_| {} })
    }

    /// The hidden states of tokens that follow those in a cache.
    ///
    /// # Shapes
    /// - batch: `[tokens]`; output: `[rows, hidden]`
    fn forward_cached(&self, batch: &TokenBatch, rows: Rows, cache: &mut Cache) -> Tensor<2> {
        self.run(batch, Pass { rows, mode: Mode::Evaluate, cache: Some(cache), watch: &mut |_| {} })
    }

    /// The output of the embeddings and of every layer, first to last, before any final norm.
    ///
    /// # Shapes
    /// - batch: `[tokens]`; each output: `[tokens, hidden]`
    fn hidden_states(&self, batch: &TokenBatch, mode: Mode) -> Vec<Tensor<2>> {
        let mut states = Vec::with_capacity(self.layer_count() + 1);
        let watch = &mut |state: &Tensor<2>| states.push(state.clone());
        self.run(batch, Pass { rows: Rows::All, mode, cache: None, watch });
        states
    }
}

/// A backbone that a model can hold: any that derives `Module`.
pub trait BackboneModule: Backbone + Module + ModuleDisplay + 'static {}

impl<B: Backbone + Module + ModuleDisplay + 'static> BackboneModule for B {}
