use burn::tensor::Tensor;

use crate::{Mode, Rows, TokenBatch};

/// A pretrained model without a task: token ids in, one vector a token out.
pub trait Backbone {
    /// The output of the last layer, for the tokens that are wanted.
    ///
    /// `watch` is shown the output of the embeddings and of every layer, first to last.
    ///
    /// # Shapes
    /// - batch: `[tokens]`; output: `[rows, hidden]`; watched: `[tokens, hidden]`, the last one as the
    ///   output
    fn forward_watched(
        &self,
        batch: &TokenBatch,
        rows: Rows,
        mode: Mode,
        watch: &mut dyn FnMut(&Tensor<2>),
    ) -> Tensor<2>;

    /// One vector a sequence from the hidden state of the token that the family's own heads read.
    ///
    /// # Shapes
    /// - hidden: `[sequences, hidden]`; output: `[sequences, hidden]`
    fn pool(&self, hidden: Tensor<2>) -> Tensor<2>;

    /// Width of the hidden state.
    fn hidden_size(&self) -> usize;

    /// Number of layers.
    fn layer_count(&self) -> usize;

    /// Rows of the token embedding: an id must be below it.
    fn vocab_size(&self) -> usize;

    /// The longest sequence that has positions, special tokens included.
    fn max_positions(&self) -> usize;

    /// The output of the last layer, for the tokens that are wanted.
    ///
    /// # Shapes
    /// - batch: `[tokens]`; output: `[rows, hidden]`
    fn forward(&self, batch: &TokenBatch, rows: Rows, mode: Mode) -> Tensor<2> {
        self.forward_watched(batch, rows, mode, &mut |_| {})
    }

    /// The output of the embeddings and of every layer, first to last.
    ///
    /// # Shapes
    /// - batch: `[tokens]`; each output: `[tokens, hidden]`
    fn hidden_states(&self, batch: &TokenBatch, mode: Mode) -> Vec<Tensor<2>> {
        let mut states = Vec::with_capacity(self.layer_count() + 1);
        self.forward_watched(batch, Rows::All, mode, &mut |state| states.push(state.clone()));
        states
    }
}
