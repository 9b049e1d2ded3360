//! The head for labels of tokens and for spans.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use temper_kernels::widen;

use super::TransformConfig;
use crate::Mode;
use crate::layers::{Dropout, HasLinears, Linear, LinearWalk, Norm};

/// Dropout and one linear map over every token: labels of tokens, or a span's start and end. Some families transform
/// the hidden state first.
///
/// Follows transformers 5.23, `BertForTokenClassification`, `BertForQuestionAnswering` and ModernBERT's.
#[derive(Module, Debug)]
pub struct TokenClassification {
    dense: Option<Linear>,
    norm: Option<Norm>,
    output: Linear,
    dropout: Dropout,
    #[module(skip)]
    transform: Option<TransformConfig>,
}

impl TokenClassification {
    /// A head with zero weights, to be loaded.
    pub fn new(
        [hidden, labels]: [usize; 2],
        dropout: f64,
        transform: Option<TransformConfig>,
        device: &Device,
    ) -> Self {
        let inputs = transform.map_or(hidden, |transform| transform.outputs(hidden));
        Self {
            dense: transform.map(|transform| transform.dense(hidden, device)),
            norm: transform.and_then(|transform| transform.norm(hidden, device)),
            output: Linear::new(inputs, labels, device),
            dropout: Dropout::new(dropout),
            transform,
        }
    }

    /// Logits, in f32.
    ///
    /// # Shapes
    /// - hidden: `[tokens, hidden]`; output: `[tokens, labels]`
    pub fn forward(&self, hidden: Tensor<2>, mode: Mode) -> Tensor<2> {
        let mut x = hidden;
        if let (Some(dense), Some(transform)) = (&self.dense, self.transform) {
            x = transform.apply(dense, self.norm.as_ref(), x, mode.child(1));
        }
        widen(self.output.forward(self.dropout.forward(x, mode), mode.child(0)))
    }
}

impl HasLinears for TokenClassification {
    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        walk.part("dense", &mut self.dense);
        walk.part("output", &mut self.output);
    }
}
