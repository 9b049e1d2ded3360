//! Embedding tables.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use temper_kernels::RowIndex;

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
    /// - ids: `[rows]`, each below `entries`; output: `[rows, width]`
    pub fn forward(&self, ids: &RowIndex) -> Tensor<2> {
        temper_kernels::embedding(self.weight.val(), ids)
    }

    /// Numbers a row.
    pub fn width(&self) -> usize {
        self.weight.lazy_shape()[1]
    }
}
