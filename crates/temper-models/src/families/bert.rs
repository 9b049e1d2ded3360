//! BERT: encoder-only, post-norm, learned positions, a pooler over `[CLS]`.
//!
//! Devlin et al. 2018 (arXiv 1810.04805). Follows transformers 5.23, `modeling_bert.py`.
//! It is the default block of this crate; what is its own are the three summed embeddings and the
//! tanh pooler.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::layers::{
    Dropout, Embedding, LayerNorm, Linear, PostNormBlock, PostNormBlockConfig, run_frozen_without_autodiff,
};
use crate::weights::{Row, WeightMap, copy, foreign, ignore, linear, norm};
use crate::{Activation, Backbone, Mode, ModelError, Rows, TokenBatch};

/// BERT's configuration, with Hugging Face's field names and defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BertConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the hidden state.
    pub hidden_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Attention heads a layer; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Inner width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Activation of the feed-forward layer.
    pub hidden_act: Activation,
    /// Dropout on embeddings and on the output of attention and feed-forward.
    pub hidden_dropout_prob: f64,
    /// Dropout on the attention weights.
    pub attention_probs_dropout_prob: f64,
    /// Rows of the position embedding: the longest sequence.
    pub max_position_embeddings: usize,
    /// Rows of the segment embedding.
    pub type_vocab_size: usize,
    /// Standard deviation of freshly drawn weights.
    pub initializer_range: f64,
    /// Added to the variance in norms.
    pub layer_norm_eps: f64,
    /// Id that fills up a batch.
    pub pad_token_id: Option<u32>,
    /// Dropout before the classification head; `hidden_dropout_prob` when absent.
    pub classifier_dropout: Option<f64>,
    /// Only `absolute` exists here.
    pub position_embedding_type: String,
    /// Only `false` exists here.
    pub is_decoder: bool,
    /// Only `false` exists here.
    pub add_cross_attention: bool,
}

impl Default for BertConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: Activation::Gelu,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            initializer_range: 0.02,
            layer_norm_eps: 1e-12,
            pad_token_id: Some(0),
            classifier_dropout: None,
            position_embedding_type: "absolute".into(),
            is_decoder: false,
            add_cross_attention: false,
        }
    }
}

impl BertConfig {
    /// Dropout before the classification head.
    pub fn head_dropout(&self) -> f64 {
        self.classifier_dropout.unwrap_or(self.hidden_dropout_prob)
    }

    /// Refuses values that this implementation would silently compute otherwise.
    ///
    /// # Errors
    /// [`ModelError::Unsupported`] for a switch, [`ModelError::Config`] for sizes that contradict
    /// each other.
    pub fn validate(&self) -> Result<(), ModelError> {
        let refuse = |field: &'static str, value: String| Err(ModelError::Unsupported { field, value });
        if self.position_embedding_type != "absolute" {
            return refuse("position_embedding_type", self.position_embedding_type.clone());
        }
        if self.is_decoder {
            return refuse("is_decoder", "true".into());
        }
        if self.add_cross_attention {
            return refuse("add_cross_attention", "true".into());
        }
        if self.num_attention_heads == 0 || !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(ModelError::Config {
                reason: format!(
                    "num_attention_heads = {} does not divide hidden_size = {}",
                    self.num_attention_heads, self.hidden_size
                ),
            });
        }
        Ok(())
    }

    /// The model with zero weights, to be loaded.
    pub fn init(&self, device: &Device) -> Bert {
        let block = PostNormBlockConfig {
            hidden: self.hidden_size,
            heads: self.num_attention_heads,
            intermediate: self.intermediate_size,
            activation: self.hidden_act,
            hidden_dropout: self.hidden_dropout_prob,
            attention_dropout: self.attention_probs_dropout_prob,
            norm_epsilon: self.layer_norm_eps,
        };
        let embedding = |entries| Embedding::new(entries, self.hidden_size, device);
        Bert {
            token_embedding: embedding(self.vocab_size),
            position_embedding: embedding(self.max_position_embeddings),
            type_embedding: embedding(self.type_vocab_size),
            embedding_norm: LayerNorm::new(self.hidden_size, self.layer_norm_eps, device),
            embedding_dropout: Dropout::new(self.hidden_dropout_prob),
            layers: (0..self.num_hidden_layers).map(|_| PostNormBlock::new(&block, device)).collect(),
            pooler: Some(Linear::new(self.hidden_size, self.hidden_size, device)),
        }
    }
}

/// BERT without a task.
#[derive(Module, Debug)]
pub struct Bert {
    token_embedding: Embedding,
    position_embedding: Embedding,
    type_embedding: Embedding,
    embedding_norm: LayerNorm,
    embedding_dropout: Dropout,
    layers: Vec<PostNormBlock>,
    pooler: Option<Linear>,
}

impl Bert {
    /// The same without the pooler, for heads that do not use it.
    pub fn without_pooler(self) -> Self {
        Self { pooler: None, ..self }
    }

    // [tokens] -> [tokens, hidden]
    fn embed(&self, batch: &TokenBatch, mode: Mode) -> Tensor<2> {
        let sum = self.token_embedding.forward(batch.ids.clone())
            + self.type_embedding.forward(batch.type_ids.clone())
            + self.position_embedding.forward(batch.positions.clone());
        self.embedding_dropout.forward(self.embedding_norm.forward(sum), mode)
    }

    fn embeddings_are_frozen(&self) -> bool {
        let tables = [&self.token_embedding, &self.position_embedding, &self.type_embedding];
        crate::layers::is_frozen(&self.embedding_norm) && tables.into_iter().all(crate::layers::is_frozen)
    }
}

impl Backbone for Bert {
    fn forward_watched(
        &self,
        batch: &TokenBatch,
        rows: Rows,
        mode: Mode,
        watch: &mut dyn FnMut(&Tensor<2>),
    ) -> Tensor<2> {
        let embedded = self.embed(batch, mode.child(0));
        // Detaching frozen embeddings keeps the frozen layers above out of autodiff.
        let mut x = if self.embeddings_are_frozen() { embedded.without_autodiff() } else { embedded };
        watch(&x);
        let all = batch.layer_rows(Rows::All);
        let wanted = batch.layer_rows(rows);
        for (index, layer) in self.layers.iter().enumerate() {
            let rows = if index + 1 == self.layers.len() { &wanted } else { &all };
            x = run_frozen_without_autodiff(layer, x, |layer, x| {
                layer.forward(x, rows, mode.child(index + 1))
            });
            watch(&x);
        }
        if self.layers.is_empty() { wanted.select(x) } else { x }
    }

    fn pool(&self, hidden: Tensor<2>) -> Tensor<2> {
        let Some(pooler) = &self.pooler else { return hidden };
        run_frozen_without_autodiff(pooler, hidden, |pooler, x| pooler.forward_activated(x, Activation::Tanh))
    }

    fn hidden_size(&self) -> usize {
        self.embedding_norm.weight.dims()[0]
    }

    fn layer_count(&self) -> usize {
        self.layers.len()
    }

    fn vocab_size(&self) -> usize {
        self.token_embedding.weight.dims()[0]
    }

    fn max_positions(&self) -> usize {
        self.position_embedding.weight.dims()[0]
    }
}

/// Where each tensor of a checkpoint goes.
pub const WEIGHTS: WeightMap = WeightMap {
    prefix: "bert.",
    rows: &[
        copy("embeddings.word_embeddings.weight", "token_embedding.weight"),
        copy("embeddings.position_embeddings.weight", "position_embedding.weight"),
        copy("embeddings.token_type_embeddings.weight", "type_embedding.weight"),
        norm("embeddings.LayerNorm", "embedding_norm"),
        ignore("embeddings.position_ids"), // 0, 1, 2, ...: a buffer of old versions.
        linear("encoder.layer.{}.attention.self.query", "layers.{}.attention.query"),
        linear("encoder.layer.{}.attention.self.key", "layers.{}.attention.key"),
        linear("encoder.layer.{}.attention.self.value", "layers.{}.attention.value"),
        linear("encoder.layer.{}.attention.output.dense", "layers.{}.attention.output"),
        norm("encoder.layer.{}.attention.output.LayerNorm", "layers.{}.attention_norm"),
        linear("encoder.layer.{}.intermediate.dense", "layers.{}.ffn.inner"),
        linear("encoder.layer.{}.output.dense", "layers.{}.ffn.outer"),
        norm("encoder.layer.{}.output.LayerNorm", "layers.{}.ffn_norm"),
        linear("pooler.dense", "pooler"),
    ],
};

/// The sequence-classification head.
pub const CLASSIFIER: &[Row] = &[linear("classifier", "head.output")];

/// Heads of other tasks, which a checkpoint may carry.
pub const OTHER_HEADS: &[Row] = &[foreign("cls.*"), foreign("qa_outputs.*"), foreign("classifier.*")];
