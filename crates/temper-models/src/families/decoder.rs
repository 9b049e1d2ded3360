//! What GPT, GPT-2, GPT-Neo and BLOOM share: a stack of causal blocks over token embeddings, and the heads
//! that transformers puts on it.
//!
//! Which parts there are, and which blocks, is the family's to say; so are the stored names. Segment ids are
//! not read: these families' tokenizers give none.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use crate::heads::{ClassifierConfig, LanguageModelConfig};
use crate::layers::{
    Block, BlockConfig, Dropout, Embedding, Layer, LinearWalk, Norm, NormConfig, StackPass, StackRows,
    detach_if_frozen, is_frozen, run_frozen_without_autodiff, run_layers,
};
use crate::weights::{Row, linear};
use crate::{Backbone, HeadFacts, HeadKind, Mode, Pass, TokenBatch};

/// What [`Decoder`] is made from.
#[derive(Clone, Debug)]
pub struct DecoderConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the hidden state.
    pub hidden: usize,
    /// Rows of the learned position embedding, where there is one.
    pub positions: Option<usize>,
    /// The norm of the embeddings, where there is one.
    pub embedding_norm: Option<NormConfig>,
    /// Dropout on the embeddings.
    pub embedding_dropout: f64,
    /// The layers, first to last.
    pub blocks: Vec<BlockConfig>,
    /// The norm after the last layer, where there is one.
    pub final_norm: Option<NormConfig>,
}

/// A stack of causal blocks over token embeddings, without a task.
#[derive(Module, Debug)]
pub struct Decoder {
    token_embedding: Embedding,
    position_embedding: Option<Embedding>,
    embedding_norm: Option<Norm>,
    embedding_dropout: Dropout,
    layers: Vec<Block>,
    final_norm: Option<Norm>,
}

impl Decoder {
    /// A decoder with zero weights, to be loaded.
    pub fn new(config: &DecoderConfig, device: &Device) -> Self {
        let embedding = |entries| Embedding::new(entries, config.hidden, device);
        Self {
            token_embedding: embedding(config.vocab_size),
            position_embedding: config.positions.map(embedding),
            embedding_norm: config.embedding_norm.map(|norm| norm.init(device)),
            embedding_dropout: Dropout::new(config.embedding_dropout),
            layers: config.blocks.iter().map(|block| Block::new(block, device)).collect(),
            final_norm: config.final_norm.map(|norm| norm.init(device)),
        }
    }

    // [tokens] -> [tokens, hidden]
    fn embed(&self, batch: &TokenBatch, mode: Mode) -> Tensor<2> {
        let mut x = self.token_embedding.forward(&batch.ids);
        if let Some(positions) = &self.position_embedding {
            x = x + positions.forward(&batch.positions);
        }
        if let Some(norm) = &self.embedding_norm {
            x = norm.forward(x);
        }
        let frozen = is_frozen(&self.token_embedding)
            && is_frozen(&self.position_embedding)
            && is_frozen(&self.embedding_norm);
        detach_if_frozen(self.embedding_dropout.forward(x, mode.of_part(frozen)), frozen)
    }
}

impl Backbone for Decoder {
    fn run(&self, batch: &TokenBatch, pass: Pass<'_>) -> Tensor<2> {
        let Pass { rows, mode, cache, watch, until } = pass;
        let rows = &StackRows::of(batch, rows);
        let pass = StackPass { rows, encoded: None, cache, mode, watch, until };
        let x = run_layers(&self.layers, || self.embed(batch, mode.child(0)), batch, pass);
        match &self.final_norm {
            Some(norm) => run_frozen_without_autodiff(norm, x, Norm::forward),
            None => x,
        }
    }

    fn token_table(&self) -> Tensor<2> {
        self.token_embedding.weight.val()
    }

    fn walk_linears(&mut self, walk: &mut LinearWalk<'_>) {
        walk.part("layers", &mut self.layers);
    }

    fn hidden_size(&self) -> usize {
        self.token_embedding.width()
    }

    fn layer_count(&self) -> usize {
        self.layers.len()
    }

    fn drops_out(&self) -> bool {
        self.embedding_dropout.is_active() || self.layers.iter().any(Layer::drops_out)
    }
}

/// Labels of sequences: one map without bias over the last token that is not padding.
pub(super) fn sequence_labels(architecture: &'static str, pad: Option<u32>) -> HeadFacts {
    let kind = HeadKind::SequenceClassification(ClassifierConfig::last_token(pad));
    HeadFacts::new(architecture, kind, SCORE)
}

/// Labels of tokens: dropout and one map.
pub(super) fn token_labels(architecture: &'static str, dropout: f64) -> HeadFacts {
    HeadFacts::new(architecture, HeadKind::TokenClassification { dropout }, CLASSIFIER)
}

/// Start and end of a span: one map.
pub(super) fn span(architecture: &'static str) -> HeadFacts {
    HeadFacts::new(architecture, HeadKind::QuestionAnswering { dropout: 0.0 }, SPAN)
}

/// The next token: one map without bias, the token embedding if `tied`.
pub(super) fn next_token(architecture: &'static str, vocab_size: usize, tied: bool) -> HeadFacts {
    let kind = HeadKind::CausalLm(LanguageModelConfig::plain(vocab_size, tied));
    HeadFacts::new(architecture, kind, OUTPUT)
}

const SCORE: &[Row] = &[linear("score", "head.output")];
const CLASSIFIER: &[Row] = &[linear("classifier", "head.output")];
const SPAN: &[Row] = &[linear("qa_outputs", "head.output")];
const OUTPUT: &[Row] = &[linear("lm_head", "head.output")];
