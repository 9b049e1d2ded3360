use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::Mode;
use crate::layers::{Dropout, Linear};

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

    /// Logits.
    ///
    /// # Shapes
    /// - hidden: `[tokens, hidden]`; output: `[tokens, labels]`
    pub fn forward(&self, hidden: Tensor<2>, mode: Mode) -> Tensor<2> {
        self.output.forward(self.dropout.forward(hidden, mode), mode.child(0))
    }
}
