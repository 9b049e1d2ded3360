use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::{LanguageModel, LanguageModelConfig};
use crate::layers::Linear;
use crate::{Backbone, Mode};

/// BERT's two tasks at once: hidden tokens, and whether the second text follows the first.
///
/// Follows transformers 5.23, `BertForPreTraining`.
#[derive(Module, Debug)]
pub struct Pretraining {
    /// Logits of hidden tokens.
    pub tokens: LanguageModel,
    next_sentence: Linear,
}

impl Pretraining {
    /// A head with zero weights, to be loaded.
    pub fn new(config: &LanguageModelConfig, hidden: usize, device: &Device) -> Self {
        Self {
            tokens: LanguageModel::new(config, hidden, device),
            next_sentence: Linear::new(hidden, 2, device),
        }
    }

    /// Logits of "it follows" and "it does not".
    ///
    /// # Shapes
    /// - hidden: `[sequences, hidden]`, of the first tokens; output: `[sequences, 2]`
    pub fn next_sentence(&self, backbone: &impl Backbone, hidden: Tensor<2>, mode: Mode) -> Tensor<2> {
        self.next_sentence.forward(backbone.pool(hidden, mode.child(0)), mode.child(1))
    }
}
