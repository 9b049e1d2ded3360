//! GPT, the first one: decoder-only, post-norm, learned positions, no norm after the last layer.
//!
//! Radford et al. 2018 (Improving Language Understanding by Generative Pre-Training). Follows transformers
//! 5.23, `modeling_openai.py`. Its blocks are the default ones, causal: BERT's with a mask.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::decoder::{Decoder, DecoderConfig};
use super::heads::{next_token, sequence_labels};
use super::{MOST_LAYERS, MOST_ROWS, MOST_WIDTH, check_dropout, check_heads, check_sizes, refuse, token_id};
use crate::layers::{AttentionConfig, BlockConfig, FeedForwardConfig, NormConfig, NormPlace};
use crate::weights::{Row, WeightMap, conv1d, copy, foreign, fused_conv1d, ignore, norm};
use crate::{Activation, Bounds, DropoutKeys, Family, FamilyFacts, ModelError, Parts};

/// GPT's configuration, with Hugging Face's field names and defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OpenAiGptConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Rows of the position embedding: the longest sequence.
    #[serde(alias = "max_position_embeddings")]
    pub n_positions: usize,
    /// Width of the hidden state.
    #[serde(alias = "hidden_size")]
    pub n_embd: usize,
    /// Number of layers.
    #[serde(alias = "num_hidden_layers")]
    pub n_layer: usize,
    /// Attention heads a layer; divides `n_embd`.
    #[serde(alias = "num_attention_heads")]
    pub n_head: usize,
    /// Activation of the feed-forward layer; here `gelu` means the tanh form.
    pub afn: Activation,
    /// Dropout on the output of attention and feed-forward.
    pub resid_pdrop: f64,
    /// Dropout on embeddings.
    pub embd_pdrop: f64,
    /// Dropout on the attention weights.
    pub attn_pdrop: f64,
    /// Added to the variance in norms.
    pub layer_norm_epsilon: f64,
    /// Standard deviation of newly initialised weights.
    pub initializer_range: f64,
    /// Id that fills up a batch; the classifier reads the last token that is another.
    #[serde(deserialize_with = "token_id")]
    pub pad_token_id: Option<u32>,
    /// Whether the language model's output layer is the token embedding.
    pub tie_word_embeddings: bool,
}

impl Default for OpenAiGptConfig {
    fn default() -> Self {
        Self {
            vocab_size: 40478,
            n_positions: 512,
            n_embd: 768,
            n_layer: 12,
            n_head: 12,
            afn: Activation::Gelu,
            resid_pdrop: 0.1,
            embd_pdrop: 0.1,
            attn_pdrop: 0.1,
            layer_norm_epsilon: 1e-5,
            initializer_range: 0.02,
            pad_token_id: None,
            tie_word_embeddings: true,
        }
    }
}

impl OpenAiGptConfig {
    fn activation(&self) -> Activation {
        match self.afn {
            Activation::Gelu => Activation::GeluTanh,
            other => other,
        }
    }

    fn block(&self) -> BlockConfig {
        BlockConfig {
            attention: AttentionConfig::new(self.n_embd, self.n_head, self.attn_pdrop).causal(),
            cross_attention: None,
            ffn: FeedForwardConfig::new(self.n_embd, 4 * self.n_embd, self.activation()),
            norm: NormConfig::layer(self.n_embd, self.layer_norm_epsilon),
            norm_place: NormPlace::After,
            dropout: self.resid_pdrop,
        }
    }
}

impl Family for OpenAiGptConfig {
    type Backbone = Decoder;
    const DROPOUT: DropoutKeys =
        DropoutKeys { hidden: &["resid_pdrop", "embd_pdrop"], attention: &["attn_pdrop"] };

    fn validate(&self) -> Result<(), ModelError> {
        if self.afn == Activation::Tanh {
            return refuse("afn", "tanh");
        }
        check_sizes(MOST_ROWS, &[("vocab_size", self.vocab_size), ("n_positions", self.n_positions)])?;
        check_sizes(MOST_WIDTH, &[("n_embd", self.n_embd)])?;
        check_sizes(MOST_LAYERS, &[("n_layer", self.n_layer)])?;
        check_dropout(&[
            ("resid_pdrop", self.resid_pdrop),
            ("embd_pdrop", self.embd_pdrop),
            ("attn_pdrop", self.attn_pdrop),
        ])?;
        check_heads("n_head", self.n_head, "n_embd", self.n_embd)
    }

    fn init(&self, _parts: Parts, device: &Device) -> Decoder {
        let layers = vec![self.block(); self.n_layer];
        let config = DecoderConfig {
            positions: Some(self.n_positions),
            embedding_dropout: self.embd_pdrop,
            ..DecoderConfig::new(self.vocab_size, self.n_embd, layers)
        };
        Decoder::new(&config, device)
    }

    fn facts(&self) -> FamilyFacts {
        FamilyFacts {
            weights: WEIGHTS,
            heads: vec![
                sequence_labels("OpenAIGPTForSequenceClassification", self.pad_token_id),
                next_token("OpenAIGPTLMHeadModel", self.vocab_size, self.tie_word_embeddings),
            ],
            foreign: OTHER_HEADS,
            initializer_range: self.initializer_range,
            initial: Vec::new(),
            cutoff: None,
            bounds: Bounds { vocab_size: self.vocab_size, max_positions: self.n_positions },
        }
    }
}

/// Where each tensor of a checkpoint goes.
const WEIGHTS: WeightMap = WeightMap {
    prefix: "transformer.",
    groups: 1,
    rows: &[
        copy("tokens_embed.weight", "token_embedding.weight"),
        copy("positions_embed.weight", "position_embedding.weight"),
        ignore("position_ids"), // 0, 1, 2, ...: a buffer of old versions.
        fused_conv1d(
            "h.{}.attn.c_attn",
            ["layers.{}.attention.query", "layers.{}.attention.key", "layers.{}.attention.value"],
        ),
        conv1d("h.{}.attn.c_proj", "layers.{}.attention.output"),
        ignore("h.{}.attn.bias"), // The causal mask: a buffer of old versions.
        norm("h.{}.ln_1", "layers.{}.attention_norm"),
        conv1d("h.{}.mlp.c_fc", "layers.{}.ffn.inner"),
        conv1d("h.{}.mlp.c_proj", "layers.{}.ffn.outer"),
        norm("h.{}.ln_2", "layers.{}.ffn_norm"),
    ],
};

/// The second head of `OpenAIGPTDoubleHeadsModel`.
const OTHER_HEADS: &[Row] = &[foreign("multiple_choice_head.*")];
