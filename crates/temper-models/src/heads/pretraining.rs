//! BERT's head for pretraining.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use temper_kernels::widen;

use super::{LanguageModel, LanguageModelConfig};
use crate::layers::{HasLinears, Linear, LinearWalk};
use crate::{Backbone, Mode};

/// BERT's two tasks at once: masked tokens, and whether the second text follows the first.
///
/// Follows transformers 5.23, `BertForPreTraining`.
#[derive(Module, Debug)]
pub struct Pretraining {
    /// Logits of masked tokens.
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

    /// Logits of "it follows" and "it does not", in f32.
    ///
    /// # Shapes
    /// - hidden: `[sequences, hidden]`, of the first tokens; output: `[sequences, 2]`
    pub fn next_sentence(&self, backbone: &impl Backbone, hidden: Tensor<2>, mode: Mode) -> Tensor<2> {
        let pooled = backbone.pool(hidden, mode.child(0));
        widen(self.next_sentence.forward(pooled, mode.child(1)))
    }
}

impl HasLinears for Pretraining {
    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        walk.part("tokens", &mut self.tokens);
        walk.part("next_sentence", &mut self.next_sentence);
    }
}
