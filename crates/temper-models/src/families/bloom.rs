//! BLOOM: decoder-only, pre-norm, ALiBi in place of positions, a norm on the embeddings.
//!
//! BigScience 2022 (arXiv 2211.05100). Follows transformers 5.23, `modeling_bloom.py`. Query, key and value
//! are stored head by head in one matrix; the residual may be what the norm gave.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::decoder::{Decoder, DecoderConfig};
use super::heads::{next_token, sequence_labels, span, token_labels};
use super::{MOST_LAYERS, MOST_ROWS, MOST_WIDTH, check_dropout, check_heads, check_sizes, refuse, token_id};
use crate::layers::{AttentionConfig, BlockConfig, FeedForwardConfig, NormConfig, NormPlace, alibi_slopes};
use crate::weights::{Fusion, WeightMap, copy, fused_linear, linear, norm};
use crate::{Activation, Bounds, DropoutKeys, Family, FamilyFacts, ModelError, Parts};

/// BLOOM's configuration, with Hugging Face's field names and defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BloomConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the hidden state.
    pub hidden_size: usize,
    /// The same in old files; goes before `hidden_size`.
    pub n_embed: Option<usize>,
    /// Number of layers.
    #[serde(alias = "num_hidden_layers")]
    pub n_layer: usize,
    /// Attention heads a layer; divides `hidden_size`.
    #[serde(alias = "num_attention_heads")]
    pub n_head: usize,
    /// Added to the variance in norms.
    pub layer_norm_epsilon: f64,
    /// Standard deviation of newly initialised weights.
    pub initializer_range: f64,
    /// Whether a sub-layer is added to what its norm gave, not to what went into the norm.
    pub apply_residual_connection_post_layernorm: bool,
    /// Dropout on the output of attention and feed-forward.
    pub hidden_dropout: f64,
    /// Dropout on the attention weights.
    pub attention_dropout: f64,
    /// Dropout before the labels of tokens; `hidden_dropout` when absent.
    pub classifier_dropout: Option<f64>,
    /// Processors that shared a matrix in pretraining; matters with `slow_but_exact` alone.
    pub pretraining_tp: usize,
    /// Only `false` exists here, but for `pretraining_tp = 1`.
    pub slow_but_exact: bool,
    /// Id that fills up a batch; the classifier reads the last token that is another.
    #[serde(deserialize_with = "token_id")]
    pub pad_token_id: Option<u32>,
    /// Whether the language model's output layer is the token embedding.
    pub tie_word_embeddings: bool,
}

impl Default for BloomConfig {
    fn default() -> Self {
        Self {
            vocab_size: 250880,
            hidden_size: 64,
            n_embed: None,
            n_layer: 2,
            n_head: 8,
            layer_norm_epsilon: 1e-5,
            initializer_range: 0.02,
            apply_residual_connection_post_layernorm: false,
            hidden_dropout: 0.0,
            attention_dropout: 0.0,
            classifier_dropout: None,
            pretraining_tp: 1,
            slow_but_exact: false,
            pad_token_id: None,
            tie_word_embeddings: true,
        }
    }
}

impl BloomConfig {
    fn hidden(&self) -> usize {
        self.n_embed.unwrap_or(self.hidden_size)
    }

    fn norm(&self) -> NormConfig {
        NormConfig::layer(self.hidden(), self.layer_norm_epsilon)
    }

    fn block(&self) -> BlockConfig {
        let hidden = self.hidden();
        let mut attention = AttentionConfig::new(hidden, self.n_head, self.attention_dropout).causal();
        attention.pattern.alibi = Some(alibi_slopes(self.n_head).into());
        BlockConfig {
            attention,
            cross_attention: None,
            // transformers' own form of it rounds its constants to eight digits.
            ffn: FeedForwardConfig::new(hidden, 4 * hidden, Activation::GeluTanh),
            norm: self.norm(),
            norm_place: match self.apply_residual_connection_post_layernorm {
                true => NormPlace::BeforeAndOnResidual,
                false => NormPlace::Before,
            },
            dropout: self.hidden_dropout,
        }
    }
}

impl Family for BloomConfig {
    type Backbone = Decoder;
    const DROPOUT: DropoutKeys =
        DropoutKeys { hidden: &["hidden_dropout"], attention: &["attention_dropout"] };

    fn validate(&self) -> Result<(), ModelError> {
        if self.slow_but_exact && self.pretraining_tp > 1 {
            // transformers leaves out two biases then.
            return refuse("slow_but_exact", true);
        }
        check_sizes(MOST_ROWS, &[("vocab_size", self.vocab_size)])?;
        check_sizes(MOST_WIDTH, &[("hidden_size", self.hidden())])?;
        check_sizes(MOST_LAYERS, &[("n_layer", self.n_layer)])?;
        check_dropout(&[
            ("hidden_dropout", self.hidden_dropout),
            ("attention_dropout", self.attention_dropout),
            ("classifier_dropout", self.classifier_dropout.unwrap_or(self.hidden_dropout)),
        ])?;
        check_heads("n_head", self.n_head, "hidden_size", self.hidden())
    }

    fn init(&self, _parts: Parts, device: &Device) -> Decoder {
        let layers = vec![self.block(); self.n_layer];
        let config = DecoderConfig {
            embedding_norm: Some(self.norm()),
            final_norm: Some(self.norm()),
            ..DecoderConfig::new(self.vocab_size, self.hidden(), layers)
        };
        Decoder::new(&config, device)
    }

    fn facts(&self) -> FamilyFacts {
        let dropout = self.classifier_dropout.unwrap_or(self.hidden_dropout);
        FamilyFacts {
            weights: WeightMap { groups: self.n_head, ..WEIGHTS },
            heads: vec![
                sequence_labels("BloomForSequenceClassification", self.pad_token_id),
                token_labels("BloomForTokenClassification", dropout),
                span("BloomForQuestionAnswering"),
                next_token("BloomForCausalLM", self.vocab_size, self.tie_word_embeddings),
            ],
            foreign: &[],
            initializer_range: self.initializer_range,
            initial: Vec::new(),
            cutoff: None,
            bounds: Bounds { vocab_size: self.vocab_size, max_positions: usize::MAX },
        }
    }
}

/// Where each tensor of a checkpoint goes; a group is a head.
const WEIGHTS: WeightMap = WeightMap {
    prefix: "transformer.",
    groups: 1,
    rows: &[
        copy("word_embeddings.weight", "token_embedding.weight"),
        norm("word_embeddings_layernorm", "embedding_norm"),
        norm("h.{}.input_layernorm", "layers.{}.attention_norm"),
        fused_linear(
            "h.{}.self_attention.query_key_value",
            ["layers.{}.attention.query", "layers.{}.attention.key", "layers.{}.attention.value"],
            Fusion::Groups,
        ),
        linear("h.{}.self_attention.dense", "layers.{}.attention.output"),
        norm("h.{}.post_attention_layernorm", "layers.{}.ffn_norm"),
        linear("h.{}.mlp.dense_h_to_4h", "layers.{}.ffn.inner"),
        linear("h.{}.mlp.dense_4h_to_h", "layers.{}.ffn.outer"),
        norm("ln_f", "final_norm"),
    ],
};
