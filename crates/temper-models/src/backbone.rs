//! What every backbone offers: a forward pass, sizes, and its linear layers.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;

use crate::layers::{Cache, LinearWalk};
use crate::trunk::state_after;
use crate::{Mode, Rows, TokenBatch, TrunkRows, TrunkState};

/// What a forward pass is to compute, besides its batch.
pub struct Pass<'a> {
    /// The tokens whose hidden states are wanted; of an encoder-decoder model, the decoder's.
    pub rows: Rows,
    /// Whether dropout is active.
    pub mode: Mode,
    /// What was read before; decoders add to it.
    pub cache: Option<&'a mut Cache>,
    /// Is shown the output of the embeddings and of every layer, first to last, before any final norm;
    /// of an encoder-decoder model, the encoder's first. A pass that starts from a trunk shows its state
    /// in place of the embeddings, and the layers above it.
    pub watch: &'a mut dyn FnMut(&Tensor<2>),
    /// Layers, counted from the bottom, that `watch` wants to be shown: those above need not be computed,
    /// and nobody looks at what the pass returns. `None` for a whole pass.
    pub until: Option<usize>,
}

/// A pretrained model without a task: token ids in, one vector a token out.
pub trait Backbone {
    /// The hidden states of the tokens that are wanted.
    ///
    /// An encoder-decoder model reads the batch's decoder, or without it the ids shifted right. With a
    /// cache its encoder runs at the first call alone; later ones read nothing but the decoder's tokens.
    ///
    /// A batch that carries the state of the lowest layers skips the embeddings and these layers.
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

    /// The encoder's output for a batch, where there is an encoder next to a decoder.
    ///
    /// # Shapes
    /// - output: `[tokens, hidden]`
    fn encode(&self, _batch: &TokenBatch, _mode: Mode) -> Option<Tensor<2>> {
        None
    }

    /// Leads a walk through the linear maps, so that adapters can be attached to them and that they are told what to
    /// compute in. A family that does not write it takes no adapters and computes in f32.
    fn walk_linears(&mut self, _walk: &mut LinearWalk<'_>) {}

    /// The output of the lowest layers for a batch, without dropout and outside of autodiff. Counted are an
    /// encoder's layers first, then the decoder's; of all layers the last computes only the wanted rows.
    ///
    /// # Shapes
    /// - batch: `[tokens]`; output: see [`TrunkState`]
    ///
    /// # Panics
    /// When the depth exceeds the number of layers.
    fn trunk(&self, batch: &TokenBatch, depth: usize, rows: Rows) -> TrunkState {
        let hidden = state_after(depth, |watch| {
            let pass = Pass { rows, mode: Mode::Evaluate, cache: None, watch, until: Some(depth) };
            self.run(&batch.clone().without_trunk(), pass);
        });
        TrunkState { depth, hidden, encoded: None }
    }

    /// Rows that a sequence of so many tokens has in the state of [`Backbone::trunk`]; `target` counts what
    /// the decoder of an encoder-decoder model reads.
    fn trunk_rows(&self, depth: usize, rows: Rows, tokens: usize, _target: usize) -> TrunkRows {
        let is_picked = rows != Rows::All && depth > 0 && depth == self.layer_count();
        TrunkRows { hidden: if is_picked { 1 } else { tokens }, encoded: 0 }
    }

    /// Whether any layer or embedding part drops out in training; `true` where a family does not say.
    fn drops_out(&self) -> bool {
        true
    }

    /// Tokens of a sequence after which the states of all of them change, so that what a [`Cache`] has of a shorter one no
    /// longer holds: the old context of LongRoPE.
    fn cached_context(&self) -> Option<usize> {
        None
    }

    /// Width of the hidden state.
    fn hidden_size(&self) -> usize;

    /// Number of layers; of an encoder-decoder model, both parts together.
    fn layer_count(&self) -> usize;

    /// The hidden states of the tokens that are wanted.
    ///
    /// # Shapes
    /// - batch: `[tokens]`; output: `[rows, hidden]`
    fn forward(&self, batch: &TokenBatch, rows: Rows, mode: Mode) -> Tensor<2> {
        self.run(batch, Pass { rows, mode, cache: None, watch: &mut |_| {}, until: None })
    }

    /// The hidden states of tokens that follow those in a cache.
    ///
    /// # Shapes
    /// - batch: `[tokens]`; output: `[rows, hidden]`
    fn forward_cached(&self, batch: &TokenBatch, rows: Rows, cache: &mut Cache) -> Tensor<2> {
        let watch = &mut |_: &Tensor<2>| {};
        self.run(batch, Pass { rows, mode: Mode::Evaluate, cache: Some(cache), watch, until: None })
    }

    /// The output of the embeddings and of every layer, first to last, before any final norm.
    ///
    /// # Shapes
    /// - batch: `[tokens]`; each output: `[tokens, hidden]`
    fn hidden_states(&self, batch: &TokenBatch, mode: Mode) -> Vec<Tensor<2>> {
        let mut states = Vec::with_capacity(self.layer_count() + 1);
        let watch = &mut |state: &Tensor<2>| states.push(state.clone());
        self.run(batch, Pass { rows: Rows::All, mode, cache: None, watch, until: None });
        states
    }
}

/// A backbone that a model can hold: any that derives `Module`.
pub trait BackboneModule: Backbone + Module + ModuleDisplay + Sync + 'static {}

impl<B: Backbone + Module + ModuleDisplay + Sync + 'static> BackboneModule for B {}
