use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::layers::{Dropout, Linear};
use crate::{Backbone, Mode, Rows};

/// What a classification head reads from the last hidden state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The family's own pooler: for BERT a linear map and tanh over `[CLS]`.
    #[default]
    Pooler,
    /// The bare hidden state of the first token, `[CLS]`.
    Cls,
}

/// Dropout and one linear map over a pooled sequence.
///
/// Follows transformers 5.23, `BertForSequenceClassification`; with [`Pooling::Cls`] it is the
/// textbook's variant, which transformers knows as token classification read at the first token.
#[derive(Module, Debug)]
pub struct SequenceClassification {
    output: Linear,
    dropout: Dropout,
    #[module(skip)]
    pooling: Pooling,
}

impl SequenceClassification {
    /// A head with zero weights, to be loaded.
    pub fn new(hidden: usize, labels: usize, dropout: f64, pooling: Pooling, device: &Device) -> Self {
        Self { output: Linear::new(hidden, labels, device), dropout: Dropout::new(dropout), pooling }
    }

    /// What the head reads.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// The tokens whose hidden states [`Self::forward`] takes.
    pub fn rows(&self) -> Rows {
        Rows::First
    }

    /// Logits.
    ///
    /// # Shapes
    /// - hidden: `[sequences, hidden]`; output: `[sequences, labels]`
    pub fn forward(&self, backbone: &impl Backbone, hidden: Tensor<2>, mode: Mode) -> Tensor<2> {
        let pooled = match self.pooling {
            Pooling::Pooler => backbone.pool(hidden),
            Pooling::Cls => hidden,
        };
        self.output.forward(self.dropout.forward(pooled, mode))
    }
}
