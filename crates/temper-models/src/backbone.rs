use burn::tensor::Tensor;

use crate::{Mode, TokenBatch};

/// A pretrained model without a task: token ids in, one vector a token out.
pub trait Backbone {
    /// The output of the last layer.
    ///
    /// # Shapes
    /// - batch: `[batch, seq]`; output: `[batch, seq, hidden]`
    fn forward(&self, batch: &TokenBatch, mode: Mode) -> Tensor<3> {
        let mut states = self.hidden_states(batch, mode);
        states.pop().expect("hidden_states returns at least the embeddings")
    }

    /// The output of the embeddings and of every layer, first to last.
    ///
    /// # Shapes
    /// - batch: `[batch, seq]`; each output: `[batch, seq, hidden]`
    fn hidden_states(&self, batch: &TokenBatch, mode: Mode) -> Vec<Tensor<3>>;

    /// One vector a sequence from the last hidden state, as the family's own heads take it.
    ///
    /// # Shapes
    /// - hidden: `[batch, seq, hidden]`; output: `[batch, hidden]`
    fn pool(&self, hidden: Tensor<3>) -> Tensor<2>;

    /// Width of the hidden state.
    fn hidden_size(&self) -> usize;

    /// Number of layers.
    fn layer_count(&self) -> usize;

    /// Rows of the token embedding: an id must be below it.
    fn vocab_size(&self) -> usize;

    /// The longest sequence that has positions, special tokens included.
    fn max_positions(&self) -> usize;
}
