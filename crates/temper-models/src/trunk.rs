//! The output of the lowest layers for a batch, kept so that a later pass can start from it.

use burn::tensor::Tensor;

use crate::layers::Encoded;

/// What the lowest layers of a model made of a packed batch, without dropout and outside of autodiff.
///
/// Layers are counted from the bottom, an encoder's first, then its decoder's. Depth 0 is the output of
/// the embeddings. Final norms are no part of it: they are computed again, and so may train.
///
/// Made by `Backbone::trunk`; a pass starts from it through `TokenBatch::with_trunk`.
#[derive(Clone, Debug)]
pub struct TrunkState {
    /// Number of layers.
    pub depth: usize,
    /// `[tokens, hidden]`; of all layers only what the last one computes, `[rows, hidden]`. Beyond an
    /// encoder, of the decoder's tokens.
    pub hidden: Tensor<2>,
    /// The encoder's output, its final norm included, where decoder layers that follow attend to it.
    pub encoded: Option<Encoded>,
}

/// Rows that one sequence has in a [`TrunkState`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrunkRows {
    /// Of the hidden state.
    pub hidden: usize,
    /// Of the encoder's output.
    pub encoded: usize,
}

impl TrunkRows {
    /// Both together.
    pub fn total(self) -> usize {
        self.hidden + self.encoded
    }
}

/// What a pass shows after `depth` layers, outside of autodiff.
///
/// # Panics
/// When it shows less.
pub(crate) fn state_after(depth: usize, run: impl FnOnce(&mut dyn FnMut(&Tensor<2>))) -> Tensor<2> {
    let (mut seen, mut found) = (0, None);
    run(&mut |state: &Tensor<2>| {
        if seen == depth {
            found = Some(state.clone().without_autodiff());
        }
        seen += 1;
    });
    found.unwrap_or_else(|| panic!("depth {depth} exceeds the model's {} layers", seen.max(1) - 1))
}
