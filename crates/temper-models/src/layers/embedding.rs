use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, module};

use super::parameter;

/// A table of vectors, looked up by id.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[entries, width]`
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    /// A table of `entries` vectors.
    pub fn new(entries: usize, width: usize, device: &Device) -> Self {
        Self { weight: parameter([entries, width], device) }
    }

    /// # Shapes
    /// - ids: `[batch, seq]`, each below `entries`; output: `[batch, seq, width]`
    pub fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        module::embedding(self.weight.val(), ids)
    }

    /// The first `count` vectors.
    ///
    /// # Shapes
    /// - output: `[count, width]`
    pub fn first(&self, count: usize) -> Tensor<2> {
        self.weight.val().narrow(0, 0, count)
    }
}
