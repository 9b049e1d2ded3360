//! The head for labels of tokens and for spans.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use temper_kernels::widen;

use crate::Mode;
use crate::layers::{Dropout, HasLinears, Linear, LinearWalk};

/// Dropout and one linear map over every token: labels of tokens, or a span's start and end.
///
/// Follows transformers 5.23, `BertForTokenClassification` and `BertForQuestionAnswering`.
#[derive(Module, Debug)]
pub struct TokenClassification {
    output: Linear,
    dropout: Dropout,
}

impl TokenClassification {
    /// A head with zero weights, to be loaded.
    pub fn new(hidden: usize, labels: usize, dropout: f64, device: &Device) -> Self {
        Self { output: Linear::new(hidden, labels, device), dropout: Dropout::new(dropout) }
    }

    /// Logits, in f32.
    ///
    /// # Shapes
    /// - hidden: `[tokens, hidden]`; output: `[tokens, labels]`
    pub fn forward(&self, hidden: Tensor<2>, mode: Mode) -> Tensor<2> {
        widen(self.output.forward(self.dropout.forward(hidden, mode), mode.child(0)))
    }
}

impl HasLinears for TokenClassification {
    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        walk.part("output", &mut self.output);
    }
}
