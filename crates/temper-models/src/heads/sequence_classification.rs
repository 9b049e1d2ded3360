//! The head for labels of sequences.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};
use temper_kernels::widen;

use super::TransformConfig;
use crate::layers::{Dropout, HasLinears, Linear, LinearWalk, Norm};
use crate::{Backbone, Mode, Rows};

/// What a classification head reads from the last hidden state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The family's own way: for BERT a linear map and tanh over `[CLS]`, for a decoder the last token.
    #[default]
    Pooler,
    /// The bare hidden state of the first token, `[CLS]`.
    Cls,
}

/// What [`SequenceClassification`] is made from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassifierConfig {
    /// Which token it reads.
    pub rows: Rows,
    /// Whether the backbone's pooler comes first.
    pub uses_pooler: bool,
    /// Whether it reads the mean over all tokens; `rows` is [`Rows::All`] then.
    pub mean: bool,
    /// What comes before the last map.
    pub transform: Option<TransformConfig>,
    /// Whether the last map has a bias.
    pub bias: bool,
    /// Dropout on what is read, before the square map.
    pub input_dropout: f64,
    /// Dropout before the last map.
    pub dropout: f64,
}

impl ClassifierConfig {
    /// One map without bias over the last token that is not padding, as transformers' decoders have it;
    /// over the last token where the configuration names no padding.
    pub fn last_token(pad: Option<u32>) -> Self {
        Self {
            rows: pad.map_or(Rows::Last, Rows::LastExcept),
            uses_pooler: false,
            mean: false,
            transform: None,
            bias: false,
            input_dropout: 0.0,
            dropout: 0.0,
        }
    }

    /// One map over the first token.
    pub fn first_token(dropout: f64) -> Self {
        Self { rows: Rows::First, bias: true, dropout, ..Self::last_token(None) }
    }
}

/// One or two linear maps over one token of a sequence, or over the mean of all.
///
/// Follows transformers 5.23: `BertForSequenceClassification` and its like. With [`Pooling::Cls`] it is
/// the textbook's variant, which transformers knows as token classification read at the first token.
#[derive(Module, Debug)]
pub struct SequenceClassification {
    dense: Option<Linear>,
    norm: Option<Norm>,
    output: Linear,
    input_dropout: Dropout,
    dropout: Dropout,
    #[module(skip)]
    config: ClassifierConfig,
}

impl SequenceClassification {
    /// A head with zero weights, to be loaded.
    pub fn new(config: &ClassifierConfig, hidden: usize, labels: usize, device: &Device) -> Self {
        Self {
            dense: config.transform.map(|transform| transform.dense(hidden, device)),
            norm: config.transform.and_then(|transform| transform.norm(hidden, device)),
            output: Linear::with_bias(hidden, labels, config.bias, device),
            input_dropout: Dropout::new(config.input_dropout),
            dropout: Dropout::new(config.dropout),
            config: *config,
        }
    }

    /// The tokens whose hidden states [`Self::forward`] takes.
    pub fn rows(&self) -> Rows {
        self.config.rows
    }

    /// Whether [`Self::forward`] takes the mean over each sequence.
    pub(super) fn reads_mean(&self) -> bool {
        self.config.mean
    }

    /// Logits, in f32.
    ///
    /// # Shapes
    /// - hidden: `[sequences, hidden]`; output: `[sequences, labels]`
    pub fn forward(&self, backbone: &impl Backbone, hidden: Tensor<2>, mode: Mode) -> Tensor<2> {
        let mut x = if self.config.uses_pooler { backbone.pool(hidden, mode.child(1)) } else { hidden };
        if let Some((dense, transform)) = self.dense.as_ref().zip(self.config.transform) {
            x = self.input_dropout.forward(x, mode.child(0));
            x = transform.apply(dense, self.norm.as_ref(), x, mode.child(2));
        }
        widen(self.output.forward(self.dropout.forward(x, mode), mode.child(3)))
    }
}

impl HasLinears for SequenceClassification {
    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        walk.part("dense", &mut self.dense);
        walk.part("output", &mut self.output);
    }
}
